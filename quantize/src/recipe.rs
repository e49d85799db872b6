//! Which tensor becomes which type.
//!
//! A mixture keeps what matters more in more bits: the head, the values, the feed-forward block's last product, and of
//! those more in the first and last layers. The rules are those that llama.cpp documents for the types of these names
//! (src/llama-quant.cpp of the sources in the llama-cpp-python 0.3.36 package), so that files are comparable and of the
//! size that people expect.

use siskin::quant::QuantType;

/// A type of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, missing_docs, reason = "the variants are the names that people know")]
pub enum Recipe {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K_S,
    Q3_K_M,
    Q3_K_L,
    Q4_K_S,
    Q4_K_M,
    Q5_K_S,
    Q5_K_M,
    Q6_K,
    IQ4_NL,
    IQ4_XS,
}

use QuantType as T;
use Recipe::{
    BF16, F16, F32, IQ4_NL, IQ4_XS, Q2_K, Q3_K_L, Q3_K_M, Q3_K_S, Q4_0, Q4_1, Q4_K_M, Q4_K_S, Q5_0, Q5_1,
    Q5_K_M, Q5_K_S, Q6_K, Q8_0,
};

/// Name, type of most tensors, and `general.file_type`.
static RECIPES: &[(Recipe, &str, QuantType, u32)] = &[
    (F32, "F32", T::F32, 0),
    (F16, "F16", T::F16, 1),
    (BF16, "BF16", T::BF16, 32),
    (Q4_0, "Q4_0", T::Q4_0, 2),
    (Q4_1, "Q4_1", T::Q4_1, 3),
    (Q5_0, "Q5_0", T::Q5_0, 8),
    (Q5_1, "Q5_1", T::Q5_1, 9),
    (Q8_0, "Q8_0", T::Q8_0, 7),
    (Q2_K, "Q2_K", T::Q2K, 10),
    (Q3_K_S, "Q3_K_S", T::Q3K, 11),
    (Q3_K_M, "Q3_K_M", T::Q3K, 12),
    (Q3_K_L, "Q3_K_L", T::Q3K, 13),
    (Q4_K_S, "Q4_K_S", T::Q4K, 14),
    (Q4_K_M, "Q4_K_M", T::Q4K, 15),
    (Q5_K_S, "Q5_K_S", T::Q5K, 16),
    (Q5_K_M, "Q5_K_M", T::Q5K, 17),
    (Q6_K, "Q6_K", T::Q6K, 18),
    (IQ4_NL, "IQ4_NL", T::IQ4NL, 25),
    (IQ4_XS, "IQ4_XS", T::IQ4XS, 30),
];

/// What a recipe looks at in a model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) layers: usize,
    /// Query heads for each key head.
    pub(crate) heads_per_group: usize,
    pub(crate) experts: usize,
    /// The embedding is the head as well.
    pub(crate) tied: bool,
    /// An importance was measured.
    pub(crate) measured: bool,
}

impl Recipe {
    /// All names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        RECIPES.iter().map(|r| r.1)
    }

    /// The recipe of this name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        RECIPES.iter().find(|r| r.1.eq_ignore_ascii_case(name)).map(|r| r.0)
    }

    fn row(self) -> &'static (Self, &'static str, QuantType, u32) {
        RECIPES.iter().find(|r| r.0 == self).expect("every recipe has its row")
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Its number in `general.file_type`.
    pub(crate) fn file_type(self) -> u32 {
        self.row().3
    }

    /// Whether weights stay floats.
    fn is_float(self) -> bool {
        matches!(self, F32 | F16 | BF16)
    }

    /// The type of the tensor `name`, of dimensions `dims` (fastest first).
    pub(crate) fn ty(self, name: &str, dims: &[usize], shape: Shape) -> QuantType {
        let base = self.row().2;
        let Some(stem) = name.strip_suffix(".weight").filter(|_| dims.len() >= 2) else { return T::F32 };
        let (layer, part) = match stem.strip_prefix("blk.").and_then(|s| s.split_once('.')) {
            Some((layer, part)) => (layer.parse().unwrap_or(0), part),
            None => (0, stem),
        };
        // Small, and what they decide is decided for all that follows.
        let router = part == "ffn_gate_inp" || part == "ffn_gate_inp_shexp";
        // Added to the tokens' embeddings row by row; llama.cpp, too, only does that with floats.
        let added = stem == "position_embd" || stem == "token_types";
        if router || added || part.ends_with("norm") || part.starts_with("rope_") || part.contains("_conv1d")
        {
            return T::F32;
        }
        if self.is_float() {
            return base;
        }
        let head = stem == "output" || (stem == "token_embd" && shape.tied);
        let wanted = if head { self.head() } else { self.part(part, layer, shape).unwrap_or(base) };
        fitting(wanted, dims[0])
    }

    fn head(self) -> QuantType {
        if self == Q8_0 { T::Q8_0 } else { T::Q6K }
    }

    /// The type of a tensor that is not of the usual one.
    fn part(self, part: &str, i: usize, s: Shape) -> Option<QuantType> {
        let n = s.layers;
        // The first and last eighth, and every third between.
        let between = n / 8..7 * n / 8;
        let ends = !between.contains(&i) || (i - between.start) % 3 == 2;
        let many = s.experts >= 8;
        match (part, self) {
            ("attn_v", Q8_0) => None,
            ("attn_v" | "attn_k", _) if many => Some(T::Q8_0),
            ("attn_v", Q2_K) => Some(if s.heads_per_group >= 4 { T::Q4K } else { T::Q3K }),
            ("attn_v", Q3_K_M) => Some(if i < 2 { T::Q5K } else { T::Q4K }),
            ("attn_v", Q3_K_L) => Some(T::Q5K),
            ("attn_v", IQ4_NL | IQ4_XS) if s.heads_per_group >= 4 => Some(T::Q5K),
            ("attn_v", Q4_K_M | Q5_K_M) if ends => Some(T::Q6K),
            ("attn_v", Q4_K_S) if i < 4 => Some(T::Q5K),
            ("attn_output", Q2_K | Q3_K_S | Q3_K_M | Q4_K_S | Q4_K_M | IQ4_NL | IQ4_XS) if many => {
                Some(T::Q5K)
            }
            ("attn_output", Q2_K) => Some(T::Q3K),
            ("attn_output", Q3_K_M) => Some(T::Q4K),
            ("attn_output", Q3_K_L) => Some(T::Q5K),
            ("attn_qkv", Q3_K_M | Q3_K_L) => Some(T::Q4K),
            ("attn_qkv", Q4_K_M) => Some(T::Q5K),
            ("attn_qkv", Q5_K_M) => Some(T::Q6K),
            ("ffn_down" | "ffn_down_exps" | "ffn_down_shexp", recipe) => match recipe {
                Q2_K => Some(T::Q3K),
                Q3_K_M if i < n / 16 => Some(T::Q5K),
                Q3_K_M => Some(T::Q4K),
                Q3_K_L => Some(T::Q5K),
                Q4_K_M | Q5_K_M if ends => Some(T::Q6K),
                Q4_K_S if i < n / 8 => Some(T::Q5K),
                IQ4_NL | IQ4_XS if i < n / 8 && !s.measured => Some(T::Q5K),
                Q4_0 if i < n / 8 && s.measured => Some(T::Q4_1),
                Q5_0 if i < n / 8 && s.measured => Some(T::Q5_1),
                _ => None,
            },
            _ => None,
        }
    }
}

