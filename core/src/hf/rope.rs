//! Rotary encodings: from the ways in which configurations say them to metadata and tensors of divisors.
//!
//! `rope_theta` and `rope_scaling` stand beside each other in older files; newer ones have both in `rope_parameters`,
//! which may have one object for each kind of layer.

use std::f64::consts::PI;

use super::config::Config;
use super::head::Head;
use crate::error::{ErrorKind, Result};

/// The object that describes the encoding of layers with full attention: what its keys start with, with the dot.
pub(super) fn prefix(c: &Config) -> &'static str {
    if c.get("rope_parameters.full_attention").is_some() {
        "rope_parameters.full_attention."
    } else if c.get("rope_parameters").is_some() {
        "rope_parameters."
    } else {
        "rope_scaling."
    }
}

/// A divisor of the frequency of pairs that do not turn.
const STILL: f32 = 1e30;

/// Writes the base, the rotated dimensions and the scaling. `head_dim`: elements of a head.
pub(super) fn write(c: &Config, head: &mut Head<'_>, head_dim: u32) -> Result<()> {
    let at = |name: &str| format!("{}{name}", prefix(c));
    let partial = match c.float(&at("partial_rotary_factor"))? {
        Some(factor) => Some(factor),
        None => c.float("partial_rotary_factor")?,
    };
    let named = match c.text(&at("rope_type"))? {
        Some(name) => Some(name),
        None => c.text(&at("type"))?,
    };
    let (proportional, mut dims) = (named == Some("proportional"), head_dim);
    if let Some(factor) = partial.filter(|&f| f != 1.0) {
        if !(0.0..1.0).contains(&factor) {
            return Err(c.error(
                ErrorKind::Shape,
                "partial_rotary_factor",
                format!("{factor} is not in 0..=1"),
            ));
        }
        dims = (f64::from(head_dim) * factor) as u32;
        head.set("rope.dimension_count", if proportional { &head_dim } else { &dims });
    }
    let mut base = match c.float(&at("rope_theta"))? {
        Some(theta) => Some(theta),
        None => c.float("rope_theta")?,
    };
    let number = |name: &str| c.need(&at(name), c.float(&at(name))?);
    match named {
        None | Some("default") => {}
        Some("linear") => {
            head.set("rope.scaling.type", "linear");
            head.set("rope.scaling.factor", &(number("factor")? as f32));
        }
        Some("llama3") => {
            let factors = llama3(
                base.unwrap_or(10_000.0),
                dims,
                [
                    number("factor")?,
                    number("low_freq_factor")?,
                    number("high_freq_factor")?,
                    number("original_max_position_embeddings")?,
                ],
            );
            head.tensor("rope_freqs.weight", &factors);
        }
        // The base grows with `alpha`, whatever the length of the text (Hunyuan).
        Some("dynamic") if c.get(&at("alpha")).is_some() => {
            let alpha = number("alpha")?;
            let dims = f64::from(dims);
            base = base.map(|b| b * libm::pow(alpha, dims / (dims - 2.0)));
        }
        // Grows beyond `max_position_embeddings` only, which here is the longest context.
        Some("dynamic") => {}
        // Frequencies of whole heads, of which the first turn and the others stand still.
        Some("proportional") => {
            let slow = c.float(&at("factor"))?.unwrap_or(1.0) as f32;
            let divisor = |pair| if pair < dims / 2 { slow } else { STILL };
            head.tensor("rope_freqs.weight", &(0..head_dim / 2).map(divisor).collect::<Vec<_>>());
        }
        Some("longrope" | "su") => long_rope(c, head, dims)?,
        Some("yarn") => yarn(c, head)?,
        Some(other) => {
            let message = format!("the RoPE scaling \"{other}\" is not supported");
            return Err(c.error(ErrorKind::Unsupported, &at("rope_type"), message));
        }
    }
    if let Some(base) = base {
        head.set("rope.freq_base", &(base as f32));
    }
    Ok(())
}

/// Divisors of the frequencies of Llama 3.1: wave lengths of which fewer than `low` fit the original context are stretched
/// by `factor`, those of which more than `high` fit stay, the rest lies between.
fn llama3(base: f64, dims: u32, [factor, low, high, original]: [f64; 4]) -> Vec<f32> {
    let pairs = dims / 2;
    let divisor = |i: u32| {
        let wave = 2.0 * PI * libm::pow(base, f64::from(2 * i) / f64::from(dims));
        let fit = original / wave;
        if fit < low {
            factor
        } else if fit > high {
            1.0
        } else {
            let smooth = (fit - low) / (high - low);
            1.0 / ((1.0 - smooth) / factor + smooth)
        }
    };
    (0..pairs).map(|i| divisor(i) as f32).collect()
}

