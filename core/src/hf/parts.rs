//! What `tokenizer.json` holds, read piece by piece: a vocabulary once, straight into the form in which it is kept.

use std::borrow::Cow;

use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::gguf::header::MAX_STRINGS;
use crate::gguf::write::Strings;
use crate::json::Json;

/// Bytes of the parts that are looked at as a whole (rules, not vocabularies).
const MAX_PART: usize = 1 << 20;

/// Kinds of tokens, as files number them.
pub(super) const NORMAL: i32 = 1;
pub(super) const UNKNOWN: i32 = 2;
pub(super) const CONTROL: i32 = 3;
pub(super) const USER_DEFINED: i32 = 4;
pub(super) const UNUSED: i32 = 5;
pub(super) const BYTE: i32 = 6;

/// What the file holds.
#[derive(Default)]
pub(super) struct Parts<'a> {
    pub(super) normalizer: Value,
    pub(super) pre: Value,
    pub(super) post: Value,
    pub(super) kind: Option<Cow<'a, str>>,
    pub(super) unknown: Option<Cow<'a, str>>,
    pub(super) byte_fallback: bool,
    pub(super) ignore_merges: bool,
    /// What marks pieces inside a word, and at its end; empty if nothing does.
    pub(super) inside: Cow<'a, str>,
    pub(super) at_end: Cow<'a, str>,
    /// Id, text, kind.
    pub(super) tokens: Vec<(u32, Cow<'a, str>, i32)>,
    /// Those of the list of added tokens, which may be in the vocabulary as well.
    pub(super) added: Vec<(u32, Cow<'a, str>, i32)>,
    pub(super) merges: Strings,
}

/// Reads the file.
pub(super) fn read(bytes: &[u8]) -> Result<Parts<'_>> {
    let mut parts = Parts::default();
    let mut r = Json::new(bytes);
    r.object(|r, name| {
        match &*name {
            "normalizer" => parts.normalizer = part(r, bytes)?,
            "pre_tokenizer" => parts.pre = part(r, bytes)?,
            "post_processor" => parts.post = part(r, bytes)?,
            "added_tokens" => r.array(|r| {
                let token = read_added(r)?;
                push(&mut parts.added, token, r)
            })?,
            "model" => r.object(|r, name| read_model(r, &name, &mut parts))?,
            _ => r.skip()?,
        }
        Ok(())
    })?;
    r.end()?;
    Ok(parts)
}

/// A part that is small.
fn part(r: &mut Json<'_>, bytes: &[u8]) -> Result<Value> {
    r.peek();
    let start = r.at();
    r.skip()?;
    let text = &bytes[start..r.at()];
    let at = |e: Error| e.with_offset(start as u64);
    if text.len() > MAX_PART {
        let message = format!("{} bytes of rules, at most {MAX_PART} are accepted", text.len());
        return Err(at(Error::new(ErrorKind::Limit, message)));
    }
    serde_json::from_slice(text).map_err(|e| at(Error::new(ErrorKind::Format, "bad JSON").with_source(e)))
}

fn push<T>(list: &mut Vec<T>, item: T, r: &Json<'_>) -> Result<()> {
    if list.len() as u64 >= MAX_STRINGS {
        let message = format!("more than {MAX_STRINGS} tokens");
        return Err(Error::new(ErrorKind::Limit, message).with_offset(r.at() as u64));
    }
    list.push(item);
    Ok(())
}

fn read_id(r: &mut Json<'_>) -> Result<u32> {
    let at = r.at() as u64;
    let id = r.unsigned()?;
    u32::try_from(id)
        .ok()
        .filter(|&id| u64::from(id) < MAX_STRINGS)
        .ok_or_else(|| Error::new(ErrorKind::Limit, format!("a token with the id {id}")).with_offset(at))
}

fn read_added<'a>(r: &mut Json<'a>) -> Result<(u32, Cow<'a, str>, i32)> {
    let (mut id, mut text, mut special) = (None, None, false);
    let at = r.at() as u64;
    r.object(|r, name| {
        match &*name {
            "id" => id = Some(read_id(r)?),
            "content" => text = Some(r.string()?),
            "special" => special = r.boolean()?,
            _ => r.skip()?,
        }
        Ok(())
    })?;
    match (id, text) {
        (Some(id), Some(text)) => Ok((id, text, if special { CONTROL } else { USER_DEFINED })),
        _ => Err(Error::new(ErrorKind::Format, "an added token without id or content").with_offset(at)),
    }
}

fn read_model<'a>(r: &mut Json<'a>, name: &str, parts: &mut Parts<'a>) -> Result<()> {
    match name {
        "type" => parts.kind = Some(r.string()?),
        "unk_token" if !r.null() => parts.unknown = Some(r.string()?),
        "unk_token" => {}
        "byte_fallback" => parts.byte_fallback = r.boolean()?,
        "ignore_merges" => parts.ignore_merges = r.boolean()?,
        "continuing_subword_prefix" if !r.null() => parts.inside = r.string()?,
        "end_of_word_suffix" if !r.null() => parts.at_end = r.string()?,
        "continuing_subword_prefix" | "end_of_word_suffix" => {}
        "vocab" if r.peek() == b'{' => r.object(|r, text| {
            let id = read_id(r)?;
            push(&mut parts.tokens, (id, text, NORMAL), r)
        })?,
        "merges" => r.array(|r| {
            if parts.merges.len() >= MAX_STRINGS {
                let message = format!("more than {MAX_STRINGS} merges");
                return Err(Error::new(ErrorKind::Limit, message).with_offset(r.at() as u64));
            }
            if r.peek() == b'"' {
                parts.merges.push(&[&r.string()?]);
                return Ok(());
            }
            let at = r.at() as u64;
            let mut sides = Vec::with_capacity(2);
            r.array(|r| {
                sides.push(r.string()?);
                Ok(())
            })?;
            match &sides[..] {
                [left, right] if !left.contains(' ') && !right.contains(' ') => {
                    parts.merges.push(&[left, " ", right]);
                    Ok(())
                }
                _ => Err(Error::new(ErrorKind::Format, "a merge that is not two texts without spaces")
                    .with_offset(at)),
            }
        })?,
        _ => r.skip()?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals() {
        for bad in [
            r#"{"model":{"vocab":{"a":4294967296}}}"#,
            r#"{"model":{"vocab":{"a":-1}}}"#,
            r#"{"model":{"merges":["a b",["a"]]}}"#,
            r#"{"model":{"merges":[["a b","c"]]}}"#,
            r#"{"model":{"continuing_subword_prefix":1}}"#,
            r#"{"added_tokens":[{"id":3}]}"#,
            r#"[]"#,
            r#"{"model":{}"#,
        ] {
            let e = read(bad.as_bytes()).err().expect(bad);
            assert!(e.offset().is_some(), "{bad}: {e}");
        }
    }
}
