//! What a character is, as far as pre-tokenizers ask: a few bits over the Unicode general categories.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// A set of [`Class`] bits.
pub(super) type Class = u16;

/// `\p{Lu}` `\p{Lt}`
pub(super) const UPPER: Class = 1;
/// `\p{Ll}`
pub(super) const LOWER: Class = 2;
/// `\p{Lm}` `\p{Lo}`
pub(super) const CASELESS: Class = 4;
/// `\p{L}`
pub(super) const LETTER: Class = UPPER | LOWER | CASELESS;
/// `\p{M}`
pub(super) const MARK: Class = 8;
/// `\p{Nd}`; always with [`NUMBER`]
pub(super) const DECIMAL: Class = 16;
/// `\p{N}`
pub(super) const NUMBER: Class = 32;
/// `\p{P}`
pub(super) const PUNCTUATION: Class = 64;
/// `\p{S}`
pub(super) const SYMBOL: Class = 128;
/// `\s`: the property White_Space
pub(super) const SPACE: Class = 256;
/// `[\r\n]`; always with [`SPACE`]
pub(super) const NEWLINE: Class = 512;

/// The classes of ASCII.
const ASCII: [Class; 128] = {
    let mut table = [0; 128];
    let mut c = 0;
    while c < 128 {
        table[c] = match c as u8 {
            b'A'..=b'Z' => UPPER,
            b'a'..=b'z' => LOWER,
            b'0'..=b'9' => NUMBER | DECIMAL,
            b'\n' | b'\r' => SPACE | NEWLINE,
            b' ' | b'\t' | 0x0B | 0x0C => SPACE,
            b'$' | b'+' | b'<' | b'=' | b'>' | b'^' | b'`' | b'|' | b'~' => SYMBOL,
            b'!'..=b'~' => PUNCTUATION,
            _ => 0,
        };
        c += 1;
    }
    table
};

/// The classes of `c`.
#[inline]
pub(super) fn class_of(c: char) -> Class {
    match ASCII.get(c as usize) {
        Some(&class) => class,
        None => beyond_ascii(c),
    }
}

fn beyond_ascii(c: char) -> Class {
    use GeneralCategory::*;
    // The scripts of long texts without spaces, before a search through three thousand ranges.
    if matches!(c, '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}') {
        return CASELESS;
    }
    if c.is_whitespace() {
        return SPACE;
    }
    match c.general_category() {
        UppercaseLetter | TitlecaseLetter => UPPER,
        LowercaseLetter => LOWER,
        ModifierLetter | OtherLetter => CASELESS,
        NonspacingMark | SpacingMark | EnclosingMark => MARK,
        DecimalNumber => NUMBER | DECIMAL,
        LetterNumber | OtherNumber => NUMBER,
        ConnectorPunctuation | DashPunctuation | OpenPunctuation | ClosePunctuation | InitialPunctuation
        | FinalPunctuation | OtherPunctuation => PUNCTUATION,
        MathSymbol | CurrencySymbol | ModifierSymbol | OtherSymbol => SYMBOL,
        _ => 0,
    }
}

/// A place in a text, and what is there.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    /// The text.
    pub(super) text: &'a str,
    /// Byte, on a character's boundary.
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    /// The character here; `None` at the end.
    #[inline]
    pub(super) fn char(self) -> Option<char> {
        match self.text.as_bytes().get(self.at) {
            Some(&b) if b < 128 => Some(char::from(b)),
            Some(_) => self.text[self.at..].chars().next(),
            None => None,
        }
    }

    /// The classes of the character here; 0 at the end.
    #[inline]
    pub(super) fn class(self) -> Class {
        self.char().map_or(0, class_of)
    }

    /// Behind the character here.
    #[inline]
    pub(super) fn next(self) -> Self {
        Self { at: self.at + self.char().map_or(0, char::len_utf8), ..self }
    }

    /// Whether this is the end.
    #[inline]
    pub(super) fn is_end(self) -> bool {
        self.at >= self.text.len()
    }

    /// Behind the characters from here on for which `keep` says yes.
    #[inline]
    pub(super) fn skip(mut self, keep: impl Fn(char, Class) -> bool) -> Self {
        while let Some(c) = self.char()
            && keep(c, class_of(c))
        {
            self.at += c.len_utf8();
        }
        self
    }

    /// Behind the characters from here on that have a class of `classes`.
    #[inline]
    pub(super) fn skip_class(self, classes: Class) -> Self {
        self.skip(|_, class| class & classes != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_is_as_unicode_says() {
        for c in (0..128u8).map(char::from) {
            let slow = match c {
                '\n' | '\r' => SPACE | NEWLINE,
                _ => beyond_ascii(c),
            };
            assert_eq!(class_of(c), slow, "{c:?}");
        }
    }

    #[test]
    fn some_of_each() {
        for (c, class) in [
            ('É', UPPER),
            ('ǅ', UPPER),
            ('ß', LOWER),
            ('ʰ', CASELESS),
            ('語', CASELESS),
            ('한', CASELESS),
            ('\u{301}', MARK),
            ('٣', NUMBER | DECIMAL),
            ('Ⅳ', NUMBER),
            ('½', NUMBER),
            ('„', PUNCTUATION),
            ('€', SYMBOL),
            ('😀', SYMBOL),
            ('\u{A0}', SPACE),
            ('\u{3000}', SPACE),
            ('\u{85}', SPACE),
            ('\u{200B}', 0),
            ('\u{FEFF}', 0),
            ('\u{E000}', 0),
        ] {
            assert_eq!(class_of(c), class, "{c:?}");
        }
    }
}
