//! THE TABLE: what a checkpoint's `model_type` is in GGUF's terms.
//!
//! A family is one row: the architecture's name, how its tensors and configuration differ from the usual ones ([`NAMES`],
//! [`KEYS`]), and what a table cannot say as a function. What the architecture *does* is said in `model/families`, for
//! both kinds of files.

mod rules;
mod table;

pub(super) use self::table::PLAIN;
use self::table::{FAMILIES, GEMMA_EMBEDDING, KEYS, NAMES};
use super::config::Config;
use super::convert::Layout;
use super::head::Head;
use crate::error::{ErrorKind, Result};

/// One row.
pub(super) struct Family {
    /// Values of `model_type`.
    pub(super) types: &'static [&'static str],
    /// The architecture in GGUF.
    pub(super) arch: &'static str,
    /// The object of the configuration that describes the language model, where there are others.
    pub(super) part: Option<&'static str>,
    /// Values of keys that published configurations leave out because transformers has them.
    pub(super) defaults: &'static [(&'static str, f64)],
    /// Activation functions that the architecture implies.
    pub(super) act: &'static [&'static str],
    /// Names of tensors that differ from [`NAMES`], as there, or whole ones.
    pub(super) names: &'static [(&'static str, &'static str)],
    /// Starts of the names of tensors that the language model does not need.
    pub(super) skip: &'static [&'static str],
    /// Norms multiply with one plus what the file has.
    pub(super) one_plus: bool,
    /// GGUF's files of this architecture have the rows of queries and keys in an order for which neighbours turn
    /// together; a checkpoint has them in theirs.
    pub(super) reordered: bool,
    /// Tensors in another order than GGUF's, without `blk.N.`.
    pub(super) layouts: &'static [(&'static str, Layout)],
    pub(super) windows: Windows,
    /// Elements of a head for which frequencies are made.
    pub(super) rope_dims: fn(&Config) -> Result<u32>,
    /// Everything else.
    pub(super) more: fn(&Config, &mut Head<'_>) -> Result<()>,
}

/// Sliding windows.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Windows {
    /// The architecture knows none: one that is in use is refused.
    None,
    /// As the configuration says.
    Some,
}

/// InternLM 2: for each group, the rows of its query heads, of its key head and of its value head. No name of GGUF's.
pub(super) const WQKV: &str = "attention.wqkv";

/// What a number is.
#[derive(Clone, Copy)]
enum Number {
    Integer,
    Float,
}

/// The row of the `model_type` that `config.json` names.
///
/// # Errors
/// `Missing`, or `Unsupported` naming the type.
pub(super) fn find(c: &Config) -> Result<&'static Family> {
    let key = "model_type";
    let name = c.need(key, c.text(key)?)?;
    if name == "gemma3_text" && c.flag("use_bidirectional_attention")? == Some(true) {
        return Ok(&GEMMA_EMBEDDING);
    }
    FAMILIES.iter().find(|f| f.types.contains(&name)).ok_or_else(|| {
        let known: Vec<_> = types().collect();
        let shown: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
        let message =
            format!("folders of type \"{shown}\" are not supported; supported are {}", known.join(", "));
        c.error(ErrorKind::Unsupported, key, message)
    })
}

/// The values of `model_type` that can be opened.
pub(super) fn types() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().flat_map(|f| f.types.iter().copied())
}

impl Family {
    /// The configuration of one of this family's folders as its readers expect it: the language model's part is looked
    /// into first, and what files leave unsaid is there.
    pub(super) fn settled(&self, config: Config) -> Config {
        let config = match self.part {
            Some(part) => config.of_part(part),
            None => config,
        };
        config.with_defaults(self.defaults)
    }

