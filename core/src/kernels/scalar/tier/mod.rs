//! The tier itself: the generic float kernels over an array.

mod ints;
mod lanes;

use crate::kernels::generic;
use crate::kernels::select::Tier;

use self::ints::Ints;
pub(crate) use self::lanes::Lanes;

generic::instantiate! { f32_ops: Lanes, Ints }

pub(crate) static TIER: Tier = Tier { supported: || true, kernels: f32_ops::kernels("scalar") };
