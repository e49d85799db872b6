//! The parts of a layer. Each reads its part of the specification; none knows an architecture.

pub(crate) mod altup;
pub(crate) mod attention;
pub(crate) mod delta;
mod experts;
pub(crate) mod ffn;
pub(crate) mod gqa;
pub(crate) mod linear;
pub(crate) mod mla;
pub(crate) mod per_layer;
pub(crate) mod residual;
pub(crate) mod rope;
pub(crate) mod store;
