//! Stop strings, also across token boundaries.
//!
//! Text goes in piece by piece and comes out as soon as it cannot be part of a stop string any more: only an end
//! that is a beginning of one is held back. When a stop string is complete, everything before it has come out and it
//! and the rest have not. Of several, the one that is complete first ends the text; of those complete at the same
//! character, the one that began first.
//!
//! This module knows no tokens: its input is whole Unicode text.

use crate::error::{Error, ErrorKind, Result};

/// The most stop strings.
pub const MAX_STOP_STRINGS: usize = 64;
/// The longest stop string, in bytes.
pub const MAX_STOP_BYTES: usize = 4096;

/// Looks for stop strings in a stream of text.
#[derive(Clone, Debug)]
pub struct StopMatcher {
    stops: Vec<Stop>,
    /// Text not yet given out: it ends in a beginning of a stop string. Shorter than the longest of them.
    held: String,
    stopped: bool,
}

/// One stop string as a Knuth-Morris-Pratt automaton over its bytes.
#[derive(Clone, Debug)]
struct Stop {
    text: Box<[u8]>,
    /// `fallback[i]`: the length of the longest proper beginning of `text[..=i]` that is also its end.
    fallback: Box<[usize]>,
    /// How many bytes of `text` the text so far ends in.
    matched: usize,
}

impl Stop {
    fn new(text: &str) -> Self {
        let text: Box<[u8]> = text.as_bytes().into();
        let mut fallback = vec![0; text.len()].into_boxed_slice();
        let mut k = 0;
        for i in 1..text.len() {
            while k > 0 && text[i] != text[k] {
                k = fallback[k - 1];
            }
            k += usize::from(text[i] == text[k]);
            fallback[i] = k;
        }
        Self { text, fallback, matched: 0 }
    }

    /// Takes one byte; true when the string is complete.
    fn step(&mut self, byte: u8) -> bool {
        while self.matched > 0 && self.text[self.matched] != byte {
            self.matched = self.fallback[self.matched - 1];
        }
        self.matched += usize::from(self.text[self.matched] == byte);
        self.matched == self.text.len()
    }
}

impl StopMatcher {
    /// A matcher of these strings; none is fine. An empty one, one of over [`MAX_STOP_BYTES`], or more than
    /// [`MAX_STOP_STRINGS`] are an [`ErrorKind::Argument`].
    pub fn new<S: AsRef<str>>(stops: &[S]) -> Result<Self> {
        if stops.len() > MAX_STOP_STRINGS {
            let message = format!("{} stop strings; at most {MAX_STOP_STRINGS} are allowed", stops.len());
            return Err(Error::new(ErrorKind::Argument, message));
        }
        for (i, stop) in stops.iter().enumerate() {
            let message = match stop.as_ref().len() {
                0 => format!("stop string {} is empty", i + 1),
                n if n > MAX_STOP_BYTES => {
                    format!("stop string {} has {n} bytes; at most {MAX_STOP_BYTES} are allowed", i + 1)
                }
                _ => continue,
            };
            return Err(Error::new(ErrorKind::Argument, message));
        }
        let longest = stops.iter().map(|s| s.as_ref().len()).max().unwrap_or(0);
        let stops = stops.iter().map(|s| Stop::new(s.as_ref())).collect();
        Ok(Self { stops, held: String::with_capacity(longest), stopped: false })
    }

    /// Takes the next piece of text and appends to `out` what is certain to be no part of a stop string. Returns true
    /// once a stop string is complete; from then on nothing comes out.
    ///
    /// Allocates only if `out` or a piece longer than any before it needs room.
    pub fn push(&mut self, text: &str, out: &mut String) -> bool {
        if self.stopped {
            return true;
        }
        if self.stops.is_empty() {
            out.push_str(text);
            return false;
        }
        let before = self.held.len();
        self.held.push_str(text);
        for (i, &byte) in text.as_bytes().iter().enumerate() {
            let complete = self.stops.iter_mut().filter_map(|s| s.step(byte).then_some(s.text.len())).max();
            if let Some(length) = complete {
                let start = before + i + 1 - length;
                out.push_str(&self.held[..start]);
                self.held.clear();
                self.stopped = true;
                return true;
            }
        }
        let keep = self.stops.iter().map(|s| s.matched).max().unwrap_or(0);
        let certain = self.held.len() - keep;
        out.push_str(&self.held[..certain]);
        self.held.drain(..certain);
        false
    }

    /// The text has ended: appends what was held back.
    pub fn finish(&mut self, out: &mut String) {
        out.push_str(&self.held);
        self.held.clear();
    }

