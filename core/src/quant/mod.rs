//! What a block of weights is: THE TABLE of types, one file per type, and the scalar truth of each.
//!
//! A quantised row is a sequence of blocks; a block holds `LEN` weights in `BYTES` bytes, with the scales it needs.
//! Layouts are GGML's (`ggml-common.h`), little-endian. Block structs are made of byte arrays, so their alignment is
//! one and a row can be read wherever the file put it.
//!
//! ## Canonical arithmetic
//!
//! Every product of a weight row with an activation row is *defined* by [`Block::dot`], block after block in order,
//! with integer sums inside a block and fused multiply-adds between blocks. Fast kernels reorder only the integer
//! part, so every instruction set, thread count and batch size gives the same bits. With `d` the scale of the weights,
//! `d_a` that of the activations, and `q` and `a` the integers (offsets like Q4_0's 8 taken off), one step is:
//!
//! ```text
//! blocks of 32 (Q8x32)         acc = fma(float(sum q a), d * d_a, acc)
//!   and with a minimum m       acc = fma(m, d_a * float(sum a), acc)
//! blocks of 256 (Q8x256)       acc = fma(float(sum_j scale_j sum q a), d * d_a, acc)
//!   and with minimums          acc = fma(float(sum_j min_j sum a), -(dmin * d_a), acc)
//! float types                  lane = fma(w, a, lane), sixteen lanes, see `crate::kernels`
//! ```
//!
//! The accumulator begins at 0. The integer sums are exact in `i32` (each file says why they cannot overflow) and are
//! rounded once, to nearest even, by `float`.
//!
//! To add a type: one file here and one row in [`with_quant_types!`]. See `docs/adding-a-quant.md`.

mod bf16;
mod coded;
mod f16;
mod f32;
mod grids;
mod iq1_m;
mod iq1_s;
mod iq2_s;
mod iq2_xs;
mod iq2_xxs;
mod iq3_s;
mod iq3_xxs;
mod iq4_nl;
mod iq4_xs;
mod k_scales;
mod mxfp4;
mod nvfp4;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
#[cfg(test)]
mod tests;
mod tq1_0;
mod tq2_0;

pub use self::bf16::BlockBF16;
pub use self::coded::{Bytes256, Coded, Codes256};
pub use self::f16::BlockF16;
pub use self::f32::BlockF32;
pub use self::iq1_m::BlockIQ1M;
pub use self::iq1_s::BlockIQ1S;
pub use self::iq2_s::BlockIQ2S;
pub use self::iq2_xs::BlockIQ2XS;
pub use self::iq2_xxs::BlockIQ2XXS;
pub use self::iq3_s::BlockIQ3S;
pub use self::iq3_xxs::BlockIQ3XXS;
pub use self::iq4_nl::{BlockIQ4NL, IQ4_VALUES};
pub use self::iq4_xs::BlockIQ4XS;
pub use self::k_scales::{pack_scale_min_k4, pack_scales_q3_k, scale_min_k4, scales_q3_k};
pub use self::mxfp4::{BlockMXFP4, FP4_VALUES};
pub use self::nvfp4::BlockNVFP4;
pub use self::q2_k::BlockQ2K;
pub use self::q3_k::BlockQ3K;
pub use self::q4_0::BlockQ4_0;
pub use self::q4_1::BlockQ4_1;
pub use self::q4_k::BlockQ4K;
pub use self::q5_0::BlockQ5_0;
pub use self::q5_1::BlockQ5_1;
pub use self::q5_k::BlockQ5K;
pub use self::q6_k::BlockQ6K;
pub use self::q8_0::BlockQ8_0;
pub use self::tq1_0::BlockTQ1_0;
pub use self::tq2_0::BlockTQ2_0;

/// How activations are represented while they are multiplied with a weight type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActFormat {
    /// Unquantised `f32`.
    F32,
    /// Blocks of 32: `i8` values, one `f32` scale, and one `i16` sum of the 32 values.
    Q8x32,
    /// Blocks of 256: `i8` values, one `f32` scale, and sixteen `i16` sums of 16 values each.
    Q8x256,
}

