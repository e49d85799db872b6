//! `bert`: BERT, an encoder: every position sees every other, positions are learned, norms stand on the residual stream
//! behind each block, the feed-forward block has no gate. Devlin et al. (2018).
//!
//! A text is one sentence to it: token type 0 throughout.

use super::Family;
use super::hparams::{Common, Hparams};
use crate::error::Result;
use crate::kernels::Activation;
use crate::model::spec::{
    AttentionSpec, Bias, EmbedExtra, FfnSpec, GqaSpec, HeadSpec, KvSource, LayerSpec, Mask, ModelSpec,
    NormKind, NormPlacement, NormSpec, QkNorm,
};

pub(super) static FAMILY: Family = Family {
    arch: &["bert"],
    serves: "BERT embeddings (BGE in English or Chinese, MiniLM, E5 and GTE in English)",
    spec,
};

fn spec(h: &Hparams<'_>) -> Result<ModelSpec> {
    let c = Common::with_norms(h, NormKind::Layer)?;
    let extra =
        EmbedExtra { positions: c.context, token_types: h.token_types()?, norm: NormKind::Layer, eps: c.eps };
    let layer = |i: usize| LayerSpec {
        norm: NormSpec { kind: NormKind::Layer, eps: c.eps, placement: NormPlacement::Stream },
        residual_scale: 1.0,
        attention: AttentionSpec::Gqa(GqaSpec {
            heads: c.heads[i],
            kv_heads: c.kv_heads[i],
            head_dim: c.head_dim,
            qk_norm: QkNorm::None,
            v_norm: false,
            kv: KvSource::Own,
            qkv_bias: Bias::Required,
            gated: false,
            chunked: false,
            sinks: false,
            mask: Mask::Bidirectional,
            window: None,
            rope: None,
            scale: 1.0 / (c.head_dim as f32).sqrt(),
            temperature: None,
            softcap: None,
        }),
        ffn: FfnSpec::Plain { hidden: c.hidden[i], act: Activation::GeluErf },
    };
    Ok(ModelSpec {
        architecture: h.arch.to_owned(),
        width: c.width,
        vocab: h.vocab,
        context: c.context,
        embed_scale: 1.0,
        embed_extra: Some(extra),
        ropes: Vec::new(),
        layers: (0..c.layers).map(layer).collect(),
        head: HeadSpec { norm: NormKind::Layer, eps: c.eps, softcap: None, scale: 1.0 },
        generates: false,
        embedding: h.embedding()?,
        per_layer: None,
        streams: None,
        predictors: 0,
    })
}