    /// GGUF's name of the tensor that the checkpoint calls `name`; `None` if it is not used. A name that no table has
    /// stays, and is refused where it is not asked for.
    pub(super) fn gguf_name(&self, name: &str) -> Option<String> {
        let mut rest = name;
        let outer = ["model.", "language_model.", "bert."];
        while let Some(shorter) = outer.iter().find_map(|outer| rest.strip_prefix(outer)) {
            rest = shorter;
        }
        if self.skip.iter().any(|start| rest.starts_with(start)) || rest.ends_with("rotary_emb.inv_freq") {
            return None;
        }
        let in_layer = ["layers.", "encoder.layer."].iter().find_map(|start| rest.strip_prefix(start));
        let (block, rest) = match in_layer.and_then(|r| r.split_once('.')) {
            Some((layer, rest)) if layer.bytes().all(|b| b.is_ascii_digit()) => {
                (format!("blk.{layer}."), rest)
            }
            _ => (String::new(), rest),
        };
        if let Some((_, ours)) = self.names.iter().find(|(theirs, _)| *theirs == rest) {
            return Some(format!("{block}{ours}"));
        }
        let (stem, suffix) = rest.rsplit_once('.').unwrap_or((rest, ""));
        let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let expert = stem.split('.').find(is_number);
        let stem = match expert {
            Some(number) => stem.replacen(&format!(".{number}"), ".#", 1),
            None => stem.to_owned(),
        };
        let known = self.names.iter().chain(NAMES).find(|(theirs, _)| *theirs == stem);
        Some(match known {
            Some((_, ours)) => format!("{block}{}.{suffix}", ours.replace('#', expert.unwrap_or("#"))),
            None => name.to_owned(),
        })
    }

    /// Writes the metadata under the architecture's name.
    pub(super) fn write(&self, c: &Config, head: &mut Head<'_>) -> Result<()> {
        (self.more)(c, head)?;
        if let Some(tokens) = vocabulary(c)? {
            head.set("vocab_size", &tokens);
        }
        for (i, &(theirs, ours, number, required)) in KEYS.iter().enumerate() {
            if KEYS[..i].iter().any(|earlier| earlier.1 == ours && c.get(earlier.0).is_some()) {
                continue;
            }
            match number {
                Number::Integer => match c.integers(theirs)?.as_deref() {
                    Some([x]) => head.set(ours, x),
                    Some(of_layers) => head.set(ours, of_layers),
                    None if required => c.need(theirs, None)?,
                    None => {}
                },
                Number::Float => match c.float(theirs)? {
                    Some(x) => head.set(ours, &(x as f32)),
                    None if required => c.need(theirs, None)?,
                    None => {}
                },
            }
        }
        if c.get("layer_norm_eps").is_none() {
            c.need("rms_norm_eps", c.float("rms_norm_eps")?)?;
        }
        for key in ["hidden_act", "hidden_activation"] {
            if let Some(act) = c.text(key)?
                && !self.act.contains(&act)
            {
                let message = format!("the activation \"{act}\" is not supported for this model");
                return Err(c.error(ErrorKind::Unsupported, key, message));
            }
        }
        super::rope::write(c, head, (self.rope_dims)(c)?)?;
        self.write_windows(c, head)?;
        if self.reordered {
            head.set_global(crate::gguf::ROPE_PAIRING, "halves");
        }
        Ok(())
    }

    fn write_windows(&self, c: &Config, head: &mut Head<'_>) -> Result<()> {
        let Some(window) = c.integer("sliding_window")?.filter(|&w| w > 0) else { return Ok(()) };
        if c.flag("use_sliding_window")? == Some(false) {
            return Ok(());
        }
        let sliding: Option<Vec<bool>> =
            c.texts("layer_types")?.map(|t| t.iter().map(|&t| t == "sliding_attention").collect());
        if sliding.as_ref().is_some_and(|s| !s.contains(&true)) {
            return Ok(());
        }
        if self.windows == Windows::None {
            let message = "a sliding window is not supported for this model";
            return Err(c.error(ErrorKind::Unsupported, "sliding_window", message));
        }
        head.set("attention.sliding_window", &window);
        let pattern = "attention.sliding_window_pattern";
        match sliding {
            Some(sliding) => head.set(pattern, &sliding[..]),
            None => {
                let key = ["sliding_window_pattern", "_sliding_window_pattern"];
                if let Some(key) = key.into_iter().find(|key| c.get(key).is_some_and(|v| v.is_number())) {
                    head.set(pattern, &c.need(key, c.integer(key)?)?);
                }
            }
        }
        Ok(())
    }
}

