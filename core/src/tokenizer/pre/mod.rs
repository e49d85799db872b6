//! Pre-tokenizers: where a text is cut before its words are merged, as the families' published patterns say.
//!
//! A pattern is data ([`PreTokenizer`]): a list of stages, each of which cuts the pieces of the stage before. Nothing is
//! ever dropped: what a stage does not match is a piece as well. There is no regular expression and no recursion; a
//! stage looks at each character a bounded number of times.
//!
//! The facts are those of the tokenizer.json files of the families, read beside llama.cpp's `llama-vocab.cpp`, which
//! also gives the names. To add one: a row in `families.rs`; where it does something new, a variant of [`Stage`] or a
//! field of [`Words`].

mod class;
mod families;
mod sets;
#[cfg(test)]
mod tests;
mod words;

use self::class::{CASELESS, Class, Cursor, DECIMAL, LOWER, MARK, NUMBER, SPACE, UPPER};
use self::sets::Set;
use self::words::Words;

/// How a family cuts its text.
#[derive(Debug)]
pub(super) struct PreTokenizer {
    stages: &'static [Stage],
    /// A word that is a token of the vocabulary is that token, whatever the merges say (`ignore_merges`).
    pub(super) whole_words: bool,
    /// Text is brought into Unicode's form C first.
    pub(super) nfc: bool,
    /// Whether the text starts with the token for that if the file does not say.
    pub(super) add_bos: bool,
}

/// One cut through all pieces.
#[derive(Debug)]
enum Stage {
    /// `[set]`: each such character is a piece.
    Each(Set),
    /// `[set]{1,n}`: runs of at most so many.
    Runs(Set, usize),
    /// `[a]+|[b]+|...`: runs of each of the sets.
    RunsOfAny(&'static [Set]),
    /// `\s?[set]+`, or with a space only: ` ?[set]+`.
    Spaced { any_space: bool, set: Set },
    /// `\s+$`
    TrailingSpace,
    /// `[0-9][0-9][0-9]`
    Triples,
    /// Numbers in groups of three counted from their end. `decimal`: `\d{1,3}(?=(?:\d{3})*\b)`; else the same of
    /// `\p{N}`, whatever follows.
    FromRight { decimal: bool },
    /// `[^\n]+|\n+`
    Lines,
    /// The main pattern.
    Words(Words),
}

/// More stages than any family has.
const MAX_STAGES: usize = 6;

impl PreTokenizer {
    /// The pre-tokenizer that GGUF calls `name`.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        families::named(name)
    }

    /// Shows each piece of `text` to `see`, in order, until one is an error.
    #[inline]
    pub(super) fn split<'a, E>(
        &self,
        text: &'a str,
        mut see: impl FnMut(&'a str) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        // For each stage, what is left of the piece that it cuts, and how much of that is groups of three digits.
        let mut rest = [""; MAX_STAGES];
        let mut grouped = [0; MAX_STAGES];
        debug_assert!(!self.stages.is_empty() && self.stages.len() <= MAX_STAGES);
        rest[0] = text;
        let mut depth = 0;
        loop {
            let piece = rest[depth];
            if piece.is_empty() {
                if depth == 0 {
                    return Ok(());
                }
                depth -= 1;
                continue;
            }
            let (first, tail) = piece.split_at(self.stages[depth].first_piece(piece, &mut grouped[depth]));
            rest[depth] = tail;
            if depth + 1 < self.stages.len() {
                depth += 1;
                rest[depth] = first;
            } else {
                see(first)?;
            }
        }
    }
}

impl Stage {
    /// Bytes of the first piece of `text`, which is not empty. `text` may be what is left of a longer text: no stage
    /// looks back, but for `grouped`: bytes from here on that are known to be whole groups of three digits.
    fn first_piece(&self, text: &str, grouped: &mut usize) -> usize {
        let start = Cursor { text, at: 0 };
        match self {
            // These have a rule for every character, or know where their next match is.
            Self::Lines => {
                let newline = text.starts_with('\n');
                start.skip(|c, _| (c == '\n') == newline).at
            }
            Self::TrailingSpace => match text.trim_end().len() {
                0 => text.len(),
                kept => kept,
            },
            Self::FromRight { decimal } => first_group(start, *decimal, grouped),
            _ => match self.match_at(start) {
                Some(end) => end,
                None => {
                    let mut gap = start.next();
                    while !gap.is_end() && self.match_at(gap).is_none() {
                        gap = gap.next();
                    }
                    gap.at
                }
            },
        }
    }

    /// The end of the match that starts here.
    fn match_at(&self, start: Cursor<'_>) -> Option<usize> {
        let c = start.char()?;
        let class = start.class();
        let run = |set: &Set| set.has(c, class).then(|| start.skip(|c, class| set.has(c, class)).at);
        match self {
            Self::Each(set) => set.has(c, class).then(|| start.next().at),
            Self::Runs(set, most) => {
                let mut end = start;
                for _ in 0..*most {
                    match end.char() {
                        Some(c) if set.has(c, end.class()) => end = end.next(),
                        _ => break,
                    }
                }
                (end.at > start.at).then_some(end.at)
            }
            Self::RunsOfAny(sets) => sets.iter().find_map(run),
            Self::Spaced { any_space, set } => {
                let space = if *any_space { class & SPACE != 0 } else { c == ' ' };
                let after = start.next();
                if space && after.char().is_some_and(|c| set.has(c, after.class())) {
                    return Some(after.skip(|c, class| set.has(c, class)).at);
                }
                run(set)
            }
            Self::Triples => {
                let three = start.text.as_bytes().get(start.at..start.at + 3)?;
                three.iter().all(u8::is_ascii_digit).then_some(start.at + 3)
            }
            Self::Words(words) => words.match_at(start),
            Self::Lines | Self::TrailingSpace | Self::FromRight { .. } => None, // see first_piece
        }
    }
}

/// The end of the first group of the number that starts here, or of the text before the next number. The digits of
/// a number are counted once, however many groups there are.
fn first_group(start: Cursor<'_>, decimal: bool, grouped: &mut usize) -> usize {
    let digits = if decimal { DECIMAL } else { NUMBER };
    let group = |from: Cursor<'_>, count: usize| (0..count).fold(from, |at, _| at.next()).at;
    if *grouped > 0 {
        let end = group(start, 3);
        *grouped = grouped.saturating_sub(end);
        return end;
    }
    let mut number = start;
    loop {
        number = number.skip(|_, class| class & digits == 0);
        let end = number.skip_class(digits);
        if number.is_end() {
            return number.at;
        }
        // `\b`: after a digit, only what is no part of a word may follow.
        const WORD: Class = UPPER | LOWER | CASELESS | MARK | NUMBER;
        if decimal && (end.class() & WORD != 0 || end.char() == Some('_')) {
            number = end;
            continue;
        }
        if number.at > start.at {
            return number.at;
        }
        let count = number.text[..end.at].chars().count();
        let first = group(number, (count - 1) % 3 + 1);
        *grouped = end.at - first;
        return first;
    }
}
