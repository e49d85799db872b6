//! Template text into tokens, with Jinja's rules for white space: `trim_blocks` and `lstrip_blocks` on (as
//! transformers sets them), `-` and `+` at tags, one newline at the very end of the source dropped.

use super::{Fault, fault};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// Text outside of tags.
    Data(Box<str>),
    BlockBegin,
    BlockEnd,
    VariableBegin,
    VariableEnd,
    Name(Arc<str>),
    Str(Arc<str>),
    Int(i64),
    Float(f64),
    /// An operator or punctuation mark, as written.
    Op(&'static str),
}

/// Longest first, so that the first that fits is the right one.
const OPERATORS: [&str; 27] = [
    "**", "//", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<",
    "=", ".", ":", "|", ",", ";", "!",
];

/// A token and the line it begins on.
pub(super) type Spanned = (Token, u32);

pub(super) fn tokenize(source: &str) -> Result<Vec<Spanned>, Fault> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let source = source.strip_suffix('\n').unwrap_or(&source);
    let mut lexer = Lexer { source, at: 0, line: 1, counted: 0, tokens: Vec::new(), line_starting: true };
    lexer.run()?;
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    source: &'a str,
    /// Byte position of what comes next.
    at: usize,
    /// The line of byte `counted`.
    line: u32,
    counted: usize,
    tokens: Vec<Spanned>,
    /// Whether the last tag ended with a newline (or there was none): then white space before the next block tag is
    /// the start of a line.
    line_starting: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Tag {
    Block,
    Variable,
    Comment,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn line(&mut self) -> u32 {
        let newlines = self.source[self.counted..self.at].bytes().filter(|&b| b == b'\n').count();
        self.line += newlines as u32;
        self.counted = self.at;
        self.line
    }

    fn push(&mut self, token: Token) {
        let line = self.line();
        self.tokens.push((token, line));
    }

    fn fault<T>(&mut self, message: impl Into<String>) -> Result<T, Fault> {
        Err(fault(message).at(self.line()))
    }

    fn run(&mut self) -> Result<(), Fault> {
        loop {
            let rest = self.rest();
            let Some((start, tag)) = next_tag(rest) else {
                self.data(rest);
                return Ok(());
            };
            let sign = rest.as_bytes().get(start + 2).copied().filter(|b| matches!(b, b'-' | b'+'));
            self.data(self.before_tag(&rest[..start], tag, sign));
            self.at += start;
            let line = self.line();
            self.at += 2 + usize::from(sign.is_some());
            match tag {
                Tag::Comment => {
                    let Some(end) = self.rest().find("#}") else {
                        return Err(fault("a comment without end").at(line));
                    };
                    let minus = self.rest()[..end].ends_with('-');
                    let plus = self.rest()[..end].ends_with('+');
                    self.at += end + 2;
                    self.after_tag(minus, !plus);
                }
                Tag::Block if self.raw_block(line)? => {}
                Tag::Block => {
                    self.tokens.push((Token::BlockBegin, line));
                    self.expression("%}", Token::BlockEnd)?;
                }
                Tag::Variable => {
                    self.tokens.push((Token::VariableBegin, line));
                    self.expression("}}", Token::VariableEnd)?;
                }
            }
        }
    }

    fn data(&mut self, text: &str) {
        if !text.is_empty() {
            self.push(Token::Data(text.into()));
        }
    }

    /// The text before a tag less the white space that the tag takes away.
    fn before_tag(&self, text: &'a str, tag: Tag, sign: Option<u8>) -> &'a str {
        match sign {
            Some(b'-') => text.trim_end(),
            None if tag != Tag::Variable => {
                let start_of_line = text.rfind('\n').map_or(0, |at| at + 1);
                let blank = text[start_of_line..].trim().is_empty();
                if blank && (start_of_line > 0 || self.line_starting) { &text[..start_of_line] } else { text }
            }
            _ => text,
        }
    }

    /// Skips the white space that the end of a tag takes away: all after `-`, else one newline.
    fn after_tag(&mut self, minus: bool, newline: bool) {
        let rest = self.rest();
        let skipped = if minus {
            rest.len() - rest.trim_start().len()
        } else {
            usize::from(newline && rest.starts_with('\n'))
        };
        self.line_starting = rest[..skipped].ends_with('\n');
        self.at += skipped;
    }

    /// `raw … endraw`, after `{%`: false if this is another block.
    fn raw_block(&mut self, line: u32) -> Result<bool, Fault> {
        let Some(after) = self.rest().trim_start().strip_prefix("raw") else { return Ok(false) };
        let after = after.trim_start();
        let (minus, after) = match after.strip_prefix("-%}") {
            Some(rest) => (true, rest),
            None => match after.strip_prefix("%}") {
                Some(rest) => (false, rest),
                None => return Ok(false),
            },
        };
        self.at = self.source.len() - after.len();
        self.after_tag(minus, false);
        let body = self.rest();
        let mut from = 0;
        while let Some(found) = body[from..].find("{%") {
            let start = from + found;
            let inner = &body[start + 2..];
            let sign = inner.as_bytes().first().copied().filter(|b| matches!(b, b'-' | b'+'));
            let inner = inner[usize::from(sign.is_some())..].trim_start();
            if let Some(end) = inner.strip_prefix("endraw") {
                let end = end.trim_start();
                let (mark, end) = match end.as_bytes().first() {
                    Some(&m @ (b'-' | b'+')) => (m, &end[1..]),
                    _ => (0, end),
                };
                if let Some(rest) = end.strip_prefix("%}") {
                    let text = self.before_tag(&body[..start], Tag::Block, sign);
                    self.data(text);
                    self.at = self.source.len() - rest.len();
                    self.after_tag(mark == b'-', mark != b'+');
                    return Ok(true);
                }
            }
            from = start + 2;
        }
        Err(fault("a raw block without end").at(line))
    }

    /// Tokens up to and with the end of the tag.
    fn expression(&mut self, end: &str, end_token: Token) -> Result<(), Fault> {
        let mut open = 0u32; // brackets: an end mark inside of them is not one ("{{ {'a': {}} }}")
        loop {
            self.at += self.rest().len() - self.rest().trim_start().len();
            let rest = self.rest();
            if open == 0 {
                let sign = rest.as_bytes().first().copied().filter(|b| matches!(b, b'-' | b'+'));
                // Variables know "-}}" only.
                let sign = sign.filter(|&b| b == b'-' || end == "%}");
                if rest[usize::from(sign.is_some())..].starts_with(end) {
                    self.push(end_token);
                    self.at += usize::from(sign.is_some()) + 2;
                    self.after_tag(sign == Some(b'-'), end == "%}" && sign.is_none());
                    return Ok(());
                }
            }
            let Some(c) = rest.chars().next() else { return self.fault("the template ends inside a tag") };
            if c == '\'' || c == '"' {
                self.string(c)?;
            } else if c.is_ascii_digit() {
                self.number()?;
            } else if c == '_' || c.is_alphabetic() {
                let length = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
                self.push(Token::Name(rest[..length].into()));
                self.at += length;
            } else if let Some(op) = OPERATORS.into_iter().find(|op| rest.starts_with(op)) {
                match op {
                    "(" | "[" | "{" => open += 1,
                    ")" | "]" | "}" => open = open.saturating_sub(1),
                    _ => {}
                }
                self.push(Token::Op(op));
                self.at += op.len();
            } else {
                return self.fault(format!("unexpected character {c:?}"));
            }
        }
    }

    fn number(&mut self) -> Result<(), Fault> {
        let rest = self.rest();
        let digits = |s: &str| s.find(|c: char| c != '_' && !c.is_ascii_digit()).unwrap_or(s.len());
        let mut length = digits(rest);
        let mut float = false;
        if rest[length..].starts_with('.') && rest[length + 1..].starts_with(|c: char| c.is_ascii_digit()) {
            float = true;
            length += 1 + digits(&rest[length + 1..]);
        }
        if rest[length..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[length + 1..].starts_with(['+', '-']));
            let exponent = digits(&rest[length + 1 + sign..]);
            if exponent > 0 {
                float = true;
                length += 1 + sign + exponent;
            }
        }
        let text: String = rest[..length].chars().filter(|&c| c != '_').collect();
        let token =
            if float { text.parse().ok().map(Token::Float) } else { text.parse().ok().map(Token::Int) };
        let Some(token) = token else { return self.fault("a number beyond 64 bits") };
        self.push(token);
        self.at += length;
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<(), Fault> {
        let rest = &self.rest()[1..];
        let mut text = String::new();
        let mut chars = rest.char_indices();
        while let Some((at, c)) = chars.next() {
            if c == quote {
                self.push(Token::Str(text.into()));
                self.at += 1 + at + 1;
                return Ok(());
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            let Some((_, escape)) = chars.next() else { break };
            let mut hex = |digits: usize| {
                let code = chars.as_str().get(..digits).and_then(|h| u32::from_str_radix(h, 16).ok());
                chars.by_ref().take(if code.is_some() { digits } else { 0 }).for_each(drop);
                code.and_then(char::from_u32)
            };
            let value = match escape {
                '\n' => continue,
                'n' => Some('\n'),
                't' => Some('\t'),
                'r' => Some('\r'),
                'a' => Some('\x07'),
                'b' => Some('\x08'),
                'f' => Some('\x0c'),
                'v' => Some('\x0b'),
                '0' => Some('\0'),
                '\\' | '\'' | '"' => Some(escape),
                'x' => hex(2),
                'u' => hex(4),
                'U' => hex(8),
                _ => {
                    text.push('\\'); // Python keeps what it does not know
                    Some(escape)
                }
            };
            match value {
                Some(c) => text.push(c),
                None => return self.fault("a bad escape in a string"),
            }
        }
        self.fault("a string without end")
    }
}

fn next_tag(text: &str) -> Option<(usize, Tag)> {
    let mut from = 0;
    while let Some(found) = text[from..].find('{') {
        let at = from + found;
        match text.as_bytes().get(at + 1) {
            Some(b'%') => return Some((at, Tag::Block)),
            Some(b'{') => return Some((at, Tag::Variable)),
            Some(b'#') => return Some((at, Tag::Comment)),
            _ => from = at + 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text parts of a template, `|` for each tag.
    fn text(source: &str) -> String {
        let mut out = String::new();
        for (token, _) in tokenize(source).expect("well-formed") {
            match token {
                Token::Data(data) => out.push_str(&data),
                Token::BlockBegin | Token::VariableBegin => out.push('|'),
                _ => {}
            }
        }
        out
    }

    #[test]
    fn white_space() {
        // Each line as Jinja2 3.1 with trim_blocks and lstrip_blocks has it.
        let cases = [
            ("a\n{% x %}\nb", "a\n|b"),
            ("a\n  {% x %}\n  b", "a\n|  b"),
            ("a\n  {%+ x %}\n  b", "a\n  |  b"),
            ("a  {% x %}\nb", "a  |b"),
            ("  {% x %}  {% y %}\n", "|  |"),
            ("  {% x %}  {% y %}", "|  |"),
            ("a \n {%- x -%} \n b", "a|b"),
            ("a\n {% x +%}\nb", "a\n|\nb"),
            ("a\n  {{ x }}\nb", "a\n  |\nb"),
            ("a\n  {{- x -}}\n b", "a|b"),
            ("a\n  {# c #}\nb", "a\nb"),
            ("a {#- c -#} b", "ab"),
            ("a\n\n", "a\n"),
            ("a\r\nb\rc", "a\nb\nc"),
            ("a{% raw %}{{ x }} {% endraw %}\nb", "a{{ x }} b"),
            ("a{% raw -%}  {% y %} {%- endraw -%}  b", "a{% y %}b"),
            ("{%x%}\n\n{%y%}", "|\n|"),
        ];
        for (source, expected) in cases {
            assert_eq!(text(source), expected, "{source:?}");
        }
    }

    #[test]
    fn tokens_of_an_expression() {
        let tokens = tokenize(r#"{{ a.b['x\n\u00e9'] ** 1_0 // 2.5e1 ~ {"k": {}} }}"#).expect("well-formed");
        let shown: Vec<String> = tokens
            .into_iter()
            .map(|(t, _)| match t {
                Token::Name(n) => n.to_string(),
                Token::Str(s) => format!("{s:?}"),
                Token::Int(i) => i.to_string(),
                Token::Float(f) => f.to_string(),
                Token::Op(op) => op.to_owned(),
                t => format!("{t:?}"),
            })
            .collect();
        let expected = r#"VariableBegin a . b [ "x\né" ] ** 10 // 25 ~ { "k" : { } } VariableEnd"#;
        assert_eq!(shown.join(" "), expected);
    }

    #[test]
    fn broken_sources_name_the_line() {
        for (source, line, message) in [
            ("a\n{{ x", 2, "ends inside a tag"),
            ("\n\n{% if 'abc %}", 3, "string without end"),
            ("{# x", 1, "comment without end"),
            ("\n{% raw %} x", 2, "raw block without end"),
            ("{{ ? }}", 1, "unexpected character"),
            ("{{ 99999999999999999999 }}", 1, "beyond 64 bits"),
            (r"{{ '\uzzzz' }}", 1, "bad escape"),
        ] {
            let e = tokenize(source).expect_err(source);
            assert_eq!(e.line, Some(line), "{source}");
            assert!(e.message.contains(message), "{source}: {}", e.message);
        }
    }
}
