//! Borrowed views of numbers: matrices of weights as the file holds them, activations, and outputs.
//!
//! Views check their lengths when they are made; whoever holds one need not check again. Matrices are row-major.

mod acts;
mod cast;
mod stripe;
mod view;

pub use self::acts::{Acts, QuantActs};
pub use self::cast::{PlainBlock, blocks, f32s, u16s};
pub use self::stripe::{Blocks, Either, Rows, SplitRows, Stripe, StripeSource};
pub use self::view::{QMatRef, quantize};