/// LongRoPE: one list of divisors for contexts up to the original one, one for longer ones.
fn long_rope(c: &Config, head: &mut Head<'_>, dims: u32) -> Result<()> {
    let original = "original_max_position_embeddings";
    let in_scaling = format!("{}{original}", prefix(c));
    let original = match c.integer(original)? {
        Some(n) => n,
        None => c.need(original, c.integer(&in_scaling)?)?,
    };
    let longest = c.need("max_position_embeddings", c.integer("max_position_embeddings")?)?;
    for (name, tensor) in [("short_factor", "rope_factors_short"), ("long_factor", "rope_factors_long")] {
        let key = format!("{}{name}", prefix(c));
        let factors = c.need(&key, c.floats(&key)?)?;
        if factors.len() != (dims / 2) as usize {
            let message = format!("{} factors for {} pairs", factors.len(), dims / 2);
            return Err(c.error(ErrorKind::Shape, &key, message));
        }
        head.tensor(&format!("{tensor}.weight"), &factors.iter().map(|&f| f as f32).collect::<Vec<_>>());
    }
    let stretch = f64::from(longest) / f64::from(original.max(1));
    let magnitude = if stretch <= 1.0 {
        1.0
    } else {
        (1.0 + libm::log(stretch) / libm::log(f64::from(original.max(2)))).sqrt()
    };
    head.set("rope.scaling.attn_factor", &(magnitude as f32));
    head.set("rope.scaling.original_context_length", &original);
    Ok(())
}

/// YaRN's numbers as GGUF names them; which of them count is for the family to say.
fn yarn(c: &Config, head: &mut Head<'_>) -> Result<()> {
    let at = |name: &str| format!("{}{name}", prefix(c));
    head.set("rope.scaling.type", "yarn");
    let factor = c.need(&at("factor"), c.float(&at("factor"))?)?;
    head.set("rope.scaling.factor", &(factor as f32));
    let original = match c.integer(&at("original_max_position_embeddings"))? {
        Some(n) => n,
        None => c.need("max_position_embeddings", c.integer("max_position_embeddings")?)?,
    };
    head.set("rope.scaling.original_context_length", &original);
    for (name, key) in
        [("beta_fast", "rope.scaling.yarn_beta_fast"), ("beta_slow", "rope.scaling.yarn_beta_slow")]
    {
        if let Some(x) = c.float(&at(name))? {
            head.set(key, &(x as f32));
        }
    }
    // Said in any case: what a file means that does not say it depends on the family.
    head.set("rope.scaling.yarn_truncate", &c.flag(&at("truncate"))?.unwrap_or(true));
    // What rotated elements are multiplied with; the usual factor is applied in any case.
    let mscale = |m: f64| 1.0 + 0.1 * m * libm::log(factor.max(1.0));
    let magnitude = match (c.float(&at("attention_factor"))?, mscales(c)?) {
        (None, None) => return Ok(()),
        (Some(magnitude), _) => magnitude,
        (None, Some([one, all])) => mscale(one) / mscale(all),
    };
    head.set("rope.scaling.attn_factor", &((magnitude / mscale(1.0)) as f32));
    Ok(())
}

/// `mscale` and `mscale_all_dim`, if both are there.
pub(super) fn mscales(c: &Config) -> Result<Option<[f64; 2]>> {
    let [one, all] = ["mscale", "mscale_all_dim"].map(|name| c.float(&format!("{}{name}", prefix(c))));
    Ok(one?.zip(all?).filter(|&(one, all)| one != 0.0 && all != 0.0).map(<[f64; 2]>::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factors_of_llama_3() {
        let factors = llama3(500_000.0, 128, [8.0, 1.0, 4.0, 8192.0]);
        assert_eq!((factors.len(), factors[0], factors[63]), (64, 1.0, 8.0));
        assert!(factors.windows(2).all(|w| w[0] <= w[1]) && factors.iter().any(|&f| f > 1.0 && f < 8.0));
    }
}
