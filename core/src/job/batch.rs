//! Events in a row, in memory that is used again.

use crate::session::Event;
use crate::tokenizer::TokenId;

/// Events that a [`Job`](super::Job) has told and nobody has looked at. Keep it and hand it in again: once it has grown
/// to what is usual, pulling allocates nothing.
#[derive(Debug, Default)]
pub struct Batch {
    records: Vec<Record>,
    text: String,
}

/// An event without its text, which lies in [`Batch::text`] between the end of the one before and its own.
#[derive(Clone, Copy, Debug)]
enum Record {
    Prefill { done: usize, total: usize },
    Token { id: TokenId, logprob: Option<f32> },
    Text { end: usize },
    Reasoning { end: usize },
}

impl Batch {
    /// The events, the oldest first.
    pub fn events(&self) -> impl Iterator<Item = Event<'_>> {
        let mut start = 0;
        let mut until = move |end| &self.text[std::mem::replace(&mut start, end)..end];
        self.records.iter().map(move |&record| match record {
            Record::Prefill { done, total } => Event::Prefill { done, total },
            Record::Token { id, logprob } => Event::Token { id, logprob },
            Record::Text { end } => Event::Text(until(end)),
            Record::Reasoning { end } => Event::Reasoning(until(end)),
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.text.clear();
    }

    /// Adds an event. Of several in a row that tell how far the prompt is, the last says it all.
    pub(super) fn push(&mut self, event: Event<'_>) {
        let record = match event {
            Event::Prefill { done, total } => {
                if let Some(Record::Prefill { .. }) = self.records.last() {
                    self.records.pop();
                }
                Record::Prefill { done, total }
            }
            Event::Token { id, logprob } => Record::Token { id, logprob },
            Event::Text(text) => {
                self.text.push_str(text);
                Record::Text { end: self.text.len() }
            }
            Event::Reasoning(text) => {
                self.text.push_str(text);
                Record::Reasoning { end: self.text.len() }
            }
        };
        self.records.push(record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_back_as_they_went_in() {
        let mut batch = Batch::default();
        let token = Event::Token { id: TokenId(7), logprob: Some(-0.5) };
        let prefill = |done| Event::Prefill { done, total: 9 };
        let rest =
            [token, Event::Text("żó"), token, Event::Text(""), Event::Reasoning("hm"), Event::Text("🐦")];
        for event in [prefill(4), prefill(9)].into_iter().chain(rest) {
            batch.push(event);
        }
        let got: Vec<_> = batch.events().collect();
        assert_eq!((got[0], &got[1..]), (prefill(9), &rest[..]));
        assert_eq!(batch.len(), 7);
        batch.clear();
        assert!(batch.is_empty() && batch.events().next().is_none());
    }
}
