//! The weights of feed-forward blocks.

use super::binder::Binder;
use super::linear::{Linear, Stack, Vector};
use crate::error::Result;
use crate::model::spec::{Bias, ExpertsSpec, FfnSpec};

/// One layer's feed-forward block.
#[derive(Debug)]
pub(crate) enum Ffn {
    Gated(Gated),
    Plain(Plain),
    Experts(Box<Experts>),
}

/// `down(act(gate(x)) * up(x))`.
#[derive(Debug)]
pub(crate) struct Gated {
    /// `[hidden, width]`.
    pub(crate) gate: Linear,
    /// `[hidden, width]`.
    pub(crate) up: Linear,
    /// `[width, hidden]`.
    pub(crate) down: Linear,
}

/// `down(act(up(x)))`.
#[derive(Debug)]
pub(crate) struct Plain {
    /// `[hidden, width]`.
    pub(crate) up: Linear,
    /// `[width, hidden]`.
    pub(crate) down: Linear,
}

/// A mixture of experts.
#[derive(Debug)]
pub(crate) struct Experts {
    /// `[experts, width]`.
    pub(crate) router: Linear,
    /// `[experts]`: added to scores when experts are chosen, not when they are weighted.
    pub(crate) correction: Option<Vector>,
    /// `[hidden, width]` each.
    pub(crate) gate: Stack,
    /// `[hidden, width]` each.
    pub(crate) up: Stack,
    /// `[width, hidden]` each.
    pub(crate) down: Stack,
    /// `[experts]`: multiplies what each gives.
    pub(crate) scale: Option<Vector>,
    pub(crate) shared: Option<Shared>,
    pub(crate) norms: Option<ExpertNorms>,
    /// Share of the experts that a token uses.
    share: (usize, usize),
}

/// Norms of a layer's experts where they have their own, `[width]` each.
#[derive(Debug)]
pub(crate) struct ExpertNorms {
    /// Before the router.
    pub(crate) router: Vector,
    /// Before the experts.
    pub(crate) before: Vector,
    /// On what the experts give together.
    pub(crate) after: Vector,
    /// On what the shared block gives.
    pub(crate) after_shared: Vector,
}

impl ExpertNorms {
    fn bind(b: &mut Binder<'_>, width: usize, name: &dyn Fn(&str) -> String) -> Result<Self> {
        Ok(Self {
            router: b.vector(&name("ffn_gate_inp.scale"), width)?,
            before: b.vector(&name("pre_ffw_norm_2.weight"), width)?,
            after: b.vector(&name("post_ffw_norm_2.weight"), width)?,
            after_shared: b.vector(&name("post_ffw_norm_1.weight"), width)?,
        })
    }

    fn all(&self) -> [&Vector; 4] {
        [&self.router, &self.before, &self.after, &self.after_shared]
    }
}

/// A block that every token goes through beside its experts.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) block: Gated,
    /// `[1, width]`.
    pub(crate) gate: Option<Linear>,
}

impl Ffn {
    /// `name` makes a tensor's name out of its part.
    pub(super) fn bind(
        b: &mut Binder<'_>,
        spec: &FfnSpec,
        width: usize,
        name: &dyn Fn(&str) -> String,
    ) -> Result<Self> {
        match spec {
            FfnSpec::Gated { hidden, .. } => Gated::bind(b, *hidden, width, "", name).map(Self::Gated),
            FfnSpec::Plain { hidden, .. } => Plain::bind(b, *hidden, width, name).map(Self::Plain),
            FfnSpec::Experts(spec) => Experts::bind(b, spec, width, name).map(Box::new).map(Self::Experts),
        }
    }

    /// The matrices that read the block's input.
    pub(crate) fn first(&self) -> impl Iterator<Item = &Linear> {
        match self {
            Self::Gated(g) => [Some(&g.gate), Some(&g.up), None, None],
            Self::Plain(p) => [Some(&p.up), None, None, None],
            Self::Experts(e) => {
                let (block, gate) = (e.shared.as_ref().map(|s| &s.block), e.shared_gate());
                [Some(&e.router), block.map(|b| &b.gate), block.map(|b| &b.up), gate]
            }
        }
        .into_iter()
        .flatten()
    }

    /// All matrices, those of all experts as one.
    pub(super) fn linears(&self) -> impl Iterator<Item = &Linear> {
        let (block, plain, experts) = match self {
            Self::Gated(g) => (Some(g), None, None),
            Self::Plain(p) => (None, Some(p), None),
            Self::Experts(e) => (e.shared.as_ref().map(|s| &s.block), None, Some(&**e)),
        };
        let block = block.into_iter().flat_map(|g| [&g.gate, &g.up, &g.down]);
        let block = block.chain(plain.into_iter().flat_map(|p| [&p.up, &p.down]));
        let others = experts.into_iter().flat_map(|e| [&e.router].into_iter().chain(e.shared_gate()));
        block.chain(others).chain(experts.into_iter().flat_map(|e| e.stacks().map(Stack::whole)))
    }

