//! Which tokens have a role: begin, end, padding and the like.

use std::borrow::Cow;

use serde_json::Value;

use super::config::Config;
use super::head::Head;
use super::parts::Parts;
use crate::error::Result;
use crate::tokenizer::END_IDS;

/// The tokens with a role: from the files that name them.
pub(super) struct Special<'a> {
    pub(super) parts: &'a Parts<'a>,
    pub(super) config: &'a Config,
    pub(super) tokenizer: &'a Config,
    pub(super) generation: &'a Config,
    pub(super) spm: bool,
}

impl Special<'_> {
    fn id(&self, text: &str) -> Option<u32> {
        let find = |list: &[(u32, Cow<'_, str>, i32)]| list.iter().find(|t| t.1 == text).map(|t| t.0);
        find(&self.parts.added).or_else(|| find(&self.parts.tokens))
    }

    /// The token that `tokenizer_config.json` names, as a string or as an object.
    fn named(&self, key: &str) -> Result<Option<u32>> {
        let content = format!("{key}.content");
        let text = match self.tokenizer.get(key) {
            Some(Value::String(text)) => Some(&**text),
            _ => self.tokenizer.text(&content)?,
        };
        Ok(text.and_then(|text| self.id(text)))
    }

    /// Writes which tokens have a role, and whether texts begin and end with one.
    pub(super) fn write(&self, head: &mut Head<'_>) -> Result<()> {
        let (first, last) = self.around();
        let key = "eos_token_id";
        let mut ends = Vec::new();
        ends.extend(last);
        ends.extend(self.named("eos_token")?);
        ends.extend(self.generation.integers(key)?.unwrap_or_default());
        ends.extend(self.config.integers(key)?.unwrap_or_default());
        let bos = match (first, self.named("bos_token")?) {
            (Some(id), _) | (None, Some(id)) => Some(id),
            (None, None) => self.config.integer("bos_token_id")?,
        };
        let unknown = self.parts.unknown.as_deref().and_then(|text| self.id(text));
        for (key, id) in [
            ("bos", bos),
            ("eos", ends.first().copied()),
            ("unknown", unknown),
            ("padding", self.named("pad_token")?),
            ("seperator", self.named("sep_token")?), // so is it spelt there
            ("mask", self.named("mask_token")?),
        ] {
            if let Some(id) = id {
                head.set_global(&format!("tokenizer.ggml.{key}_token_id"), &id);
            }
        }
        ends.sort_unstable();
        ends.dedup();
        if ends.len() > 1 {
            head.set_global(END_IDS, &ends[..]);
        }
        // Tokenizers of these classes do as they are told there, whatever tokenizer.json says.
        let class = self.tokenizer.text("tokenizer_class")?.unwrap_or_default();
        let told = self.spm && (class.starts_with("Llama") || class.starts_with("Gemma"));
        let told = |key: &str| if told { self.tokenizer.flag(key) } else { Ok(None) };
        let add_bos = told("add_bos_token")?.unwrap_or(first.is_some()) && bos.is_some();
        let add_eos = told("add_eos_token")?.unwrap_or(last.is_some()) && !ends.is_empty();
        head.set_global("tokenizer.ggml.add_bos_token", &add_bos);
        head.set_global("tokenizer.ggml.add_eos_token", &add_eos);
        Ok(())
    }

    /// The tokens before and behind a text. More than one at a side is none: templates write those themselves.
    fn around(&self) -> (Option<u32>, Option<u32>) {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let mut visit = vec![&self.parts.post];
        while let Some(post) = visit.pop() {
            match post["type"].as_str() {
                Some("Sequence") => visit.extend(post["processors"].as_array().into_iter().flatten()),
                Some("TemplateProcessing") => {
                    let items = post["single"].as_array();
                    let mut side = &mut before;
                    for item in items.into_iter().flatten() {
                        if item.get("Sequence").is_some() {
                            side = &mut after;
                        } else {
                            side.push(item["SpecialToken"]["id"].as_str());
                        }
                    }
                }
                _ => {}
            }
        }
        let only = |side: &[Option<&str>]| match side {
            [Some(text)] => self.id(text),
            _ => None,
        };
        (only(&before), only(&after))
    }
}