/// Tokens that the model knows. Of Gemma 3n those alone that have embeddings in each layer: its other rows are
/// for images and sounds.
pub(super) fn vocabulary(c: &Config) -> Result<Option<u32>> {
    let whole = c.integer("vocab_size")?;
    match (whole, c.integer("vocab_size_per_layer_input")?) {
        (Some(whole), Some(of_layers)) if of_layers > 0 => Ok(Some(whole.min(of_layers))),
        _ => Ok(whole),
    }
}

/// Elements of a head.
pub(super) fn head_dim(c: &Config) -> Result<u32> {
    if let Some(n) = c.integer("head_dim")? {
        return Ok(n);
    }
    let need = |key: &str| c.need(key, c.integer(key)?);
    Ok(need("hidden_size")? / need("num_attention_heads")?.max(1))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The row of that name.
    pub(in crate::hf) fn family(name: &str) -> &'static Family {
        FAMILIES.iter().find(|f| f.types.contains(&name)).expect("known")
    }

    #[test]
    fn names_of_tensors() {
        for (model, theirs, ours) in [
            ("llama", "model.embed_tokens.weight", Some("token_embd.weight")),
            ("llama", "model.layers.12.self_attn.q_proj.bias", Some("blk.12.attn_q.bias")),
            ("llama", "model.layers.0.self_attn.rotary_emb.inv_freq", None),
            ("llama", "model.layers.0.post_attention_layernorm.weight", Some("blk.0.ffn_norm.weight")),
            (
                "olmo2",
                "model.layers.0.post_attention_layernorm.weight",
                Some("blk.0.post_attention_norm.weight"),
            ),
            ("gemma3", "language_model.model.norm.weight", Some("output_norm.weight")),
            ("gemma3", "model.language_model.layers.1.mlp.up_proj.weight", Some("blk.1.ffn_up.weight")),
            ("gemma3", "model.vision_tower.x.weight", None),
            (
                "mixtral",
                "model.layers.3.block_sparse_moe.experts.12.w2.weight",
                Some("blk.3.ffn_down.12.weight"),
            ),
            ("qwen3_moe", "model.layers.3.mlp.experts.0.up_proj.weight", Some("blk.3.ffn_up.0.weight")),
            ("gpt_oss", "model.layers.2.self_attn.sinks", Some("blk.2.attn_sinks.weight")),
            (
                "deepseek_v3",
                "model.layers.2.mlp.gate.e_score_correction_bias",
                Some("blk.2.exp_probs_b.bias"),
            ),
            ("gemma3n_text", "model.altup_projections.1.weight", Some("altup_proj.1.weight")),
            ("gemma3n", "model.language_model.altup_projections.1.weight", Some("altup_proj.1.weight")),
            ("gemma3n", "model.embed_audio.embedding.weight", None),
            ("gemma4", "model.vision_tower.patch_embedder.input_proj.weight", None),
            ("qwen3_5", "model.language_model.layers.0.linear_attn.A_log", Some("blk.0.ssm_a")),
            ("qwen3_5", "model.visual.blocks.0.attn.qkv.weight", None),
            ("qwen3_5", "mtp.layers.0.mlp.up_proj.weight", None),
            (
                "bert",
                "bert.encoder.layer.1.attention.output.LayerNorm.bias",
                Some("blk.1.attn_output_norm.bias"),
            ),
            ("bert", "pooler.dense.bias", None),
            ("llama", "model.odd.weight", Some("model.odd.weight")),
            ("llama", "model.layers.x.norm.weight", Some("model.layers.x.norm.weight")),
        ] {
            assert_eq!(family(model).gguf_name(theirs).as_deref(), ours, "{model} {theirs}");
        }
    }

    #[test]
    fn types_are_told_apart() {
        let all: Vec<_> = types().collect();
        let mut once = all.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), all.len());
    }
}
