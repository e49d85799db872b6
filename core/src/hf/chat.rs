//! The chat template: a file of its own, or a string of `tokenizer_config.json`.

use std::path::Path;

use super::config::{Config, read_text};
use super::head::Head;
use crate::error::Result;

/// Writes the template, if the folder has one. Of several with names it is the one called "default".
pub(super) fn write(folder: &Path, tokenizer: &Config, head: &mut Head<'_>) -> Result<()> {
    let key = "chat_template";
    let template = match read_text(folder, "chat_template.jinja")? {
        Some(text) => Some(text),
        None => match tokenizer.get(key) {
            Some(serde_json::Value::Array(named)) => named
                .iter()
                .find(|t| t["name"] == "default")
                .and_then(|t| t["template"].as_str())
                .map(str::to_owned),
            _ => tokenizer.text(key)?.map(str::to_owned),
        },
    };
    if let Some(template) = template {
        head.set_global("tokenizer.chat_template", &template);
    }
    Ok(())
}
