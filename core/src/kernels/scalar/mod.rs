//! The scalar tier: runs everywhere, and is what every other tier is compared with.
//!
//! Float kernels are the generic ones over an array; quantised products are [`quant::Block::dot`], block after block. On
//! x86-64 a fused multiply-add without the FMA feature is a call into the C library: right, and slow.

// 64-bit ARM always has a faster tier: an app need not carry this one as well, 180 KB (docs/SIZE.md).
#[cfg(any(test, not(target_arch = "aarch64"), not(feature = "fast-kernels-only")))]
mod tier;

use crate::kernels::{MatmulFn, MatmulTable, Scratch};
use crate::quant::{self, QuantType};
use crate::tensor::{Acts, PlainBlock, QMatRef, Stripe};

#[cfg(test)]
pub(crate) use self::tier::Lanes;
#[cfg(any(test, not(target_arch = "aarch64"), not(feature = "fast-kernels-only")))]
pub(crate) use self::tier::TIER;

macro_rules! define_matmul {
    ($($variant:ident = $id:literal, $block:ident, $bytes:literal, $name:literal;)+) => {
        /// The product of every type by its definition; float types by the definition of one lane, and so to be
        /// overlaid by the sixteen.
        pub(crate) const MATMUL: MatmulTable = {
            let first: MatmulFn = matmul::<quant::BlockQ4_0>;
            MatmulTable::all(first)$(.with(QuantType::$variant, matmul::<quant::$block>))+
        };
    };
}
quant::with_quant_types!(define_matmul);

/// `out[t][r] = dot(w row r, acts t)`.
fn matmul<B: PlainBlock>(w: QMatRef<'_>, acts: &Acts<'_>, out: &mut Stripe<'_>, _: &mut Scratch) {
    let Acts::Quant(x) = acts else {
        panic!("quantised weights meet quantised activations: checked by the caller")
    };
    for r in 0..w.rows() {
        let row = w.row::<B>(r).expect("the table gives each type its own block");
        for t in 0..x.n {
            let mut acc = 0.0;
            for (b, block) in row.iter().enumerate() {
                acc = block.dot(x.block(t, b), acc);
            }
            out.row(t)[r] = acc;
        }
    }
}