    /// Ready for another text.
    pub fn reset(&mut self) {
        self.held.clear();
        self.stopped = false;
        self.stops.iter_mut().for_each(|s| s.matched = 0);
    }

    /// Whether a stop string was found.
    pub fn stopped(&self) -> bool {
        self.stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (what came out after each piece, whether it stopped, all text after `finish`)
    fn run(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool, String) {
        let mut matcher = StopMatcher::new(stops).expect("valid stop strings");
        let mut all = String::new();
        let mut steps = Vec::new();
        for piece in pieces {
            let before = all.len();
            let stopped = matcher.push(piece, &mut all);
            steps.push(all[before..].to_owned());
            if stopped {
                break;
            }
        }
        matcher.finish(&mut all);
        (steps, matcher.stopped(), all)
    }

    #[test]
    fn table() {
        // (stop strings, pieces, what comes out at each, stopped, whole text)
        type Case<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], bool, &'a str);
        let cases: &[Case<'_>] = &[
            (&[], &["ab", "cd"], &["ab", "cd"], false, "abcd"),
            (&["END"], &["one E", "ND two"], &["one ", ""], true, "one "),
            (&["END"], &["one EN", "d two"], &["one ", "ENd two"], false, "one ENd two"),
            (&["END"], &["E", "N"], &["", ""], false, "EN"),
            (&["END"], &["ENDEND"], &[""], true, ""),
            (&["\n\n"], &["a\n", "b\n", "\n", "c"], &["a", "\nb", ""], true, "a\nb"),
            (&["aab"], &["aa", "aa", "b"], &["", "aa", ""], true, "aa"),
            (&["abcd", "bc"], &["abc"], &["a"], true, "a"),
            (&["bc", "abc"], &["abc"], &[""], true, ""),
            (&["ab", "abc"], &["xabc"], &["x"], true, "x"),
            (&["</s>", "<|im_end|>"], &["hi<", "|im_", "end", "|>x"], &["hi", "", "", ""], true, "hi"),
            (&["</s>", "<|im_end|>"], &["a<|b</", "p>"], &["a<|b", "</p>"], false, "a<|b</p>"),
            (&["€!"], &["5 €", "?", "€!"], &["5 ", "€?", ""], true, "5 €?"),
            (&["é"], &["èê", "é"], &["èê", ""], true, "èê"),
        ];
        for &(stops, pieces, steps, stopped, all) in cases {
            let got = run(stops, pieces);
            assert_eq!(
                (got.0.as_slice(), got.1, got.2.as_str()),
                (&steps.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()[..], stopped, all),
                "{stops:?} {pieces:?}"
            );
        }
    }

    #[test]
    fn equals_a_search_in_the_whole_text() {
        // All texts of 8 letters over {a, b, é}, cut at every place, with two overlapping stop strings.
        let stops = ["aba", "béb"];
        for n in 0..3usize.pow(8) {
            let text: String = (0..8).map(|i| ['a', 'b', 'é'][n / 3usize.pow(i) % 3]).collect();
            // The end of the first complete match decides.
            let first = stops.iter().filter_map(|s| text.find(s).map(|at| (at + s.len(), at))).min();
            let expected = first.map_or(text.as_str(), |(_, at)| &text[..at]);
            for cut in (0..=text.len()).filter(|&c| text.is_char_boundary(c)) {
                let (_, stopped, all) = run(&stops, &[&text[..cut], &text[cut..]]);
                assert_eq!((stopped, all.as_str()), (first.is_some(), expected), "{text} cut at {cut}");
            }
        }
    }

    #[test]
    fn refuses_what_cannot_match() {
        let message = |stops: &[&str]| {
            let e = StopMatcher::new(stops).expect_err("refused");
            assert_eq!(e.kind(), ErrorKind::Argument);
            e.message().to_owned()
        };
        assert_eq!(message(&["a", ""]), "stop string 2 is empty");
        assert!(message(&[&"x".repeat(MAX_STOP_BYTES + 1)]).contains("4097 bytes"));
        assert!(message(&["x"; MAX_STOP_STRINGS + 1]).contains("65 stop strings"));
    }

    #[test]
    fn reset_starts_anew() {
        let mut matcher = StopMatcher::new(&["xy"]).expect("valid");
        let mut out = String::new();
        assert!(matcher.push("axy", &mut out));
        assert!(matcher.push("more", &mut out), "nothing comes after a stop");
        matcher.reset();
        assert!(!matcher.push("ybx", &mut out));
        matcher.finish(&mut out);
        assert_eq!(out, "aybx");
    }
}
