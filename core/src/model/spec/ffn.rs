//! Feed-forward blocks and mixtures of experts.

use crate::kernels::Activation;

/// The feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FfnSpec {
    /// `down(act(gate(x)) * up(x))`.
    Gated {
        /// Rows of gate and up.
        hidden: usize,
        /// Applied to the gate.
        act: Activation,
        /// Before that, only what is above the mean by so many deviations is left, less that much.
        sparsity: Option<f32>,
    },
    /// A mixture of experts.
    Experts(ExpertsSpec),
    /// `down(act(up(x)))`.
    Plain {
        /// Rows of up.
        hidden: usize,
        /// Applied to what up gives.
        act: Activation,
    },
}

impl FfnSpec {
    /// Rows of the widest intermediate that every token has.
    pub fn hidden(&self) -> usize {
        match self {
            FfnSpec::Gated { hidden, .. } | FfnSpec::Plain { hidden, .. } => *hidden,
            FfnSpec::Experts(e) => e.shared.map_or(1, |s| s.hidden),
        }
    }

    /// The experts, if it has them.
    pub fn experts(&self) -> Option<&ExpertsSpec> {
        match self {
            FfnSpec::Gated { .. } | FfnSpec::Plain { .. } => None,
            FfnSpec::Experts(e) => Some(e),
        }
    }
}

/// A mixture of experts: a router gives each token to a few of many gated blocks (Shazeer et al. 2017).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpertsSpec {
    /// Experts.
    pub count: usize,
    /// Experts that a token goes to.
    pub used: usize,
    /// Rows of an expert's gate and up.
    pub hidden: usize,
    /// Applied to the gate, of experts and shared expert.
    pub act: Activation,
    /// Who goes where.
    pub router: RouterSpec,
    /// What an expert's weight multiplies.
    pub weighted: Weighted,
    /// A block that every token goes through besides.
    pub shared: Option<SharedSpec>,
    /// Whether router, experts and shared block each have norms of their own (Gemma 4).
    pub normed: bool,
}

/// How a router chooses a token's experts and weights what they give.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RouterSpec {
    /// Scores from the router's products.
    pub gating: Gating,
    /// Whether the weights of the chosen are divided by their sum.
    pub normalised: bool,
    /// Weights are multiplied with this.
    pub scale: f32,
    /// Experts are chosen from the best groups only.
    pub groups: Option<GroupSpec>,
}

/// What makes scores out of a router's products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gating {
    /// `exp(x) / sum exp(x)` over all experts.
    Softmax,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

/// Groups of experts (DeepSeek-V2, 2024; DeepSeek-V3, 2024).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupSpec {
    /// Groups, at most 64; divides the experts.
    pub count: usize,
    /// Groups that a token's experts may come from.
    pub used: usize,
    /// What a group is worth.
    pub score: GroupScore,
}

/// What a group of experts is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupScore {
    /// Its best expert.
    Best,
    /// The sum of its two best.
    TwoBest,
}

/// What an expert's weight multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weighted {
    /// What the expert gives.
    Output,
    /// What it takes (Llama 4).
    Input,
}

/// A block that every token goes through beside its experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedSpec {
    /// Rows of gate and up.
    pub hidden: usize,
    /// Whether what it gives is multiplied with the sigmoid of one more product.
    pub gated: bool,
}