/// `ty`, or what is nearest to it for rows of `cols` that are not whole blocks of it.
fn fitting(ty: QuantType, cols: usize) -> QuantType {
    if cols.is_multiple_of(ty.block_len()) {
        return ty;
    }
    let smaller = match ty {
        T::Q2K | T::Q3K | T::IQ4XS => T::IQ4NL,
        T::Q4K => T::Q5_0,
        T::Q5K => T::Q5_1,
        T::Q6K => T::Q8_0,
        other => other,
    };
    if cols.is_multiple_of(smaller.block_len()) { smaller } else { T::F16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { layers: 32, heads_per_group: 4, experts: 0, tied: false, measured: false };

    #[test]
    fn mixtures() {
        for (recipe, name, ty) in [
            (Q4_K_M, "output.weight", T::Q6K),
            (Q4_K_M, "token_embd.weight", T::Q4K),
            (Q4_K_M, "blk.0.attn_v.weight", T::Q6K),
            (Q4_K_M, "blk.4.attn_v.weight", T::Q4K),
            (Q4_K_M, "blk.6.attn_v.weight", T::Q6K),
            (Q4_K_M, "blk.31.ffn_down.weight", T::Q6K),
            (Q4_K_M, "blk.4.attn_q.weight", T::Q4K),
            (Q4_K_S, "blk.3.attn_v.weight", T::Q5K),
            (Q2_K, "blk.9.attn_output.weight", T::Q3K),
            (Q8_0, "output.weight", T::Q8_0),
            (Q4_0, "output.weight", T::Q6K),
            (Q4_0, "blk.0.ffn_down.weight", T::Q4_0),
            (F16, "blk.0.attn_q.weight", T::F16),
            (F16, "blk.0.ffn_gate_inp.weight", T::F32),
            (Q8_0, "position_embd.weight", T::F32),
            (Q4_K_M, "token_types.weight", T::F32),
        ] {
            assert_eq!(recipe.ty(name, &[256, 256], SHAPE), ty, "{recipe:?} {name}");
        }
        assert_eq!(Q4_K_M.ty("blk.0.attn_norm.weight", &[256], SHAPE), T::F32);
        assert_eq!(Q4_K_M.ty("blk.0.attn_q.bias", &[256], SHAPE), T::F32);
        assert_eq!(Q4_K_M.ty("token_embd.weight", &[256, 9], Shape { tied: true, ..SHAPE }), T::Q6K);
    }

    #[test]
    fn rows_that_are_not_whole_blocks() {
        for (recipe, cols, ty) in [
            (Q4_K_M, 576, T::Q5_0),
            (Q6_K, 576, T::Q8_0),
            (Q2_K, 576, T::IQ4NL),
            (Q5_K_S, 96, T::Q5_1),
            (Q4_0, 48, T::F16),
            (Q4_K_M, 48, T::F16),
        ] {
            assert_eq!(recipe.ty("blk.9.attn_q.weight", &[cols, 8], SHAPE), ty, "{recipe:?} {cols}");
        }
    }

    #[test]
    fn names() {
        assert_eq!(Recipe::named("q4_k_m"), Some(Q4_K_M));
        assert_eq!(Recipe::named("Q4_K"), None);
        assert!(Recipe::names().all(|name| Recipe::named(name).is_some_and(|r| r.name() == name)));
    }
}
