//! Rust source as text without what would mislead a search: comments, string contents, test code.
//!
//! This is no parser. It knows comments (nested), string, raw string, byte string and character literals, lifetimes,
//! attributes and balanced brackets, which is what the rules of `layering` need. Byte positions and line breaks are
//! kept: what is taken out becomes spaces.

/// `source` with comments and the contents of string and character literals replaced by spaces.
pub(crate) fn code_only(source: &str) -> String {
    blank(source, true)
}

/// `source` with comments replaced by spaces; literals stay.
pub(crate) fn without_comments(source: &str) -> String {
    blank(source, false)
}

fn blank(source: &str, literals_too: bool) -> String {
    let bytes = source.as_bytes();
    let mut out = bytes.to_vec();
    let mut erase = |from: usize, to: usize| {
        for b in &mut out[from..to] {
            if *b != b'\n' {
                *b = b' ';
            }
        }
    };
    let mut i = 0;
    while i < bytes.len() {
        let rest = &bytes[i..];
        let end = i + if rest.starts_with(b"//") {
            rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            block_comment_len(rest)
        } else {
            let Some(len) = literal_len(bytes, i) else {
                i += 1;
                continue;
            };
            if literals_too {
                erase(i + 1, i + len.saturating_sub(1).max(1));
            }
            i += len;
            continue;
        };
        erase(i, end);
        i = end;
    }
    String::from_utf8(out).unwrap_or_default() // only whole comments and literals became spaces
}

fn block_comment_len(s: &[u8]) -> usize {
    let (mut depth, mut i) = (0, 0);
    while i < s.len() {
        if s[i..].starts_with(b"/*") {
            (depth, i) = (depth + 1, i + 2);
        } else if s[i..].starts_with(b"*/") {
            (depth, i) = (depth - 1, i + 2);
            if depth == 0 {
                return i;
            }
        } else {
            i += 1;
        }
    }
    s.len()
}

/// The length of the literal that starts at `i`, prefix included; `None` if none starts there.
fn literal_len(s: &[u8], i: usize) -> Option<usize> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if i > 0 && word(s[i - 1]) && word(s[i]) {
        return None; // in the middle of an identifier
    }
    let rest = &s[i..];
    let prefix = rest.iter().take_while(|b| matches!(b, b'b' | b'c' | b'r')).count().min(2);
    let hashes = rest[prefix..].iter().take_while(|&&b| b == b'#').count();
    let raw = rest[..prefix].contains(&b'r');
    match rest.get(prefix + hashes)? {
        b'"' if raw => {
            let close = [&b"\""[..], &b"#".repeat(hashes)].concat();
            let body = prefix + hashes + 1;
            let len = rest[body..].windows(close.len()).position(|w| w == close)?;
            Some(body + len + close.len())
        }
        b'"' if hashes == 0 => quoted_len(&rest[prefix..], b'"').map(|n| prefix + n),
        b'\'' if hashes == 0 && !raw => {
            let q = &rest[prefix..];
            // 'a' or '\n' is a character, 'a without a closing quote a lifetime.
            let one = std::str::from_utf8(q.get(1..)?).ok()?.chars().next()?;
            let is_char = one == '\\' || q.get(1 + one.len_utf8()) == Some(&b'\'');
            if is_char { quoted_len(q, b'\'').map(|n| prefix + n) } else { None }
        }
        _ => None,
    }
}

fn quoted_len(s: &[u8], quote: u8) -> Option<usize> {
    let mut i = 1;
    while i < s.len() {
        match s[i] {
            b'\\' => i += 2,
            b if b == quote => return Some(i + 1),
            _ => i += 1,
        }
    }
    None
}

/// Blanks every item under `#[cfg(test)]` (or `cfg(all(test, ..))`) in `text`, where `code` is [`code_only`] of the
/// same source. Returns the text left and the names of the modules declared there as files (`mod name;`).
pub(crate) fn without_tests(text: &str, code: &str) -> (String, Vec<String>) {
    let mut out = text.as_bytes().to_vec();
    let mut modules = Vec::new();
    let bytes = code.as_bytes();
    let mut i = 0;
    while let Some(at) = code[i..].find("#[cfg(").map(|p| p + i) {
        let attr = at + bracket_len(&bytes[at + 1..]) + 1;
        let cfg = &code[at + 6..attr.saturating_sub(2)];
        i = attr;
        if !cfg.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == "test") || cfg.contains("not(")
        {
            continue;
        }
        let end = item_end(bytes, attr);
        let item = code[attr..end].trim();
        if let Some(name) = item.split("mod ").nth(1).and_then(|n| n.strip_suffix(';')) {
            modules.push(name.trim().to_string());
        }
        for b in &mut out[at..end] {
            if *b != b'\n' {
                *b = b' ';
            }
        }
        i = end;
    }
    (String::from_utf8(out).unwrap_or_default(), modules)
}

/// The length of the bracketed text at the start of `s`, brackets included.
fn bracket_len(s: &[u8]) -> usize {
    let mut depth = 0usize;
    for (i, b) in s.iter().enumerate() {
        match b {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return i + 1;
                }
            }
            _ => {}
        }
    }
    s.len()
}

/// Where the item that starts at `i` ends: after its `;`, its `{..}` or (a list's element) its `,`.
fn item_end(s: &[u8], mut i: usize) -> usize {
    while i < s.len() {
        match s[i] {
            b';' | b',' => return i + 1,
            b'{' => return i + bracket_len(&s[i..]),
            b'(' | b'[' => i += bracket_len(&s[i..]),
            b'}' | b')' | b']' => return i, // the end of the surrounding list
            _ => i += 1,
        }
    }
    s.len()
}

/// The words of `text` with their byte positions: runs of letters, digits and `_`.
pub(crate) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|w| !w.is_empty())
        .map(move |w| (w.as_ptr() as usize - text.as_ptr() as usize, w))
}

/// The line number, from 1, of byte `at`.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|&&b| b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_go_the_rest_stays() {
        let s = "let a = \"crate::model\"; // crate::x\nlet b = 'x'; /* a /* b */ c */ fn f<'a>(x: &'a str) {} r#\"a\"b\"#";
        let c = code_only(s);
        assert_eq!(c.len(), s.len());
        assert!(!c.contains("crate") && !c.contains('x') || c.contains("(x: &'a str)"), "{c}");
        assert!(!c.contains("crate::") && c.contains("fn f<'a>(x: &'a str) {}"), "{c}");
        assert!(
            without_comments(s).contains("\"crate::model\"") && !without_comments(s).contains("crate::x")
        );
        assert_eq!(code_only("b'\\'' + '\\\\' + 1"), "b    ' + '  ' + 1".replace("b    '", "b   '"));
    }

    #[test]
    fn test_items_go() {
        let s = "use crate::a;\n#[cfg(test)]\nmod tests {\n use crate::b; fn f() {}\n}\n#[cfg(test)] mod testing;\n#[cfg(not(test))] use crate::c;\nfn g() {}";
        let (left, modules) = without_tests(s, &code_only(s));
        assert!(
            left.contains("crate::a") && !left.contains("crate::b") && left.contains("crate::c"),
            "{left}"
        );
        assert!(left.contains("fn g") && modules == ["testing"], "{left} {modules:?}");
    }
}
