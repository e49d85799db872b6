//! The main pattern of a pre-tokenizer: contractions, words, numbers, punctuation, white space, in this order.
//!
//! All of them descend from GPT-2's
//! `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`; a family differs in the fields of
//! [`Words`].

use super::class::{
    CASELESS, Class, Cursor, LETTER, LOWER, MARK, NEWLINE, NUMBER, PUNCTUATION, SPACE, SYMBOL, UPPER,
};
use super::sets::{HAN, Set};

/// See the module. A match is the first of the fields, from top to bottom, that matches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    /// A contraction of its own, like `'re`.
    pub(super) contraction: Contraction,
    /// `\p{Han}+`, and no such letter in a word.
    pub(super) han: bool,
    /// One ASCII punctuation mark or symbol and ASCII letters.
    pub(super) ascii_words: bool,
    pub(super) word: Word,
    pub(super) number: Number,
    pub(super) punctuation: Punctuation,
    pub(super) newlines: Newlines,
}

/// `'s|'t|'re|'ve|'m|'ll|'d`
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Contraction {
    No,
    Lowercase,
    AnyCase,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Word {
    /// ` ?\p{L}+`
    Spaced,
    /// `[^\r\n\p{L}\p{N}]?\p{L}+`, or `[\p{L}\p{M}]+` with any other character before it but `not_before` and newlines.
    Prefixed { letters: Class, not_before: Class },
    /// As the last, but upper case starts a new word: with U = upper, title and caseless letters and marks, L = lower
    /// and caseless letters and marks: `[^\r\n\p{L}\p{N}]?U*L+|[^\r\n\p{L}\p{N}]?U+L*`, then a contraction of any case
    /// if `contraction`.
    Cased { contraction: bool },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    /// Not in this pattern.
    No,
    /// ` ?\p{N}+`
    Spaced,
    /// `\p{N}{1,n}`
    UpTo(usize),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Punctuation {
    /// ` ?[^\s\p{L}\p{N}]+` (and without other classes), or ` ?[\p{P}\p{S}]+`.
    pub(super) which: Which,
    /// Characters that may follow at its end: `[\r\n]*` or `[\r\n/]*`.
    pub(super) tail: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    /// All but these classes.
    Not(Class),
    /// These classes.
    Only(Class),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Newlines {
    No,
    /// `\s*[\r\n]+`; the same as `\s*[\r\n]`, since `\s` takes all newlines but one
    Runs,
    /// `[\r\n]`
    Each,
}

/// `[^\s\p{L}\p{N}]`
pub(super) const OTHERS: Which = Which::Not(SPACE | LETTER | NUMBER);
/// `[\p{P}\p{S}]`
pub(super) const MARKS_AND_SYMBOLS: Which = Which::Only(PUNCTUATION | SYMBOL);

impl Which {
    fn has(self, class: Class) -> bool {
        match self {
            Self::Not(classes) => class & classes == 0,
            Self::Only(classes) => class & classes != 0,
        }
    }
}

impl Words {
    /// The end of the match that starts here.
    #[inline]
    pub(super) fn match_at(&self, start: Cursor<'_>) -> Option<usize> {
        let c = start.char()?;
        let class = start.class();
        if c == '\'' && self.contraction != Contraction::No {
            let end = contraction(start, self.contraction == Contraction::AnyCase);
            if end.at > start.at {
                return Some(end.at);
            }
        }
        if self.han && HAN.has(c, class) {
            return Some(start.skip(|c, class| HAN.has(c, class)).at);
        }
        if self.ascii_words && c.is_ascii_punctuation() {
            let after = start.next();
            let end = after.skip(|c, _| c.is_ascii_alphabetic());
            if end.at > after.at {
                return Some(end.at);
            }
        }
        self.word(start, c, class)
            .or_else(|| self.number(start, c, class))
            .or_else(|| self.punctuation(start, c))
            .or_else(|| self.white_space(start, class))
    }

    #[inline]
    fn word(&self, start: Cursor<'_>, c: char, class: Class) -> Option<usize> {
        match self.word {
            Word::Spaced => {
                let first = if c == ' ' { start.next() } else { start };
                let end = first.skip_class(LETTER);
                (end.at > first.at).then_some(end.at)
            }
            Word::Prefixed { letters, not_before } => {
                if class & letters != 0 {
                    return Some(start.skip_class(letters).at);
                }
                if class & (not_before | NEWLINE) != 0 {
                    return None;
                }
                let first = start.next();
                let end = first.skip_class(letters);
                (end.at > first.at).then_some(end.at)
            }
            Word::Cased { contraction: may_contract } => {
                let end = self.cased(start, class)?;
                Some(if may_contract { contraction(end, true).at } else { end.at })
            }
        }
    }

    /// The end of a word of [`Word::Cased`], as a backtracking matcher finds it.
    fn cased<'a>(&self, start: Cursor<'a>, class: Class) -> Option<Cursor<'a>> {
        let has = |classes: Class| {
            let set = Set::classes(classes);
            move |c, class| set.has(c, class) && !(self.han && HAN.has(c, class))
        };
        let (upper, lower) = (has(UPPER | CASELESS | MARK), has(LOWER | CASELESS | MARK));
        // `U*L+` from here: if no L follows the U's, they give back up to their last one that is an L as well.
        let upper_lower = |from: Cursor<'a>| {
            let (mut end, mut last_both) = (from, None);
            while let Some(c) = end.char()
                && upper(c, end.class())
            {
                let both = lower(c, end.class());
                end = end.next();
                if both {
                    last_both = Some(end);
                }
            }
            let all = end.skip(lower);
            if all.at > end.at { Some(all) } else { last_both }
        };
        // `U+L*`, where the first alternative failed: no L follows.
        let only_upper = |from: Cursor<'a>| {
            let end = from.skip(upper);
            (end.at > from.at).then_some(end)
        };
        let after = (class & (LETTER | NUMBER | NEWLINE) == 0).then(|| start.next());
        let either =
            |rule: &dyn Fn(Cursor<'a>) -> Option<Cursor<'a>>| after.and_then(rule).or_else(|| rule(start));
        either(&upper_lower).or_else(|| either(&only_upper))
    }

    #[inline]
    fn number(&self, start: Cursor<'_>, c: char, class: Class) -> Option<usize> {
        match self.number {
            Number::No => None,
            Number::Spaced => {
                let first = if c == ' ' { start.next() } else { start };
                let end = first.skip_class(NUMBER);
                (end.at > first.at).then_some(end.at)
            }
            Number::UpTo(most) => {
                if class & NUMBER == 0 {
                    return None;
                }
                let mut end = start.next();
                for _ in 1..most {
                    if end.class() & NUMBER == 0 {
                        break;
                    }
                    end = end.next();
                }
                Some(end.at)
            }
        }
    }

    #[inline]
    fn punctuation(&self, start: Cursor<'_>, c: char) -> Option<usize> {
        let Punctuation { which, tail } = self.punctuation;
        let first = if c == ' ' { start.next() } else { start };
        let end = first.skip(|_, class| which.has(class));
        (end.at > first.at).then(|| end.skip(|c, _| tail.contains(c)).at)
    }

    fn white_space(&self, start: Cursor<'_>, class: Class) -> Option<usize> {
        if class & SPACE == 0 {
            return None;
        }
        if matches!(self.newlines, Newlines::Each) && class & NEWLINE != 0 {
            return Some(start.next().at);
        }
        // One walk over the white space: its end, its last character, and behind its last newline.
        let (mut end, mut last, mut after_newline) = (start, start, None);
        while end.class() & SPACE != 0 {
            last = end;
            end = end.next();
            if last.class() & NEWLINE != 0 {
                after_newline = Some(end);
            }
        }
        match (self.newlines, after_newline) {
            (Newlines::Runs, Some(after)) => Some(after.at),
            // `\s+(?!\S)`: all but the last, if something follows.
            _ if !end.is_end() && last.at > start.at => Some(last.at),
            _ => Some(end.at),
        }
    }
}

/// Behind the contraction that starts here; here if there is none.
fn contraction(start: Cursor<'_>, any_case: bool) -> Cursor<'_> {
    let mut rest = start.text[start.at..].chars();
    if rest.next() != Some('\'') {
        return start;
    }
    let mut letter = || match rest.next() {
        Some('ſ') if any_case => ('s', 'ſ'.len_utf8()), // folds to s
        Some(c) if any_case => (c.to_ascii_lowercase(), 1),
        Some(c) => (c, 1),
        None => ('\0', 0),
    };
    let (first, len) = letter();
    let bytes = match (first, letter().0) {
        ('s' | 't' | 'm' | 'd', _) => 1 + len,
        ('r' | 'v', 'e') | ('l', 'l') => 3,
        _ => 0,
    };
    Cursor { at: start.at + bytes, ..start }
}
