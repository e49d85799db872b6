//! The parts of a layer. Each reads its part of the specification; none knows an architecture.

pub(crate) mod attention;
pub(crate) mod linear;
pub(crate) mod rope;
pub(crate) mod store;
