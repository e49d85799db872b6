//! Unicode normalisation form C, for the families whose published tokenizer asks for it.
//!
//! The loop is ours over the tables of `unicode-normalization`: its own iterator links the tables of the compatibility
//! forms too, twice the size (`docs/adr/0011-unicode.md`).

use std::borrow::Cow;

use unicode_normalization::char::{canonical_combining_class, compose, decompose_canonical};
use unicode_normalization::{IsNormalized, is_nfc_quick};

/// `text` in form C: itself, if it is.
pub(super) fn nfc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return Cow::Borrowed(text);
    }
    // Whole decomposition, with the class of each character; 0 starts a new cluster.
    let mut chars: Vec<(u8, char)> = Vec::with_capacity(text.len());
    for c in text.chars() {
        decompose_canonical(c, |part| chars.push((canonical_combining_class(part), part)));
    }
    // Canonical order: the marks of a cluster by class, equal ones as they were.
    for cluster in chars.chunk_by_mut(|_, next| next.0 != 0) {
        let marks = usize::from(cluster[0].0 == 0);
        cluster[marks..].sort_by_key(|mark| mark.0);
    }
    // Composition: a character joins the last starter, unless one of the same or a higher class stands between.
    let mut out: Vec<char> = Vec::with_capacity(chars.len());
    let (mut starter, mut between) = (None, 0);
    for (class, c) in chars {
        if let Some(at) = starter
            && (out.len() == at + 1 || between < class)
            && let Some(composed) = compose(out[at], c)
        {
            out[at] = composed;
            continue;
        }
        if class == 0 {
            starter = Some(out.len());
        }
        between = class;
        out.push(c);
    }
    Cow::Owned(out.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_normalization::UnicodeNormalization;

    #[test]
    fn known_forms() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("é", "é"),
            ("e\u{301} vs é", "é vs é"),
            ("\u{1112}\u{1161}\u{11AB}", "한"),
            ("\u{212B}", "Å"),             // a singleton
            ("\u{958}", "\u{915}\u{93C}"), // excluded from composition
            ("\u{301}e", "\u{301}e"),      // a mark without a base
            ("q\u{307}\u{323}", "q\u{323}\u{307}"),
        ] {
            assert_eq!(nfc(text), expected, "{text:?}");
        }
        assert!(matches!(nfc("日本語 text"), Cow::Borrowed(_)));
    }

    #[test]
    fn as_the_crate_does_it() {
        let mut state = 7u32;
        let mut next = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for _ in 0..20_000 {
            let text: String = (0..next(8))
                .filter_map(|_| {
                    let (first, count) = [
                        (0x41, 60),
                        (0x300, 0x70),
                        (0xC0, 0x180),
                        (0x1100, 0x100),
                        (0x900, 0x100),
                        (0, 0x11_0000),
                    ][next(6) as usize];
                    char::from_u32(first + next(count))
                })
                .collect();
            assert_eq!(nfc(&text), text.nfc().collect::<String>(), "{text:?}");
        }
    }
}