impl ActFormat {
    /// Values per scale.
    pub const fn block_len(self) -> usize {
        match self {
            ActFormat::F32 => 1,
            ActFormat::Q8x32 => 32,
            ActFormat::Q8x256 => 256,
        }
    }

    /// Values per entry of the sums (0: there are none).
    pub const fn sum_len(self) -> usize {
        match self {
            ActFormat::F32 => 0,
            ActFormat::Q8x32 => 32,
            ActFormat::Q8x256 => 16,
        }
    }
}

/// The activations that meet one block of weights.
#[derive(Clone, Copy, Debug)]
pub struct ActBlock<'a> {
    /// `[LEN]`, only for [`ActFormat::F32`]; otherwise empty.
    pub f32: &'a [f32],
    /// `[LEN]` quantised values; empty for [`ActFormat::F32`].
    pub qs: &'a [i8],
    /// Value of one step of `qs`.
    pub scale: f32,
    /// Sums of `qs`: one of 32 (`Q8x32`) or sixteen of 16 (`Q8x256`).
    pub sums: &'a [i16],
}

/// A block layout: sizes, decoding, encoding, and the definition of its dot product.
///
/// Implementors are `#[repr(C)]` structs of bytes (alignment one, no padding, every bit pattern valid); the table
/// below asserts size and alignment at compile time.
pub trait Block: Copy + Send + Sync + 'static {
    /// Weights in a block.
    const LEN: usize;
    /// What the activations are quantised to.
    const ACT: ActFormat;

    /// Decodes into `out`, `[LEN]`.
    fn dequantize(&self, out: &mut [f32]);

    /// Encodes `x`, `[LEN]`, by round-to-nearest; for tests and tools, not for the best quality.
    fn quantize(x: &[f32]) -> Self;

    /// The canonical step of a dot product: `acc` plus this block times `act`. For the float types (`LEN` 1) the
    /// canonical order is that of [`crate::kernels`]' sixteen lanes and this is one lane's step; the same holds for NVFP4,
    /// of which a block is four steps of all lanes, and here one after the other.
    fn dot(&self, act: ActBlock<'_>, acc: f32) -> f32;
}

/// Calls the macro `$m` with one row per type: variant, GGML id, block struct, bytes per block, name.
macro_rules! with_quant_types {
    ($m:ident) => {
        $m! {
            F32    =  0, BlockF32,      4, "F32";
            F16    =  1, BlockF16,      2, "F16";
            Q4_0   =  2, BlockQ4_0,    18, "Q4_0";
            Q4_1   =  3, BlockQ4_1,    20, "Q4_1";
            Q5_0   =  6, BlockQ5_0,    22, "Q5_0";
            Q5_1   =  7, BlockQ5_1,    24, "Q5_1";
            Q8_0   =  8, BlockQ8_0,    34, "Q8_0";
            Q2K    = 10, BlockQ2K,     84, "Q2_K";
            Q3K    = 11, BlockQ3K,    110, "Q3_K";
            Q4K    = 12, BlockQ4K,    144, "Q4_K";
            Q5K    = 13, BlockQ5K,    176, "Q5_K";
            Q6K    = 14, BlockQ6K,    210, "Q6_K";
            IQ2XXS = 16, BlockIQ2XXS,  66, "IQ2_XXS";
            IQ2XS  = 17, BlockIQ2XS,   74, "IQ2_XS";
            IQ3XXS = 18, BlockIQ3XXS,  98, "IQ3_XXS";
            IQ1S   = 19, BlockIQ1S,    50, "IQ1_S";
            IQ4NL  = 20, BlockIQ4NL,   18, "IQ4_NL";
            IQ3S   = 21, BlockIQ3S,   110, "IQ3_S";
            IQ2S   = 22, BlockIQ2S,    82, "IQ2_S";
            IQ4XS  = 23, BlockIQ4XS,  136, "IQ4_XS";
            IQ1M   = 29, BlockIQ1M,    56, "IQ1_M";
            BF16   = 30, BlockBF16,     2, "BF16";
            TQ1_0  = 34, BlockTQ1_0,   54, "TQ1_0";
            TQ2_0  = 35, BlockTQ2_0,   66, "TQ2_0";
            MXFP4  = 39, BlockMXFP4,   17, "MXFP4";
            NVFP4  = 40, BlockNVFP4,   36, "NVFP4";
        }
    };
}
pub(crate) use with_quant_types;

