//! Places in a text, and texts, from the command line.

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Byte(usize),
    /// From 1.
    LineColumn(usize, usize),
}

/// `LINE:COLUMN` or a number of bytes.
pub(crate) fn place(text: &str) -> std::result::Result<Place, String> {
    let number = |text: &str| text.parse::<usize>().ok();
    let place = match text.split_once(':') {
        None => number(text).map(Place::Byte),
        Some((line, column)) => number(line).zip(number(column)).map(|(l, c)| Place::LineColumn(l, c)),
    };
    match place {
        Some(Place::LineColumn(0, _) | Place::LineColumn(_, 0)) => {
            Err("lines and columns start at 1".to_owned())
        }
        Some(place) => Ok(place),
        None => Err("a place is LINE:COLUMN or a number of bytes".to_owned()),
    }
}

/// The bytes before a place.
pub(crate) fn offset(text: &str, place: Place) -> std::result::Result<usize, String> {
    match place {
        Place::Byte(at) if at > text.len() => Err(format!("--at {at}: the text has {} bytes", text.len())),
        Place::Byte(at) if !text.is_char_boundary(at) => Err(format!("--at {at} is inside a character")),
        Place::Byte(at) => Ok(at),
        Place::LineColumn(line, column) => {
            let mut start = 0;
            for _ in 1..line {
                let end = text[start..].find('\n').ok_or_else(|| {
                    format!("--at {line}:{column}: the text has {} lines", text.split('\n').count())
                })?;
                start += end + 1;
            }
            let rest = &text[start..];
            let rest = &rest[..rest.find('\n').unwrap_or(rest.len())];
            let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.nth(column - 1).map(|at| start + at).ok_or_else(|| {
                format!("--at {line}:{column}: line {line} has {} characters", rest.chars().count())
            })
        }
    }
}

/// `\n`, `\t` and `\\` in a text from the command line.
pub(crate) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(c) = letters.next() {
        match c {
            '\\' => match letters.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('\\') => out.push('\\'),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let text = "ab\nżó\n\nx";
        for (at, want) in [
            ("0", Ok(0)),
            ("3", Ok(3)),
            ("10", Ok(10)),
            ("1:1", Ok(0)),
            ("1:3", Ok(2)),
            ("2:2", Ok(5)),
            ("2:3", Ok(7)),
            ("3:1", Ok(8)),
            ("4:2", Ok(10)),
            ("4", Err("--at 4 is inside a character")),
            ("11", Err("--at 11: the text has 10 bytes")),
            ("1:4", Err("--at 1:4: line 1 has 2 characters")),
            ("5:1", Err("--at 5:1: the text has 4 lines")),
        ] {
            let got = place(at).and_then(|place| offset(text, place));
            assert_eq!(got, want.map_err(str::to_owned), "{at}");
        }
        for bad in ["", ":", "1:", "x", "1:2:3", "-1", "0:1", "1:0"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape(r"a\n\tb\\n\x\"), "a\n\tb\\n\\x\\");
    }
}
