//! JSON of any size, read piece by piece where it lies.
//!
//! A tokenizer has a million strings and a checkpoint's header thousands of tensors: nothing is built of them but what
//! the caller keeps. Strings without escapes are borrowed. Nesting has a limit; every error has the byte it is at.
//! (Small documents, whose values are looked up by name, are read with `serde_json`.)

use std::borrow::Cow;

use crate::error::{Error, ErrorKind, Result};

/// Objects and arrays inside each other.
const MAX_DEPTH: u32 = 32;

/// Reads one document from its start to its end.
pub(crate) struct Json<'a> {
    data: &'a [u8],
    at: usize,
    depth: u32,
}

impl<'a> Json<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, depth: 0 }
    }

    /// Where the next thing is read, in bytes.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The first byte of the next value; 0 at the end.
    pub(crate) fn peek(&mut self) -> u8 {
        while matches!(self.data.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.data.get(self.at).copied().unwrap_or(0)
    }

    /// Whether the next value is `null`, which is passed over then.
    pub(crate) fn null(&mut self) -> bool {
        self.peek() == b'n' && self.word("null").is_ok()
    }

    /// Shows each member's name, and the reader before its value, which must be read.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Cow<'a, str>) -> Result<()>,
    ) -> Result<()> {
        self.list(b'{', b'}', "an object", |r| {
            let name = r.string()?;
            r.expect(b':', "a colon")?;
            member(r, name)
        })
    }

    /// Shows the reader before each element, which must be read.
    pub(crate) fn array(&mut self, item: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.list(b'[', b']', "an array", item)
    }

    fn list(
        &mut self,
        open: u8,
        close: u8,
        what: &str,
        mut item: impl FnMut(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.expect(open, what)?;
        if self.depth == MAX_DEPTH {
            let message = format!("JSON more than {MAX_DEPTH} levels deep");
            return Err(Error::new(ErrorKind::Limit, message).with_offset(self.at as u64));
        }
        self.depth += 1;
        if self.peek() == close {
            self.at += 1;
        } else {
            loop {
                item(self)?;
                if self.peek() == close {
                    self.at += 1;
                    break;
                }
                self.expect(b',', "a comma or the end of a list")?;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// A string; borrowed if it has no escapes.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>> {
        self.expect(b'"', "a string")?;
        let start = self.at;
        let rest = &self.data[start..];
        let plain = rest.iter().position(|&b| matches!(b, b'"' | b'\\') || b < 0x20).unwrap_or(rest.len());
        self.at += plain;
        let utf8 = |bytes: &'a [u8]| {
            std::str::from_utf8(bytes).map_err(|e| {
                let at = start + e.valid_up_to();
                Error::new(ErrorKind::Format, "a string is not UTF-8").with_offset(at as u64)
            })
        };
        let text = utf8(&rest[..plain])?;
        if self.data.get(self.at) == Some(&b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(text));
        }
        let mut out = text.to_owned();
        loop {
            match self.data.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(out));
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                Some(0x20..) => {
                    let rest = &self.data[self.at..];
                    let n = rest.iter().position(|&b| matches!(b, b'"' | b'\\') || b < 0x20);
                    let n = n.unwrap_or(rest.len());
                    let text =
                        std::str::from_utf8(&rest[..n]).map_err(|_| self.bad("a string is not UTF-8"))?;
                    out.push_str(text);
                    self.at += n;
                }
                _ => return Err(self.bad("a string does not end, or has a control character")),
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<char> {
        let c = self.data.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        Ok(match c {
            b'"' | b'\\' | b'/' => c.into(),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let mut code = self.unit()?;
                if (0xD800..0xDC00).contains(&code) && self.data[self.at..].starts_with(b"\\u") {
                    self.at += 2;
                    let low = self.unit()?.checked_sub(0xDC00).filter(|&low| low < 0x400);
                    let low = low.ok_or_else(|| self.bad("half a character in an escape"))?;
                    code = 0x10000 + ((code - 0xD800) << 10) + low;
                }
                char::from_u32(code).ok_or_else(|| self.bad("half a character in an escape"))?
            }
            _ => return Err(self.bad("an escape that does not exist")),
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u32> {
        let digits = self.data.get(self.at..self.at + 4).and_then(|d| std::str::from_utf8(d).ok());
        let digits = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let unit = digits.and_then(|d| u32::from_str_radix(d, 16).ok());
        let unit = unit.ok_or_else(|| self.bad("an escape without four digits"))?;
        self.at += 4;
        Ok(unit)
    }

    /// The text of a number.
    fn number_text(&mut self) -> Result<&'a str> {
        self.peek();
        let rest = &self.data[self.at..];
        let len = rest.iter().position(|b| !matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
        let len = len.unwrap_or(rest.len());
        let text = std::str::from_utf8(&rest[..len]).unwrap_or_default();
        if text.is_empty() {
            return Err(self.bad("expected a number"));
        }
        self.at += len;
        Ok(text)
    }

    /// An integer from 0, without fraction or exponent.
    pub(crate) fn unsigned(&mut self) -> Result<u64> {
        let before = self.at;
        let text = self.number_text()?;
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten().ok_or_else(|| {
            self.at = before;
            self.bad("expected an integer from 0 to 2^64 - 1")
        })
    }

    /// Any number.
    pub(crate) fn number(&mut self) -> Result<f64> {
        let text = self.number_text()?;
        text.parse().map_err(|_| self.bad("not a number"))
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self) -> Result<bool> {
        let value = self.peek() == b't';
        self.word(if value { "true" } else { "false" })?;
        Ok(value)
    }

    fn word(&mut self, word: &str) -> Result<()> {
        if !self.data[self.at..].starts_with(word.as_bytes()) {
            return Err(self.bad(&format!("expected {word}")));
        }
        self.at += word.len();
        Ok(())
    }

    /// Passes over a value.
    pub(crate) fn skip(&mut self) -> Result<()> {
        match self.peek() {
            b'{' => self.object(|r, _| r.skip()),
            b'[' => self.array(Self::skip),
            b'"' => self.string().map(drop),
            b't' | b'f' => self.boolean().map(drop),
            b'n' => self.word("null"),
            _ => self.number().map(drop),
        }
    }

    /// An error if anything but white space follows.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.peek();
        if self.at == self.data.len() {
            Ok(())
        } else {
            Err(self.bad("something follows the end of the JSON"))
        }
    }

    fn expect(&mut self, byte: u8, what: &str) -> Result<()> {
        if self.peek() != byte {
            return Err(self.bad(&format!("expected {what}")));
        }
        self.at += 1;
        Ok(())
    }

    fn bad(&self, what: &str) -> Error {
        Error::new(ErrorKind::Format, format!("bad JSON: {what}")).with_offset(self.at as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_is_told_to() {
        let text =
            r#" {"a": [1, 2.5e1 ,-3], "b\n\u00e9\ud83d\ude00": "x", "c": {"d": [null, true]}, "e": null} "#;
        let mut r = Json::new(text.as_bytes());
        let (mut names, mut numbers) = (Vec::new(), Vec::new());
        r.object(|r, name| {
            names.push(name.clone().into_owned());
            match &*name {
                "a" => r.array(|r| r.number().map(|n| numbers.push(n))),
                _ if r.null() => Ok(()),
                _ => r.skip(),
            }
        })
        .expect("well-formed");
        r.end().expect("only a space");
        assert_eq!(
            (&names[..], &numbers[..]),
            (&["a", "b\né😀", "c", "e"].map(String::from)[..], &[1.0, 25.0, -3.0][..])
        );
    }

    #[test]
    fn integers_are_exact() {
        let read = |text: &str| Json::new(text.as_bytes()).unsigned().ok();
        assert_eq!(read("18446744073709551615"), Some(u64::MAX));
        for bad in ["18446744073709551616", "-1", "1.0", "1e3", "", "x", "+1"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_refusal_has_its_place() {
        let deep = "[".repeat(1_000_000);
        for text in [
            "",
            "{",
            "[1",
            "[1,]",
            "[1 2]",
            "{\"a\" 1}",
            "{1:2}",
            "{\"a\":1,}",
            "\"abc",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\ud800\\ue000\"",
            "\"\\udc00\"",
            "\"\u{1}\"",
            "tru",
            "nul",
            "--",
            "1 2",
            "[] x",
            &deep,
        ] {
            let mut r = Json::new(text.as_bytes());
            let e = r.skip().and_then(|()| r.end()).expect_err(&text[..text.len().min(20)]);
            assert!(e.offset().is_some(), "{e}");
        }
        let mut r = Json::new(b"\"a\xff\"");
        assert_eq!(r.skip().expect_err("not UTF-8").offset(), Some(2));
    }
}
