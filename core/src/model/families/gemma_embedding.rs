//! `gemma-embedding`: EmbeddingGemma: Gemma 3 in which every position sees both sides, the sliding layers half a window to
//! each; no output matrix. Matrices behind pooling, if the file was made with them.

use super::hparams::Hparams;
use super::{Family, gemma3};
use crate::error::Result;
use crate::model::spec::{DenseSpec, Mask, ModelSpec};

pub(super) static FAMILY: Family = Family { arch: &["gemma-embedding"], serves: "EmbeddingGemma", spec };

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    h.size("attention.sliding_window")?;
    let mut spec = gemma3::spec(h)?;
    for layer in &mut spec.layers {
        layer.gqa().mask = Mask::Bidirectional;
    }
    spec.generates = false;
    for (tensor, rows) in [("dense_2", "dense_2_feat_out"), ("dense_3", "dense_3_feat_out")] {
        let rows = h.optional_size(rows)?;
        spec.embedding.dense.extend(rows.map(|rows| DenseSpec { tensor, rows }));
    }
    Ok(spec)
}
