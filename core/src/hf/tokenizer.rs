//! `tokenizer.json` to the metadata that GGUF has for a tokenizer.
//!
//! Byte-level BPE, and BPE over characters with bytes to fall back on (what becomes of a SentencePiece model): these are
//! what the families use.

use std::path::Path;

use serde_json::Value;

use super::config::Config;
use super::head::Head;
use super::parts::{self, Parts};
use super::parts::{BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED};
use super::specials::Special;
use super::{chat, families, pre};
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::Bytes;
use crate::gguf::write::Strings;
use crate::tokenizer::TOKEN_ORDER;

const FILE: &str = "tokenizer.json";
/// Ids that no token has, up to the largest that one has.
const MAX_GAPS: usize = 1 << 16;

/// Writes the tokenizer of `folder`, its special tokens, and the chat template.
pub(super) fn write(folder: &Path, config: &Config, head: &mut Head<'_>) -> Result<()> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Err(absent(folder));
    }
    let bytes = Bytes::open(&path)?;
    let named = |e: Error| e.with_file(&path);
    let mut parts = parts::read(&bytes).map_err(named)?;
    leave_out_rowless(&mut parts, config)?;
    let spm = write_model(&parts, head).map_err(named)?;
    write_tokens(&parts, config, head).map_err(named)?;

    let tokenizer = Config::read(folder, "tokenizer_config.json")?
        .unwrap_or_else(|| Config::empty(folder, "tokenizer_config.json"));
    let generation = Config::read(folder, "generation_config.json")?
        .unwrap_or_else(|| Config::empty(folder, "generation_config.json"));
    Special { parts: &parts, config, tokenizer: &tokenizer, generation: &generation, spm }.write(head)?;
    chat::write(folder, &tokenizer, head)
}

fn absent(folder: &Path) -> Error {
    let others = ["tokenizer.model", "tekken.json", "vocab.json", "vocab.txt"];
    let message = match others.iter().find(|name| folder.join(name).exists()) {
        Some(other) => format!("the folder has {other} but no {FILE}, which alone is read"),
        None => format!("the folder has no {FILE}"),
    };
    Error::new(ErrorKind::Missing, message).with_file(folder)
}

/// What is supported of normalizers.
#[derive(Default)]
struct Normalizer {
    nfc: bool,
    /// Spaces become `▁`.
    replaces: bool,
    /// A `▁` goes before a text.
    prepends: bool,
}

impl Normalizer {
    fn read(&mut self, value: &Value) -> std::result::Result<(), String> {
        match value["type"].as_str() {
            None if value.is_null() => {}
            Some("Sequence") => {
                value["normalizers"].as_array().into_iter().flatten().try_for_each(|n| self.read(n))?;
            }
            Some("NFC") => self.nfc = true,
            Some("Prepend") if value["prepend"] == "▁" => self.prepends = true,
            Some("Replace") if value["pattern"]["String"] == " " && value["content"] == "▁" => {
                self.replaces = true
            }
            other => {
                let name: String =
                    other.unwrap_or_default().chars().filter(|c| !c.is_control()).take(40).collect();
                return Err(format!("the normalizer \"{name}\", or what it is told, is not supported"));
            }
        }
        Ok(())
    }
}

/// Writes what kind of tokenizer it is; says whether it is one over characters.
fn write_model(parts: &Parts<'_>, head: &mut Head<'_>) -> Result<bool> {
    let unsupported = |key: &str, message: String| Error::new(ErrorKind::Unsupported, message).with_key(key);
    let kind = parts.kind.as_deref().unwrap_or("BPE");
    if kind == WORD_PIECE {
        return write_word_piece(parts, head).map(|()| false);
    }
    if kind != "BPE" {
        let shown: String = kind.chars().filter(|c| !c.is_control()).take(40).collect();
        return Err(unsupported("model.type", format!("tokenizers of type \"{shown}\" are not supported")));
    }
    if !parts.inside.is_empty() || !parts.at_end.is_empty() {
        let message = "marks of pieces inside words are not supported here".to_owned();
        return Err(unsupported("model.continuing_subword_prefix", message));
    }
    let mut normalizer = Normalizer::default();
    normalizer.read(&parts.normalizer).map_err(|message| unsupported("normalizer", message))?;
    let meta_space = meta_space(&parts.pre);
    let spm = parts.byte_fallback || normalizer.replaces || meta_space.is_some();
    if spm {
        if let Some(prepends) = meta_space {
            normalizer.prepends = prepends;
        } else if !splits_at_nothing(&parts.pre) {
            let message = "this pre-tokenizer is not supported with bytes to fall back on".to_owned();
            return Err(unsupported("pre_tokenizer", message));
        }
        head.set_global("tokenizer.ggml.model", "llama");
        head.set_global(TOKEN_ORDER, "merges");
        head.set_global("tokenizer.ggml.add_space_prefix", &normalizer.prepends);
    } else {
        let name = pre::name(&parts.pre, normalizer.nfc, parts.ignore_merges)
            .map_err(|message| unsupported("pre_tokenizer", message))?;
        head.set_global("tokenizer.ggml.model", "gpt2");
        head.set_global("tokenizer.ggml.pre", name);
    }
    head.set_global("tokenizer.ggml.merges", &parts.merges);
    Ok(spm)
}