    /// Tells the system to read of experts what is touched and nothing around it.
    pub(crate) fn advise_random(&self) {
        if let Self::Experts(e) = self {
            e.stacks().iter().for_each(|stack| stack.advise_random());
        }
    }

    /// Bytes of experts that one token does not use.
    pub(super) fn idle_bytes(&self) -> usize {
        let Self::Experts(e) = self else { return 0 };
        let (used, count) = e.share;
        e.stacks().iter().map(|s| s.byte_len() / count * (count - used)).sum()
    }

    pub(super) fn vectors(&self) -> impl Iterator<Item = &Vector> {
        let experts = match self {
            Self::Gated(_) | Self::Plain(_) => None,
            Self::Experts(e) => Some(&**e),
        };
        experts.into_iter().flat_map(|e| {
            let biases = e.stacks().into_iter().filter_map(|s| s.bias.as_ref());
            let norms = e.norms.iter().flat_map(ExpertNorms::all);
            e.correction.iter().chain(&e.scale).chain(biases).chain(norms)
        })
    }
}

impl Gated {
    /// `suffix` stands at the end of the parts' names.
    fn bind(
        b: &mut Binder<'_>,
        hidden: usize,
        width: usize,
        suffix: &str,
        name: &dyn Fn(&str) -> String,
    ) -> Result<Self> {
        let name = |part: &str| name(&format!("{part}{suffix}"));
        let names = ["ffn_gate", "ffn_up"].map(name);
        let [gate, up] = b.split(&name("ffn_up"), names, [hidden; 2], width, Bias::IfPresent)?;
        Ok(Self { gate, up, down: b.linear(&name("ffn_down"), width, hidden, Bias::IfPresent)? })
    }
}

impl Plain {
    fn bind(b: &mut Binder<'_>, hidden: usize, width: usize, name: &dyn Fn(&str) -> String) -> Result<Self> {
        Ok(Self {
            up: b.linear(&name("ffn_up"), hidden, width, Bias::IfPresent)?,
            down: b.linear(&name("ffn_down"), width, hidden, Bias::IfPresent)?,
        })
    }
}

impl Experts {
    fn bind(
        b: &mut Binder<'_>,
        spec: &ExpertsSpec,
        width: usize,
        name: &dyn Fn(&str) -> String,
    ) -> Result<Self> {
        let (count, hidden) = (spec.count, spec.hidden);
        let [both, names] = [["ffn_gate_up_exps"; 2], ["ffn_gate_exps", "ffn_up_exps"]].map(|n| n.map(name));
        let fused = b.has(&format!("{}.weight", both[0]));
        let mut inner = b.stacks(&both[0], names.clone(), (count, hidden, width))?;
        for (stack, name) in inner.iter_mut().zip(if fused { both } else { names }) {
            b.scale_stack(&name, stack, count)?;
        }
        let [gate, up] = inner;
        let mut down = b.stack(&name("ffn_down_exps"), (count, width, hidden))?;
        b.scale_stack(&name("ffn_down_exps"), &mut down, count)?;
        // Of other types than NVFP4 the same name is the model's own, of Gemma 4.
        let scale = match down.scale {
            Some(_) => None,
            None => b.optional_vector(&name("ffn_down_exps.scale"), count)?,
        };
        // A shared block with norms of its own is the layer's usual one.
        let suffix = if spec.normed { "" } else { "_shexp" };
        let shared = match spec.shared {
            None => None,
            Some(shared) => {
                let gate = name("ffn_gate_inp_shexp");
                Some(Shared {
                    block: Gated::bind(b, shared.hidden, width, suffix, name)?,
                    gate: if shared.gated { Some(b.row(&gate, width)?) } else { None },
                })
            }
        };
        Ok(Self {
            router: b.linear(&name("ffn_gate_inp"), count, width, Bias::IfPresent)?,
            correction: b.optional_vector(&name("exp_probs_b.bias"), count)?,
            gate,
            up,
            down,
            scale,
            shared,
            norms: if spec.normed { Some(ExpertNorms::bind(b, width, name)?) } else { None },
            share: (spec.used, count),
        })
    }

    pub(crate) fn stacks(&self) -> [&Stack; 3] {
        [&self.gate, &self.up, &self.down]
    }

    fn shared_gate(&self) -> Option<&Linear> {
        self.shared.as_ref().and_then(|s| s.gate.as_ref())
    }
}
