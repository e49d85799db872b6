//! Experts in metadata: keys that all families share, with limits.

use super::hparams::Hparams;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::Activation;
use crate::model::spec::{ExpertsSpec, Gating, GroupScore, GroupSpec, RouterSpec, SharedSpec, Weighted};

/// Most experts of a layer. The most of a published model are 512.
const MAX_EXPERTS: usize = 4096;
/// Most groups of experts.
const MAX_GROUPS: usize = 64;

/// A router without groups whose weights are a softmax over the chosen experts.
pub(super) const SHARES_OF_CHOSEN: RouterSpec =
    RouterSpec { gating: Gating::Softmax, normalised: true, scale: 1.0, groups: None };

impl Hparams<'_> {
    /// Experts, if the model has any: `expert_count` above 0.
    pub(super) fn expert_count(&self) -> Result<Option<usize>> {
        let count: Option<usize> = self.optional("expert_count")?;
        Ok(count.filter(|&n| n > 0))
    }

    /// Experts with SiLU and nothing shared, whose rows `expert_feed_forward_length` states, or else
    /// `feed_forward_length`.
    pub(super) fn experts(&self, router: RouterSpec) -> Result<ExpertsSpec> {
        let hidden = match self.optional_size("expert_feed_forward_length")? {
            Some(hidden) => hidden,
            None => self.size("feed_forward_length")?,
        };
        Ok(ExpertsSpec {
            count: self.size("expert_count")?,
            used: self.size("expert_used_count")?,
            hidden,
            act: Activation::Silu,
            router,
            weighted: Weighted::Output,
            shared: None,
            normed: false,
        })
    }

    /// A router as DeepSeek's models state it: every part in the metadata.
    pub(super) fn router(&self, score: impl Fn(Gating) -> GroupScore) -> Result<RouterSpec> {
        let name = "expert_gating_func";
        let gating = match self.optional::<u32>(name)?.unwrap_or(1) {
            0 | 1 => Gating::Softmax, // 0 is what early files say
            2 => Gating::Sigmoid,
            other => return Err(self.unsupported(name, &format!("gating function {other}"))),
        };
        let scale = self.factor("expert_weights_scale", 1.0)?;
        let groups = match self.optional_size("expert_group_count")?.filter(|&count| count > 1) {
            None => None,
            Some(count) => {
                let used = self.size("expert_group_used_count")?;
                Some(GroupSpec { count, used, score: score(gating) })
            }
        };
        Ok(RouterSpec {
            gating,
            normalised: self.optional("expert_weights_norm")?.unwrap_or(false),
            scale,
            groups,
        })
    }

    /// A shared expert as `expert_shared_feed_forward_length` states it, or `expert_shared_count` times the rows of one.
    pub(super) fn shared_expert(&self, hidden: usize, gated: bool) -> Result<Option<SharedSpec>> {
        if let Some(hidden) = self.optional_size("expert_shared_feed_forward_length")? {
            return Ok(Some(SharedSpec { hidden, gated }));
        }
        let name = "expert_shared_count";
        let count: usize = self.optional(name)?.unwrap_or(0);
        if count == 0 {
            return Ok(None);
        }
        let hidden =
            count.checked_mul(hidden).ok_or_else(|| self.unsupported(name, "so many shared experts"))?;
        Ok(Some(SharedSpec { hidden, gated }))
    }

    fn unsupported(&self, name: &str, what: &str) -> Error {
        Error::new(ErrorKind::Unsupported, format!("{what} is not supported")).with_key(self.key(name))
    }
}

/// What the forward pass relies on; says what does not hold.
pub(super) fn check(e: &ExpertsSpec) -> Result<(), String> {
    if e.count == 0 || e.count > MAX_EXPERTS || e.used == 0 || e.used > e.count {
        return Err(format!("{} experts of {} (at most {MAX_EXPERTS}) cannot be chosen", e.used, e.count));
    }
    if let Some(g) = e.router.groups {
        let fits = (1..=MAX_GROUPS).contains(&g.count) && e.count.is_multiple_of(g.count);
        if !fits || g.used == 0 || g.used > g.count || e.used > e.count / g.count * g.used {
            let GroupSpec { count, used, .. } = g;
            return Err(format!("{} of {} experts in {used} of {count} groups", e.used, e.count));
        }
    }
    Ok(())
}
