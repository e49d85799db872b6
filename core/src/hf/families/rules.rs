//! What the table of families cannot say of single ones.

use super::head_dim;
use crate::error::{ErrorKind, Result};
use crate::hf::config::Config;
use crate::hf::head::Head;
use crate::hf::rope;

/// Sets `ours` to the integer `theirs`, if there is one.
fn integers(c: &Config, head: &mut Head<'_>, pairs: &[(&str, &str)]) -> Result<()> {
    for (theirs, ours) in pairs {
        if let Some(x) = c.integer(theirs)? {
            head.set(ours, &x);
        }
    }
    Ok(())
}

/// The same with numbers.
fn floats(c: &Config, head: &mut Head<'_>, pairs: &[(&str, &str)]) -> Result<()> {
    for (theirs, ours) in pairs {
        if let Some(x) = c.float(theirs)? {
            head.set(ours, &(x as f32));
        }
    }
    Ok(())
}

fn need(c: &Config, key: &str) -> Result<u32> {
    c.need(key, c.integer(key)?)
}

/// Refuses the value of `key` unless it is as the runtime has it.
fn expect(c: &Config, key: &str, fits: bool) -> Result<()> {
    if fits {
        return Ok(());
    }
    Err(c.error(ErrorKind::Unsupported, key, "this value is not supported for this model"))
}

/// The base of frequencies in layers with a window.
pub(super) fn local_base(c: &Config, head: &mut Head<'_>) -> Result<()> {
    let local = match c.float("rope_parameters.sliding_attention.rope_theta")? {
        Some(theta) => Some(theta),
        None => c.float("rope_local_base_freq")?,
    };
    if let Some(base) = local {
        head.set("rope.freq_base_swa", &(base as f32));
    }
    Ok(())
}

/// The scale of scores is not in GGUF: it follows from the sizes, in one way for the largest model.
fn query_scale(c: &Config, layers_of_27b: u32) -> Result<()> {
    let key = "query_pre_attn_scalar";
    let Some(scalar) = c.float(key)? else { return Ok(()) };
    let need = |key: &str| c.need(key, c.integer(key)?);
    let implied = if need("num_hidden_layers")? == layers_of_27b {
        need("hidden_size")? / need("num_attention_heads")?.max(1)
    } else {
        head_dim(c)?
    };
    if scalar == f64::from(implied) {
        return Ok(());
    }
    let message = format!("{scalar} is not supported here: {implied} follows from the sizes");
    Err(c.error(ErrorKind::Unsupported, key, message))
}

pub(super) fn gemma2(c: &Config, _: &mut Head<'_>) -> Result<()> {
    query_scale(c, 46)
}

pub(super) fn gemma3(c: &Config, head: &mut Head<'_>) -> Result<()> {
    query_scale(c, 62)?;
    local_base(c, head)
}

/// Layers without experts, and other ways to weigh them, are not in GGUF.
pub(super) fn every_layer_has_experts(c: &Config, normalised: bool) -> Result<()> {
    for (key, fits) in [
        ("norm_topk_prob", c.flag("norm_topk_prob")?.is_none_or(|n| n == normalised)),
        ("decoder_sparse_step", c.integer("decoder_sparse_step")?.is_none_or(|n| n == 1)),
        ("mlp_only_layers", c.integers("mlp_only_layers")?.is_none_or(|layers| layers.is_empty())),
    ] {
        if !fits {
            return Err(c.error(ErrorKind::Unsupported, key, "this value is not supported for this model"));
        }
    }
    Ok(())
}

/// Every fourth layer has no positions; GGUF has no key that says otherwise.
pub(super) fn smollm3(c: &Config, _: &mut Head<'_>) -> Result<()> {
    let key = "no_rope_layers";
    match c.integers(key)? {
        Some(rope) if rope.iter().zip(1u32..).any(|(&rope, i)| (rope == 0) != i.is_multiple_of(4)) => {
            let message = "only every fourth layer without positions is supported";
            Err(c.error(ErrorKind::Unsupported, key, message))
        }
        _ => Ok(()),
    }
}

/// Queries are scaled by position.
pub(super) fn ministral3(c: &Config, head: &mut Head<'_>) -> Result<()> {
    let key = format!("{}llama_4_scaling_beta", rope::prefix(c));
    floats(c, head, &[(&key, "attention.temperature_scale")])
}

/// The activation is one function of fixed numbers.
pub(super) fn gpt_oss(c: &Config, head: &mut Head<'_>) -> Result<()> {
    for (key, number) in [("swiglu_limit", 7.0), ("swiglu_alpha", 1.702)] {
        expect(c, key, c.float(key)?.is_none_or(|x| (x - number).abs() < 1e-6))?;
    }
    integers(c, head, &[("intermediate_size", "expert_feed_forward_length")])
}

