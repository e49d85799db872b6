//! Text from tokens as they come: only whole Unicode scalars leave, whatever the tokens cut through.
//!
//! Bytes that are no UTF-8 become U+FFFD, one per longest start of a character that could still have become one: the
//! same as `String::from_utf8_lossy` over all bytes together, however they are spread over tokens. (Hugging Face
//! replaces each byte of a damaged run of byte tokens by itself, also the whole characters in it; that cannot be
//! streamed.)

use super::{TokenId, Tokenizer};
use crate::error::Result;

/// Turns tokens into text, one after the other. See the module.
#[derive(Clone, Debug)]
pub struct Detokenizer {
    show_special: bool,
    /// Nothing was written, and the first space belongs to the vocabulary.
    at_start: bool,
    /// What cannot be written yet: at most three bytes between calls.
    pending: Vec<u8>,
}

impl Detokenizer {
    /// A detokenizer. `show_special`: control and unknown tokens appear as their text. `starts_text`: the tokens are
    /// the start of a text, so that the space that SentencePiece puts before it is left out; false for an answer,
    /// which goes on after a prompt.
    pub fn new(show_special: bool, starts_text: bool) -> Self {
        Self { show_special, at_start: starts_text, pending: Vec::with_capacity(64) }
    }

    /// Appends what is known of the text after token `id`. Nothing is allocated but for `out`, and for the first token
    /// that is longer than all before.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: TokenId, out: &mut String) -> Result<()> {
        let before = self.pending.len();
        tokenizer.append_token_bytes(id, &mut self.pending, self.show_special)?;
        if self.at_start && self.pending.len() > before {
            self.at_start = false;
            if tokenizer.prefixes_space() && self.pending[before] == b' ' {
                self.pending.remove(before);
            }
        }
        let mut done = 0;
        loop {
            match std::str::from_utf8(&self.pending[done..]) {
                Ok(text) => {
                    out.push_str(text);
                    done = self.pending.len();
                    break;
                }
                Err(e) => {
                    let valid = done + e.valid_up_to();
                    out.push_str(std::str::from_utf8(&self.pending[done..valid]).expect("just checked"));
                    done = valid;
                    let Some(bad) = e.error_len() else { break }; // the start of a character
                    out.push(char::REPLACEMENT_CHARACTER);
                    done += bad;
                }
            }
        }
        self.pending.drain(..done);
        Ok(())
    }

    /// Ends the text: the start of a character that never came whole is written as U+FFFD.
    pub fn finish(&mut self, out: &mut String) {
        if !self.pending.is_empty() {
            out.push(char::REPLACEMENT_CHARACTER);
            self.pending.clear();
        }
    }
}