/// Pieces of words, the longest first.
const WORD_PIECE: &str = "WordPiece";

fn write_word_piece(parts: &Parts<'_>, head: &mut Head<'_>) -> Result<()> {
    let n = &parts.normalizer;
    for (key, fits) in [
        ("model.continuing_subword_prefix", parts.inside == INSIDE),
        ("pre_tokenizer", parts.pre["type"] == "BertPreTokenizer"),
        ("normalizer", n["type"] == "BertNormalizer" && n["clean_text"] != false),
        ("normalizer.handle_chinese_chars", n["handle_chinese_chars"] != false),
    ] {
        if !fits {
            let message = "this value is not supported for pieces of words";
            return Err(Error::new(ErrorKind::Unsupported, message).with_key(key));
        }
    }
    head.set_global("tokenizer.ggml.model", "bert");
    head.set_global("tokenizer.ggml.normalizer.lowercase", &(n["lowercase"] != false));
    if let Some(strips) = n["strip_accents"].as_bool() {
        head.set_global("tokenizer.ggml.normalizer.strip_accents", &strips);
    }
    Ok(())
}

/// What marks a piece inside a word; GGUF marks those at the start.
const INSIDE: &str = "##";

/// Whether a space goes before a text, if spaces become `▁` in the pre-tokenizer.
fn meta_space(pre: &Value) -> Option<bool> {
    (pre["type"] == "Metaspace" && pre["replacement"] == "▁").then(|| {
        pre["prepend_scheme"].as_str().map_or(pre["add_prefix_space"] != false, |scheme| scheme != "never")
    })
}

/// Spaces are gone when the pre-tokenizer sees the text.
fn splits_at_nothing(pre: &Value) -> bool {
    pre.is_null() || (pre["type"] == "Split" && pre["pattern"]["String"] == " " && pre["invert"] != true)
}

/// Leaves out added tokens that the embedding has no rows for: Gemma 3's tokenizer is one file for all sizes, with a token
/// for images that the models of text do not have. A vocabulary that is too long stays so, and is refused.
fn leave_out_rowless(parts: &mut Parts<'_>, config: &Config) -> Result<()> {
    if let Some(rows) = families::vocabulary(config)?
        && parts.tokens.iter().all(|t| t.0 < rows)
    {
        parts.added.retain(|t| t.0 < rows);
    }
    Ok(())
}

