//! Coded types on their way to a product: what a tier multiplies is [`Bytes256`].

use crate::quant::{Bytes256, Coded};
use crate::tensor::{self, PlainBlock};

/// Writes one block, given as its bytes, out.
pub(super) type DecodeFn = fn(&[u8], &mut Bytes256);

/// [`DecodeFn`] of a type. Plain integer code, the same for all tiers of an architecture, so that a coded type costs a
/// tier no code of its own.
#[inline(always)]
pub(super) fn decode<B: PlainBlock + Coded>(block: &[u8], out: &mut Bytes256) {
    let blocks = tensor::blocks::<B>(block).expect("the product was chosen by the matrix's type");
    blocks[0].decode(out);
}
