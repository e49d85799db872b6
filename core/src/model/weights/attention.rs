//! The weights of attention.

use super::binder::Binder;
use super::delta::Delta;
use super::linear::{Linear, Vector};
use super::mla::Mla;
use crate::error::Result;
use crate::model::spec::{AttentionSpec, Bias, GqaSpec, KvSource, QkNorm};

/// One layer's attention.
#[derive(Debug)]
pub(crate) enum Attention {
    Gqa(Gqa),
    Mla(Mla),
    Delta(Delta),
}

impl Attention {
    /// `name` makes a tensor's name out of its part.
    pub(super) fn bind(
        b: &mut Binder<'_>,
        spec: &AttentionSpec,
        width: usize,
        name: &dyn Fn(&str) -> String,
    ) -> Result<Self> {
        match spec {
            AttentionSpec::Gqa(spec) => Gqa::bind(b, spec, width, name).map(Self::Gqa),
            AttentionSpec::Mla(spec) => Mla::bind(b, spec, width, name).map(Self::Mla),
            AttentionSpec::Delta(spec) => Delta::bind(b, spec, width, name).map(Self::Delta),
        }
    }

    /// The matrices that read the block's input.
    pub(crate) fn first(&self) -> impl Iterator<Item = &Linear> {
        match self {
            Self::Gqa(a) => [Some(&a.q), a.k.as_ref(), a.v.as_ref(), None],
            Self::Mla(a) => [Some(a.q_first()), Some(&a.kv_a), None, None],
            Self::Delta(a) => a.first().map(Some),
        }
        .into_iter()
        .flatten()
    }

    pub(super) fn linears(&self) -> impl Iterator<Item = &Linear> {
        let (gqa, mla, delta) = self.each();
        let two = gqa.into_iter().flat_map(Gqa::linears).chain(mla.into_iter().flat_map(Mla::linears));
        two.chain(delta.into_iter().flat_map(Delta::linears))
    }

    /// The matrices that a token meets once for each head, and how many heads there are.
    pub(super) fn per_head(&self) -> impl Iterator<Item = (&Linear, usize)> {
        self.each().1.into_iter().flat_map(Mla::per_head)
    }

    pub(super) fn vectors(&self) -> impl Iterator<Item = &Vector> {
        let (gqa, mla, delta) = self.each();
        let two = gqa.into_iter().flat_map(Gqa::vectors).chain(mla.into_iter().flat_map(Mla::vectors));
        two.chain(delta.into_iter().flat_map(Delta::vectors))
    }

    /// The one that it is.
    fn each(&self) -> (Option<&Gqa>, Option<&Mla>, Option<&Delta>) {
        match self {
            Self::Gqa(a) => (Some(a), None, None),
            Self::Mla(a) => (None, Some(a), None),
            Self::Delta(a) => (None, None, Some(a)),
        }
    }
}

/// Grouped-query attention.
#[derive(Debug)]
pub(crate) struct Gqa {
    /// `[q_product, width]`.
    pub(crate) q: Linear,
    /// `[kv_row, width]`; none where the keys are another layer's.
    pub(crate) k: Option<Linear>,
    /// `[kv_row, width]`; none where the values are made from the keys or another layer's.
    pub(crate) v: Option<Linear>,
    /// `[width, q_row]`.
    pub(crate) o: Linear,
    /// `[head_dim]` or `[q_row]`.
    pub(crate) q_norm: Option<Vector>,
    /// `[head_dim]` or `[kv_row]`.
    pub(crate) k_norm: Option<Vector>,
    /// `[head_dim]`, all 1.
    pub(crate) v_norm: Option<Vector>,
    /// `[heads]`.
    pub(crate) sinks: Option<Vector>,
}

impl Gqa {
    /// `name` makes a tensor's name out of its part.
    fn bind(b: &mut Binder<'_>, spec: &GqaSpec, width: usize, name: &dyn Fn(&str) -> String) -> Result<Self> {
        let (q_row, kv_row) = (spec.q_row(), spec.kv_row());
        let norms = match spec.qk_norm {
            QkNorm::None | QkNorm::Unit => None,
            QkNorm::Head | QkNorm::HeadRotated => Some((spec.head_dim, spec.head_dim)),
            QkNorm::Row => Some((q_row, kv_row)),
        };
        let q_product = spec.q_product();
        let (q, k, v) = match spec.kv {
            KvSource::OwnKeys if b.has(&name("attn_q.weight")) => {
                let [q, k] = ["attn_q", "attn_k"].map(name);
                let q = b.linear(&q, q_product, width, spec.qkv_bias)?;
                let k = b.linear(&k, kv_row, width, spec.qkv_bias)?;
                (q, Some(k), b.optional_linear(&name("attn_v"), kv_row, width)?)
            }
            KvSource::Own | KvSource::OwnKeys => {
                let names = ["attn_q", "attn_k", "attn_v"].map(name);
                let rows = [q_product, kv_row, kv_row];
                let [q, k, v] = b.split(&name("attn_qkv"), names, rows, width, spec.qkv_bias)?;
                (q, Some(k), Some(v))
            }
            KvSource::Layer(_) => {
                // Some files keep what the original model has there and does not use.
                for part in ["attn_k.weight", "attn_v.weight", "attn_k_norm.weight"] {
                    b.ignore(&name(part));
                }
                let fused = name("attn_qkv");
                let q = match b.has(&format!("{fused}.weight")) {
                    true => {
                        b.linear(&fused, q_product + 2 * kv_row, width, spec.qkv_bias)?.part(0, q_product)
                    }
                    false => b.linear(&name("attn_q"), q_product, width, spec.qkv_bias)?,
                };
                (q, None, None)
            }
        };
        let unit = (spec.qk_norm == QkNorm::Unit).then(|| Vector::ones(spec.head_dim));
        let k_norm = norms.filter(|_| k.is_some());
        Ok(Self {
            q,
            k,
            v,
            o: b.linear(&name("attn_output"), width, q_row, Bias::IfPresent)?,
            v_norm: spec.v_norm.then(|| Vector::ones(spec.head_dim)),
            sinks: b.vector_if(spec.sinks, &name("attn_sinks.weight"), spec.heads)?,
            q_norm: match unit {
                Some(_) => unit.clone(),
                None => norms.map(|(q, _)| b.vector(&name("attn_q_norm.weight"), q)).transpose()?,
            },
            k_norm: match unit {
                Some(_) => unit,
                None => k_norm.map(|(_, k)| b.vector(&name("attn_k_norm.weight"), k)).transpose()?,
            },
        })
    }

    fn linears(&self) -> impl Iterator<Item = &Linear> {
        [&self.q, &self.o].into_iter().chain(&self.k).chain(&self.v)
    }

    fn vectors(&self) -> impl Iterator<Item = &Vector> {
        self.q_norm.iter().chain(&self.k_norm).chain(&self.v_norm).chain(&self.sinks)
    }
}