/// Writes texts and kinds in the order of ids; rows of the embedding without a token get one that is not used.
fn write_tokens(parts: &Parts<'_>, config: &Config, head: &mut Head<'_>) -> Result<()> {
    // Of two with the same id the later counts: an added one.
    let mut all: Vec<(u32, &str, i32)> =
        parts.tokens.iter().chain(&parts.added).map(|(id, text, kind)| (*id, &**text, *kind)).collect();
    all.sort_by_key(|t| t.0);
    let rows = families::vocabulary(config)?.unwrap_or(0);
    let (mut texts, mut kinds) = (Strings::default(), Vec::with_capacity(all.len()));
    let word_piece = parts.kind.as_deref() == Some(WORD_PIECE);
    let mut gaps = 0;
    let mut fill = |texts: &mut Strings, kinds: &mut Vec<i32>, to: u32| {
        while kinds.len() < to as usize {
            gaps += 1;
            if gaps > MAX_GAPS {
                let message = format!("more than {MAX_GAPS} ids below {to} have no token");
                return Err(Error::new(ErrorKind::Limit, message).with_key("model.vocab"));
            }
            texts.push(&[&format!("[PAD{}]", kinds.len())]);
            kinds.push(UNUSED);
        }
        Ok(())
    };
    for (i, &(id, text, kind)) in all.iter().enumerate() {
        if all.get(i + 1).is_some_and(|next| next.0 == id) {
            continue;
        }
        fill(&mut texts, &mut kinds, id)?;
        match text.strip_prefix(INSIDE) {
            Some(inside) if word_piece && kind == NORMAL => texts.push(&[inside]),
            None if word_piece && kind == NORMAL => texts.push(&["▁", text]),
            _ => texts.push(&[text]),
        }
        kinds.push(match kind {
            NORMAL if parts.unknown.as_deref() == Some(text) => UNKNOWN,
            CONTROL if parts.unknown.as_deref() == Some(text) => UNKNOWN,
            NORMAL if parts.byte_fallback && is_byte(text) => BYTE,
            kind => kind,
        });
    }
    if rows as usize <= kinds.len() + MAX_GAPS {
        fill(&mut texts, &mut kinds, rows)?;
    }
    head.set_global("tokenizer.ggml.tokens", &texts);
    head.set_global("tokenizer.ggml.token_type", &kinds[..]);
    Ok(())
}

/// `<0x41>`
fn is_byte(text: &str) -> bool {
    text.len() == 6
        && text
            .strip_prefix("<0x")
            .and_then(|t| t.strip_suffix('>'))
            .is_some_and(|hex| u8::from_str_radix(hex, 16).is_ok())
}

#[cfg(test)]
mod tests {
    use super::super::parts::USER_DEFINED;
    use super::*;

    #[test]
    fn added_tokens_without_rows() {
        let text = br#"{"added_tokens":[{"id":2,"content":"<image>"},{"id":1,"content":"<s>"}],
            "model":{"type":"BPE","vocab":{"a":0,"<s>":1},"merges":[]}}"#;
        for (config, left) in [(r#"{"vocab_size": 2}"#, 1), (r#"{"vocab_size": 1}"#, 2), ("{}", 2)] {
            let mut parts = parts::read(text).expect("well-formed");
            leave_out_rowless(&mut parts, &super::super::config::tests::config(config)).expect("a number");
            assert_eq!((parts.added.len(), parts.tokens.len()), (left, 2), "{config}");
        }
    }

    #[test]
    fn bytes_and_gaps() {
        assert!(is_byte("<0x0A>") && is_byte("<0xff>"));
        assert!(!is_byte("<0x0>") && !is_byte("<0x0AB>") && !is_byte("<0xxyz") && !is_byte("x"));
        let text = br#"{"added_tokens":[{"id":5,"content":"<s>","special":true},{"id":1,"content":"u"}],
            "model":{"type":"BPE","unk_token":"?","vocab":{"a":0,"b":1,"?":2},"merges":["a b",["b","a"]]}}"#;
        let parts = parts::read(text).expect("well-formed");
        assert_eq!((parts.merges.len(), parts.tokens.len(), parts.added.len()), (2, 3, 2));
        let mut head = Head::new("x");
        let config = super::super::config::tests::config(r#"{"vocab_size": 7}"#);
        write_tokens(&parts, &config, &mut head).expect("few gaps");
        let file = crate::gguf::GgufFile::from_bytes(
            head.metadata.to_bytes(|_| unreachable!("no tensors")).expect("written"),
        )
        .expect("valid");
        let tokens: crate::gguf::StrArray = file.metadata().require("tokenizer.ggml.tokens").expect("there");
        let tokens: Vec<_> = tokens.iter().map(String::from_utf8_lossy).collect();
        assert_eq!(tokens, ["a", "u", "?", "[PAD3]", "[PAD4]", "<s>", "[PAD6]"]);
        let kinds: Vec<i32> = file.metadata().require("tokenizer.ggml.token_type").expect("there");
        assert_eq!(kinds, [NORMAL, USER_DEFINED, UNKNOWN, UNUSED, UNUSED, CONTROL, UNUSED]);
    }
}
