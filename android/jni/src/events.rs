//! How events lie in the caller's buffer.
//!
//! Records one after the other, each starting at a multiple of 4, all numbers 32 bits in the machine's byte order unless
//! noted. `dev.siskin.EventReader` reads them.
//!
//! ```text
//! 0 done total                    prefill
//! 1 id logprob                    token; the log-probability is an f32, NaN unless it was asked for
//! 2 length bytes.. padding        text, UTF-8
//! 3 reason prompt generated prefill-ns(u64) decode-ns(u64)     the end, always the last
//! ```
//!
//! A text that has no room is cut between two characters and goes on in the next call.

use siskin::{Event, Outcome, StopReason};

/// The least that a buffer may hold: the longest record without text, or a text of some characters.
pub(crate) const MIN_BUFFER: usize = 64;

/// Writes records until one does not fit.
pub(crate) struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut [u8]) -> Self {
        Self { out, at: 0 }
    }

    /// Bytes written.
    pub(crate) fn len(&self) -> usize {
        self.at
    }

    /// Writes an event, `skip` bytes of its text excepted. `Err` says how much of the text is written by now, if not
    /// all: the buffer is full.
    pub(crate) fn event(&mut self, event: Event<'_>, skip: usize) -> Result<(), usize> {
        match event {
            Event::Prefill { done, total } => self.words(&[0, done as u32, total as u32]),
            Event::Token { id, logprob } => self.words(&[1, id.0, logprob.unwrap_or(f32::NAN).to_bits()]),
            Event::Text(text) => return self.text(text, skip),
            Event::Reasoning(_) => return Ok(()), // it was not asked for
        }
        .ok_or(0)
    }

    /// Writes the end; `None` if it does not fit.
    pub(crate) fn end(&mut self, outcome: &Outcome) -> Option<()> {
        let stats = &outcome.stats;
        let nanos = |d: std::time::Duration| {
            let n = u64::try_from(d.as_nanos()).unwrap_or(u64::MAX).to_ne_bytes();
            let half = |i: usize| u32::from_ne_bytes([n[i], n[i + 1], n[i + 2], n[i + 3]]);
            [half(0), half(4)]
        };
        let ([p0, p1], [d0, d1]) = (nanos(stats.prefill_time), nanos(stats.decode_time));
        let (prompt, generated) = (stats.prompt_tokens as u32, stats.generated_tokens as u32);
        self.words(&[3, reason(outcome.reason), prompt, generated, p0, p1, d0, d1])
    }

    fn words(&mut self, words: &[u32]) -> Option<()> {
        let room = self.out.get_mut(self.at..self.at + 4 * words.len())?;
        for (bytes, word) in room.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        self.at += 4 * words.len();
        Some(())
    }

    fn text(&mut self, text: &str, skip: usize) -> Result<(), usize> {
        let rest = &text[skip..];
        let room = self.out.len().saturating_sub(self.at + 8) / 4 * 4;
        let fits = rest.floor_char_boundary(room.min(rest.len()));
        if fits == 0 && !rest.is_empty() {
            return Err(skip);
        }
        self.words(&[2, fits as u32]).ok_or(skip)?;
        self.out[self.at..self.at + fits].copy_from_slice(&rest.as_bytes()[..fits]);
        self.at += fits.next_multiple_of(4);
        if fits < rest.len() { Err(skip + fits) } else { Ok(()) }
    }
}

/// Number of a reason in `dev.siskin.StopReason`.
fn reason(reason: StopReason) -> u32 {
    match reason {
        StopReason::EndOfTurn => 0,
        StopReason::StopString => 1,
        StopReason::MaxTokens => 2,
        StopReason::ContextFull => 3,
        StopReason::Cancelled => 4,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use siskin::tokenizer::TokenId;

    #[test]
    fn records_have_the_layout_that_the_reader_knows() {
        let mut out = [0xAA; 64];
        let mut writer = Writer::new(&mut out);
        writer.event(Event::Prefill { done: 3, total: 9 }, 0).expect("room");
        writer.event(Event::Token { id: TokenId(7), logprob: Some(-0.5) }, 0).expect("room");
        writer.event(Event::Text("żó🐦"), 0).expect("room");
        let len = writer.len();
        let word = |i: usize| u32::from_ne_bytes([out[i], out[i + 1], out[i + 2], out[i + 3]]);
        assert_eq!([0, 4, 8, 12, 16, 20, 24, 28].map(word), [0, 3, 9, 1, 7, (-0.5f32).to_bits(), 2, 8]);
        assert_eq!((&out[32..40], len), ("żó🐦".as_bytes(), 40));
    }

    #[test]
    fn a_text_without_room_is_cut_between_characters() {
        let text = "🐦".repeat(50); // 200 bytes
        let (mut got, mut written, mut calls) = (String::new(), 0, 0);
        loop {
            let mut out = [0; 65]; // room for 57 bytes of text: 14 birds
            let mut writer = Writer::new(&mut out);
            let result = writer.event(Event::Text(&text), written);
            let (len, at) = (u32::from_ne_bytes([out[4], out[5], out[6], out[7]]) as usize, 8);
            got.push_str(std::str::from_utf8(&out[at..at + len]).expect("whole characters"));
            calls += 1;
            match result {
                Ok(()) => break,
                Err(n) => written = n,
            }
        }
        assert_eq!((got, calls), (text, 4));
    }

    #[test]
    fn nothing_is_written_past_the_end() {
        let mut out = [0; 11];
        assert_eq!(Writer::new(&mut out).event(Event::Prefill { done: 1, total: 2 }, 0), Err(0));
        assert_eq!(Writer::new(&mut out[..7]).event(Event::Text("a"), 0), Err(0));
        assert_eq!(out, [0; 11]);
        assert!(Writer::new(&mut out).event(Event::Text(""), 0).is_ok(), "an empty text needs its head only");
    }
}
