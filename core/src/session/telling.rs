//! From tokens to the text that the caller sees.

use super::channels::{Channels, MAX_HEADER, Mark, Marks};
use super::{Event, Flow, GenerateOptions, IMAGE_POSITION, StopMatcher, StopReason};
use crate::error::Result;
use crate::tokenizer::{Detokenizer, TokenId, Tokenizer};

/// See the module.
pub(super) struct Telling {
    detokenizer: Detokenizer,
    stop: StopMatcher,
    /// If the vocabulary has channels, and the caller does not want to see all that is written.
    channels: Option<(Marks, Channels)>,
    /// Whether what is thought is told.
    reasoning: bool,
    /// Text of the last token.
    decoded: String,
    /// The part of it that is the answer's.
    answer: String,
    /// The part that is not.
    thought: String,
    /// Text that is certain.
    certain: String,
    /// The event handler said stop.
    pub(super) stopped: bool,
}

impl Telling {
    /// `before`: what comes before the answer. `starts_text`: nothing but the begin token does.
    pub(super) fn new(
        tokenizer: &Tokenizer,
        options: &GenerateOptions,
        before: [&[TokenId]; 2],
        starts_text: bool,
    ) -> Result<Self> {
        let marks = (!options.show_special).then(|| Marks::of(tokenizer)).flatten();
        let channels = marks.map(|marks| {
            let channels = after(tokenizer, &marks, before);
            (marks, channels)
        });
        let text = || String::with_capacity(MAX_HEADER + 256);
        Ok(Self {
            detokenizer: Detokenizer::new(options.show_special, starts_text),
            stop: StopMatcher::new(&options.stop)?,
            channels,
            reasoning: options.reasoning,
            decoded: text(),
            answer: text(),
            thought: text(),
            certain: text(),
            stopped: false,
        })
    }

    /// Adds a token and tells what became certain; `true` if a stop text appeared.
    pub(super) fn push(
        &mut self,
        tokenizer: &Tokenizer,
        id: TokenId,
        on_event: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> Result<bool> {
        self.decoded.clear();
        let mark = self.channels.as_ref().and_then(|(marks, _)| marks.get(id));
        match mark {
            // A character does not go on behind a marker.
            Some(_) => self.detokenizer.finish(&mut self.decoded),
            None => self.detokenizer.push(tokenizer, id, &mut self.decoded)?,
        }
        self.sort();
        if let (Some(mark), Some((_, channels))) = (mark, &mut self.channels) {
            let written = tokenizer.token_text(id).unwrap_or_default();
            channels.mark(mark, &written, &mut self.answer);
        }
        let matched = self.stop.push(&self.answer, &mut self.certain);
        self.flush(on_event);
        Ok(matched)
    }

    /// Tells the rest: what was held back because it might have become a stop text or a character.
    pub(super) fn finish(&mut self, reason: StopReason, on_event: &mut dyn FnMut(Event<'_>) -> Flow) {
        if reason != StopReason::StopString {
            self.decoded.clear();
            self.detokenizer.finish(&mut self.decoded);
            self.sort();
            if let Some((_, channels)) = &mut self.channels {
                channels.finish(&mut self.answer);
            }
            if !self.stop.push(&self.answer, &mut self.certain) {
                self.stop.finish(&mut self.certain);
            }
            self.flush(on_event);
        }
    }

    /// Says whose the decoded text is.
    fn sort(&mut self) {
        self.answer.clear();
        match &mut self.channels {
            None => self.answer.push_str(&self.decoded),
            Some((_, channels)) => channels.text(&self.decoded, &mut self.answer, &mut self.thought),
        }
    }

    fn flush(&mut self, on_event: &mut dyn FnMut(Event<'_>) -> Flow) {
        if !self.thought.is_empty() {
            if self.reasoning {
                self.stopped |= on_event(Event::Reasoning(&self.thought)) == Flow::Stop;
            }
            self.thought.clear();
        }
        if !self.certain.is_empty() {
            self.stopped |= on_event(Event::Text(&self.certain)) == Flow::Stop;
            self.certain.clear();
        }
    }
}

/// Where the channels are after `before`: a template leaves the header of the answer open, and an answer that was cut off
/// goes on wherever it was.
fn after(tokenizer: &Tokenizer, marks: &Marks, before: [&[TokenId]; 2]) -> Channels {
    let mut channels = Channels::new();
    let all = || before.into_iter().flatten().copied().filter(|&id| id != IMAGE_POSITION);
    let last = |wanted| all().enumerate().filter(|&(_, id)| marks.get(id) == Some(wanted)).last();
    // Nothing before the last message matters.
    let Some((from, _)) = last(Mark::Start).or_else(|| last(Mark::Channel)) else { return channels };
    let (mut bytes, mut text, mut sink) = (Vec::new(), String::new(), String::new());
    for id in all().skip(from) {
        let written = tokenizer.token_text(id).unwrap_or_default();
        match marks.get(id) {
            Some(mark) => channels.mark(mark, &written, &mut sink),
            None => {
                bytes.clear();
                // What is no token has no text; the prefill that follows refuses it.
                let _ = tokenizer.append_token_bytes(id, &mut bytes, false);
                text.clear();
                text.push_str(&String::from_utf8_lossy(&bytes));
                channels.text(&text, &mut sink, &mut String::new());
            }
        }
        sink.clear();
    }
    channels.begin();
    channels
}