/// Dense layers have rows of their own number; windows and scaling are the runtime's keys, which GGUF does not have.
pub(super) fn llama4(c: &Config, head: &mut Head<'_>) -> Result<()> {
    smollm3(c, head)?;
    let tuning = "attn_temperature_tuning";
    expect(c, tuning, c.get(tuning).is_none_or(|t| *t != false && *t != 0))?;
    let step = c.integer("interleave_moe_layer_step")?.unwrap_or(1);
    let layers = need(c, "num_hidden_layers")?;
    let moe = "moe_layers";
    if let Some(listed) = c.integers(moe)? {
        let implied = (0..layers).filter(|i| (i + 1).is_multiple_of(step.max(1)));
        expect(c, moe, implied.eq(listed))?;
    }
    if let Some(normed) = c.flag("use_qk_norm")? {
        head.set("attention.use_qk_norm", &normed);
    }
    integers(
        c,
        head,
        &[
            ("interleave_moe_layer_step", "interleave_moe_layer_step"),
            ("intermediate_size", "expert_feed_forward_length"),
            ("intermediate_size_mlp", "feed_forward_length"),
            ("attention_chunk_size", "attention.chunk_size"),
            ("floor_scale", "attention.temperature_length"),
        ],
    )?;
    floats(c, head, &[("attn_scale", "attention.temperature_scale")])
}

pub(super) fn deepseek(c: &Config, head: &mut Head<'_>) -> Result<()> {
    let rotated = need(c, "qk_rope_head_dim")?;
    let key_dim = need(c, "qk_nope_head_dim")?.saturating_add(rotated);
    head.set("rope.dimension_count", &rotated);
    head.set("attention.key_length", &key_dim);
    head.set("attention.value_length", &need(c, "v_head_dim")?);
    integers(
        c,
        head,
        &[
            ("q_lora_rank", "attention.q_lora_rank"),
            ("kv_lora_rank", "attention.kv_lora_rank"),
            ("n_routed_experts", "expert_count"),
            ("n_shared_experts", "expert_shared_count"),
            ("first_k_dense_replace", "leading_dense_block_count"),
        ],
    )?;
    floats(c, head, &[("routed_scaling_factor", "expert_weights_scale")])?;
    if let Some(normalised) = c.flag("norm_topk_prob")? {
        head.set("expert_weights_norm", &normalised);
    }
    let third = c.text("model_type")? == Some("deepseek_v3");
    let scoring = "scoring_func";
    let gating: u32 = match c.text(scoring)? {
        Some("softmax") => 1,
        Some("sigmoid") => 2,
        None => 1 + u32::from(third),
        Some(_) => return expect(c, scoring, false),
    };
    head.set("expert_gating_func", &gating);
    if c.text("topk_method")? != Some("greedy") {
        let groups = [("n_group", "expert_group_count"), ("topk_group", "expert_group_used_count")];
        integers(c, head, &groups)?;
    }
    expect(c, "moe_layer_freq", c.integer("moe_layer_freq")?.is_none_or(|n| n == 1))?;
    expect(c, "rope_interleave", c.flag("rope_interleave")? != Some(false))?;
    // GGUF has a tenth of it, from which scores get their factor; rotated elements get what is left.
    if let Some([one, all]) = rope::mscales(c)? {
        let key = format!("{}factor", rope::prefix(c));
        let log = libm::log(c.float(&key)?.unwrap_or(1.0).max(1.0));
        head.set("rope.scaling.yarn_log_multiplier", &((0.1 * all) as f32));
        head.set("rope.scaling.attn_factor", &(((1.0 + 0.1 * one * log) / (1.0 + 0.1 * all * log)) as f32));
    }
    Ok(())
}

/// For each layer whether it sees everything.
fn full_layers(c: &Config) -> Result<Vec<bool>> {
    let types = c.need("layer_types", c.texts("layer_types")?)?;
    Ok(types.into_iter().map(|t| t == "full_attention").collect())
}

/// What layer `i` has of `key`: a number of its own, that of layers which see everything (`global`), or all layers' one.
fn of_layer(c: &Config, i: usize, full: bool, key: &str, global: &str) -> Result<u32> {
    if let Some(own) = c.integer(&format!("per_layer_config.{i}.{key}"))? {
        return Ok(own);
    }
    match c.integer(global)? {
        Some(n) if full => Ok(n),
        _ => need(c, key),
    }
}

/// Elements of a head in layers that see everything.
pub(super) fn gemma4_full_dim(c: &Config) -> Result<u32> {
    let full = full_layers(c)?;
    match full.iter().position(|&full| full) {
        Some(i) => of_layer(c, i, true, "head_dim", "global_head_dim"),
        None => head_dim(c),
    }
}

