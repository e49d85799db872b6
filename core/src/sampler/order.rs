//! The orders in which cuts rank candidates.

/// How candidates rank.
pub(super) trait Order: Copy {
    /// Whether equal keys are equal logits.
    const INJECTIVE: bool;
    /// Orders like the rank. Never -0.
    fn key(self, logit: f32) -> f32;
    /// From the best possible key, in logits: at least 0, and does not fall as the key grows.
    fn distance(self, logit: f32) -> f32;
}

/// By logit, larger first.
#[derive(Clone, Copy)]
pub(super) struct Probable {
    pub(super) max: f32,
}

impl Order for Probable {
    const INJECTIVE: bool = true;

    #[inline(always)]
    fn key(self, logit: f32) -> f32 {
        0.0 - logit
    }

    #[inline(always)]
    fn distance(self, logit: f32) -> f32 {
        self.max - logit
    }
}

/// By how far the surprise is from the expected one.
#[derive(Clone, Copy)]
pub(super) struct Typical {
    pub(super) max: f32,
    /// Of the logits minus the largest.
    pub(super) expected: f32,
}

impl Order for Typical {
    const INJECTIVE: bool = false; // on both sides of the expected surprise

    #[inline(always)]
    fn key(self, logit: f32) -> f32 {
        (logit - self.max - self.expected).abs()
    }

    #[inline(always)]
    fn distance(self, logit: f32) -> f32 {
        self.key(logit)
    }
}
