//! Quantised products of the x86-64 tiers, written once over registers of either width.
//!
//! The weights of several neighbouring rows (16 for AVX-512, 8 for AVX2) are computed together: 32-bit lane `r` of
//! every register belongs to row `r`. A lane of the dot-product instruction takes four weights of its row and four
//! activations, the same for all rows, broadcast from memory; so a sum per row comes out without adding across lanes,
//! and each output element keeps its own accumulator, in the canonical order.
//!
//! ```text
//! rows in the file           transposed by 4 bytes          one step, c = 0..8 (a block of 32)
//! r0: a0 a1 a2 a3 ..         tile 0: a0 b0 c0 .. p0         sums += tile[c] . (q[4c..4c+4], to every lane)
//! r1: b0 b1 b2 b3 ..    ->   tile 1: a1 b1 c1 .. p1
//! ..                         ..
//! ```
//!
//! With few tokens a block is unpacked into registers and used at once. With many, a whole panel of rows is unpacked
//! into [`Scratch`](super::Scratch), in this order, and all tokens pass over it, a few at a time.
//!
//! [`lanes`] is what a tier must supply; [`block32`] and [`block256`] know the layouts of the types; [`q8x32`] and
//! [`q8x256`] are the products; [`source`] decodes the types that have codes. Everything is `#[inline(always)]` into a function of the tier, and no register passes
//! through a closure: closures do not inherit a function's instruction set.

#![allow(clippy::needless_range_loop, reason = "register tiles are clearest by index")]

pub(super) mod block256;
pub(super) mod block32;
pub(super) mod coded;
pub(super) mod four;
pub(super) mod lanes;
pub(super) mod q8x256;
pub(super) mod q8x32;
pub(super) mod rows;
mod source;