pub(super) fn gemma4(c: &Config, head: &mut Head<'_>) -> Result<()> {
    let (dim, full_dim) = (head_dim(c)?, gemma4_full_dim(c)?);
    let mut kv_heads = Vec::new();
    for (i, &full) in full_layers(c)?.iter().enumerate() {
        let own = of_layer(c, i, full, "head_dim", "global_head_dim")?;
        expect(c, "head_dim", own == if full { full_dim } else { dim })?;
        kv_heads.push(of_layer(c, i, full, "num_key_value_heads", "num_global_key_value_heads")?);
    }
    head.set("attention.head_count_kv", &kv_heads[..]);
    for (key, dim) in [("key_length", full_dim), ("value_length", full_dim)] {
        head.set(&format!("attention.{key}"), &dim);
    }
    for key in ["attention.key_length_swa", "attention.value_length_swa", "rope.dimension_count_swa"] {
        head.set(key, &dim);
    }
    let (layers, shared) = (need(c, "num_hidden_layers")?, c.integer("num_kv_shared_layers")?.unwrap_or(0));
    if c.flag("use_double_wide_mlp")? == Some(true) {
        let hidden = need(c, "intermediate_size")?;
        let wide = |i| if i + shared >= layers { hidden.saturating_mul(2) } else { hidden };
        expect(c, "num_hidden_layers", layers as usize == kv_heads.len())?;
        head.set("feed_forward_length", &(0..layers).map(wide).collect::<Vec<_>>()[..]);
    }
    integers(c, head, &[("top_k_experts", "expert_used_count")])?;
    per_layer(c, head)
}

fn per_layer(c: &Config, head: &mut Head<'_>) -> Result<()> {
    local_base(c, head)?;
    integers(
        c,
        head,
        &[
            ("hidden_size_per_layer_input", "embedding_length_per_layer_input"),
            ("num_kv_shared_layers", "attention.shared_kv_layers"),
        ],
    )
}

pub(super) fn gemma3n(c: &Config, head: &mut Head<'_>) -> Result<()> {
    integers(c, head, &[("altup_active_idx", "altup.active_idx"), ("altup_num_inputs", "altup.num_inputs")])?;
    let key = "activation_sparsity_pattern";
    if let Some(shares) = c.floats(key)? {
        expect(c, key, shares.iter().all(|p| (0.0..1.0).contains(p)))?;
        let scales: Vec<f32> = shares.into_iter().map(deviations).collect();
        head.set("activation_sparsity_scale", &scales[..]);
    }
    per_layer(c, head)
}

/// Standard deviations below which the share `p` of normally distributed numbers lies; halved until it is found.
fn deviations(p: f64) -> f32 {
    if p <= 0.0 {
        return f32::NEG_INFINITY;
    }
    let (mut low, mut high) = (-40.0f64, 40.0);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        let below = 0.5 * libm::erfc(-middle * std::f64::consts::FRAC_1_SQRT_2);
        if below < p { low = middle } else { high = middle }
    }
    high as f32
}

/// Delta-net layers. Value heads lie in the order of their key heads, GGUF's go round these.
pub(super) fn qwen35(c: &Config, head: &mut Head<'_>) -> Result<()> {
    let values = need(c, "linear_num_value_heads")?;
    head.set("ssm.time_step_rank", &values);
    head.set("ssm.inner_size", &values.saturating_mul(need(c, "linear_value_head_dim")?));
    integers(
        c,
        head,
        &[
            ("linear_num_key_heads", "ssm.group_count"),
            ("linear_key_head_dim", "ssm.state_size"),
            ("linear_conv_kernel_dim", "ssm.conv_kernel"),
            ("full_attention_interval", "full_attention_interval"),
        ],
    )?;
    // Of text all three positions are the same; llama.cpp wants to be told how they share the pairs.
    if let Some(shares) = c.integers(&format!("{}mrope_section", rope::prefix(c)))? {
        let mut shares: Vec<i32> = shares.iter().map(|&n| n.min(i32::MAX as u32) as i32).collect();
        shares.resize(4, 0);
        head.set("rope.dimension_sections", &shares[..]);
    }
    if c.integer("linear_num_key_heads")? != Some(values) {
        head.set_global(crate::gguf::DELTA_HEADS, "groups");
    }
    if let Some(types) = c.texts("layer_types")? {
        let recurrent: Vec<bool> = types.iter().map(|&t| t == "linear_attention").collect();
        head.set("attention.recurrent_layers", &recurrent[..]);
    }
    Ok(())
}

/// Learned positions, and types of tokens.
pub(super) fn bert(c: &Config, head: &mut Head<'_>) -> Result<()> {
    let key = "position_embedding_type";
    expect(c, key, c.text(key)?.is_none_or(|t| t == "absolute"))?;
    head.set("attention.causal", &false);
    head.set_global("tokenizer.ggml.token_type_count", &c.integer("type_vocab_size")?.unwrap_or(0));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_of_normal_numbers() {
        for (p, expected) in [(0.95, 1.644_853_6), (0.5, 0.0), (0.975, 1.959_964)] {
            assert!((deviations(p) - expected).abs() < 1e-6, "{p}");
        }
        assert_eq!(deviations(0.0), f32::NEG_INFINITY);
    }
}
