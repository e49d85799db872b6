//! Positions in metadata: the base of RoPE, its scaling, queries scaled by position.

use super::hparams::Hparams;
use crate::error::{Error, ErrorKind, Result};
use crate::model::spec::{Temperature, Yarn};

/// Whether YaRN's ramp starts and ends at whole dimensions.
pub(super) const YARN_TRUNCATE: &str = "rope.scaling.yarn_truncate";

/// How a file says that positions are scaled.
#[derive(Clone, Copy)]
pub(super) struct RopeScaling {
    pub(super) divisor: f32,
    pub(super) yarn: Option<Yarn>,
    /// YaRN's magnitude of rotated elements, and the factor `attention` in it that the file states.
    pub(super) magnitude: f32,
    pub(super) attention: f32,
    /// The file's `yarn_log_multiplier`, if there is one.
    pub(super) log_multiplier: Option<f32>,
}

impl RopeScaling {
    /// Not at all.
    pub(super) const NONE: Self =
        Self { divisor: 1.0, yarn: None, magnitude: 1.0, attention: 1.0, log_multiplier: None };
}

/// The base of layers with a sliding window in Gemma 3 and its kin.
pub(super) const SLIDING_BASE: f32 = 10_000.0;

impl Hparams<'_> {
    /// The base of rotary frequencies.
    pub(super) fn rope_base(&self, default: f32) -> Result<f32> {
        let name = "rope.freq_base";
        let base = self.optional(name)?.unwrap_or(default);
        self.number(name, base, |b| b > 1.0)
    }

    /// The base of layers with a sliding window.
    pub(super) fn sliding_rope_base(&self, usual: f32) -> Result<f32> {
        let name = "rope.freq_base_swa";
        let base = self.optional(name)?.unwrap_or(usual);
        self.number(name, base, |b| b > 1.0)
    }

    /// How positions are scaled.
    ///
    /// # Errors
    /// `Unsupported` for scalings other than linear and YaRN, naming the key.
    pub(super) fn rope_scaling(&self) -> Result<RopeScaling> {
        let name = "rope.scaling.type";
        let kind: Option<String> = self.optional(name)?;
        match kind.as_deref() {
            Some("none") => Ok(RopeScaling::NONE),
            // The type that is meant where none is stated.
            None | Some("linear") => self.linear_scaling(),
            Some("yarn") => self.yarn(),
            Some(other) => {
                let message = format!("RoPE scaling \"{other}\" is not supported for this architecture");
                Err(Error::new(ErrorKind::Unsupported, message).with_key(self.key(name)))
            }
        }
    }

    /// Linear scaling by a factor, which has had two names; 0 or none stands for 1.
    fn linear_scaling(&self) -> Result<RopeScaling> {
        for name in ["rope.scaling.factor", "rope.scale_linear"] {
            if let Some(factor) = self.optional(name)?.filter(|&factor: &f32| factor != 0.0) {
                return Ok(RopeScaling {
                    divisor: self.number(name, factor, |f| f > 0.0)?,
                    ..RopeScaling::NONE
                });
            }
        }
        Ok(RopeScaling::NONE)
    }

    /// YaRN. The magnitude is `mscale(1) / mscale(all)`, where `mscale(m) = 1 + 0.1 m ln(factor)` and `all` is the file's
    /// `yarn_log_multiplier`; a file without one has the numerator alone.
    fn yarn(&self) -> Result<RopeScaling> {
        let divisor = self.positive("rope.scaling.factor", None)?;
        let yarn = Yarn {
            original: match self.optional_size("rope.scaling.original_context_length")? {
                Some(original) => original,
                None => self.context()?,
            },
            beta_fast: self.positive("rope.scaling.yarn_beta_fast", Some(32.0))?,
            beta_slow: self.positive("rope.scaling.yarn_beta_slow", Some(1.0))?,
            // GGUF has no such key of its own; folders do.
            rounded: self.optional(YARN_TRUNCATE)?.unwrap_or(true),
        };
        let name = "rope.scaling.yarn_log_multiplier";
        let log_multiplier: Option<f32> = self.optional(name)?.filter(|&m| m != 0.0);
        let all = self.number(name, log_multiplier.unwrap_or(0.0), |m| (0.0..100.0).contains(&m))?;
        let attention = self.positive("rope.scaling.attn_factor", Some(1.0))?;
        let log = libm::logf(divisor.max(1.0));
        let magnitude = attention * (1.0 + 0.1 * log) / (1.0 + 0.1 * all * log);
        Ok(RopeScaling { divisor, yarn: Some(yarn), magnitude, attention, log_multiplier })
    }

    /// The factor of queries that grows with the position, if the file has one; `every` so many positions.
    pub(super) fn temperature(&self, every: usize, offset: usize) -> Result<Option<Temperature>> {
        let name = "attention.temperature_scale";
        let strength: Option<f32> = self.optional(name)?.filter(|&s| s != 0.0);
        let checked = strength.map(|s| self.number(name, s, |s| s > 0.0)).transpose()?;
        Ok(checked.map(|strength| Temperature { strength, every, offset }))
    }
}