/// `$table` with, for each coded type, `$f::<Block>`.
macro_rules! with_coded_types {
    ($table:expr, $f:ident) => {
        $table
            .with(QuantType::IQ2XXS, $f::<$crate::quant::BlockIQ2XXS>)
            .with(QuantType::IQ2XS, $f::<$crate::quant::BlockIQ2XS>)
            .with(QuantType::IQ3XXS, $f::<$crate::quant::BlockIQ3XXS>)
            .with(QuantType::IQ1S, $f::<$crate::quant::BlockIQ1S>)
            .with(QuantType::IQ3S, $f::<$crate::quant::BlockIQ3S>)
            .with(QuantType::IQ2S, $f::<$crate::quant::BlockIQ2S>)
            .with(QuantType::IQ1M, $f::<$crate::quant::BlockIQ1M>)
            .with(QuantType::TQ1_0, $f::<$crate::quant::BlockTQ1_0>)
            .with(QuantType::TQ2_0, $f::<$crate::quant::BlockTQ2_0>)
    };
}
pub(crate) use with_coded_types;

macro_rules! define_quant_type {
    ($($variant:ident = $id:literal, $block:ident, $bytes:literal, $name:literal;)+) => {
        /// A tensor's storage type. The discriminants are dense; the GGML ids are [`QuantType::ggml_id`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "the variants are GGML's names")]
        pub enum QuantType { $($variant),+ }

        impl QuantType {
            /// Every type, in the table's order.
            pub const ALL: &'static [QuantType] = &[$(QuantType::$variant),+];
            /// How many types there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The type with this GGML id, if it is in the table.
            pub const fn from_ggml_id(id: u32) -> Option<Self> {
                match id { $($id => Some(Self::$variant),)+ _ => None }
            }

            /// The id that GGUF files use.
            pub const fn ggml_id(self) -> u32 {
                match self { $(Self::$variant => $id),+ }
            }

            /// GGML's name, as in `Q4_K`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Weights per block.
            pub const fn block_len(self) -> usize {
                match self { $(Self::$variant => <$block as Block>::LEN),+ }
            }

            /// Bytes per block.
            pub const fn block_bytes(self) -> usize {
                match self { $(Self::$variant => $bytes),+ }
            }

            /// What activations are quantised to when they meet this type.
            pub const fn act_format(self) -> ActFormat {
                match self { $(Self::$variant => <$block as Block>::ACT),+ }
            }
        }

        $(const _: () = {
            assert!(size_of::<$block>() == $bytes, "block size");
            assert!(align_of::<$block>() == 1, "blocks are read at any address");
        };)+
    };
}
with_quant_types!(define_quant_type);

impl QuantType {
    /// Whether a block has a minimum besides its scale, so that a product has two terms that may cancel.
    pub const fn has_minimum(self) -> bool {
        matches!(self, Self::Q4_1 | Self::Q5_1 | Self::Q2K | Self::Q4K | Self::Q5K)
    }

    /// Bytes of a row of `k` weights; `None` if `k` is not a whole number of blocks or the size overflows.
    pub const fn row_bytes(self, k: usize) -> Option<usize> {
        if !k.is_multiple_of(self.block_len()) {
            return None;
        }
        (k / self.block_len()).checked_mul(self.block_bytes())
    }
}

impl std::fmt::Display for QuantType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
