//! The weights of multi-head latent attention.

use super::binder::{Binder, missing};
use super::linear::{Linear, Stack, Vector};
use crate::error::Result;
use crate::model::spec::{Bias, MlaSpec};

/// One layer's attention.
#[derive(Debug)]
pub(crate) struct Mla {
    pub(crate) q: MlaQuery,
    /// `[kv_rank + rope_dims, width]`: the latent and the shared key.
    pub(crate) kv_a: Linear,
    /// `[kv_rank]`.
    pub(crate) kv_a_norm: Vector,
    pub(crate) key_up: KeyUp,
    /// Per head `[value_dim, kv_rank]`.
    pub(crate) value_up: Stack,
    /// `[width, heads * value_dim]`.
    pub(crate) o: Linear,
    heads: usize,
}

/// The product of the queries.
#[derive(Debug)]
pub(crate) enum MlaQuery {
    /// `[heads * key_dim, width]`.
    Plain(Linear),
    /// In two steps, with a norm between.
    LowRank {
        /// `[q_rank, width]`.
        down: Linear,
        /// `[q_rank]`.
        norm: Vector,
        /// `[heads * key_dim, q_rank]`.
        up: Linear,
    },
}

/// From latents to what of the keys is not rotated; applied to queries.
#[derive(Debug)]
pub(crate) enum KeyUp {
    /// Per head `[kv_rank, plain_dims]`: ready to be multiplied with a query.
    Absorbed(Stack),
    /// Per head `[plain_dims, kv_rank]`: as the model was published. Queries add up its rows.
    Plain(Stack),
}

impl Mla {
    /// `name` makes a tensor's name out of its part.
    pub(super) fn bind(
        b: &mut Binder<'_>,
        spec: &MlaSpec,
        width: usize,
        name: &dyn Fn(&str) -> String,
    ) -> Result<Self> {
        let &MlaSpec { heads, kv_rank, plain_dims, value_dim, .. } = spec;
        let q = match spec.q_rank {
            None => MlaQuery::Plain(b.linear(&name("attn_q"), spec.q_row(), width, Bias::IfPresent)?),
            Some(rank) => MlaQuery::LowRank {
                down: b.linear(&name("attn_q_a"), rank, width, Bias::IfPresent)?,
                norm: b.vector(&name("attn_q_a_norm.weight"), rank)?,
                up: b.linear(&name("attn_q_b"), spec.q_row(), rank, Bias::IfPresent)?,
            },
        };
        let (key_up, value_up) = if b.has(&name("attn_k_b.weight")) {
            // Some files have the matrix that these two were made of as well.
            b.optional_table(&name("attn_kv_b"), heads * (plain_dims + value_dim), kv_rank)?;
            let keys = b.stack(&name("attn_k_b"), (heads, kv_rank, plain_dims))?;
            (KeyUp::Absorbed(keys), b.stack(&name("attn_v_b"), (heads, value_dim, kv_rank))?)
        } else {
            let stride = plain_dims + value_dim;
            let both = b
                .optional_table(&name("attn_kv_b"), heads * stride, kv_rank)?
                .ok_or_else(|| missing(&name("attn_kv_b.weight")))?;
            let part = |first, rows| Stack::new(both.clone(), (stride, first, rows), None);
            (KeyUp::Plain(part(0, plain_dims)), part(plain_dims, value_dim))
        };
        Ok(Self {
            q,
            kv_a: b.linear(&name("attn_kv_a_mqa"), spec.key_row(), width, Bias::IfPresent)?,
            kv_a_norm: b.vector(&name("attn_kv_a_norm.weight"), kv_rank)?,
            key_up,
            value_up,
            o: b.linear(&name("attn_output"), width, spec.out_row(), Bias::IfPresent)?,
            heads,
        })
    }

    /// The queries' matrix that reads the block's input.
    pub(super) fn q_first(&self) -> &Linear {
        match &self.q {
            MlaQuery::Plain(q) => q,
            MlaQuery::LowRank { down, .. } => down,
        }
    }

    pub(super) fn linears(&self) -> impl Iterator<Item = &Linear> {
        let up = match &self.q {
            MlaQuery::Plain(_) => None,
            MlaQuery::LowRank { up, .. } => Some(up),
        };
        let keys = match &self.key_up {
            KeyUp::Absorbed(keys) => Some(keys.whole()),
            KeyUp::Plain(_) => None, // part of what the values are of
        };
        [self.q_first(), &self.kv_a].into_iter().chain(up).chain(keys).chain([self.value_up.whole(), &self.o])
    }

    /// The matrices that a token meets once for each head, and how many heads there are.
    pub(super) fn per_head(&self) -> impl Iterator<Item = (&Linear, usize)> {
        let keys = match &self.key_up {
            KeyUp::Absorbed(keys) => Some(keys.whole()),
            KeyUp::Plain(_) => None, // not multiplied as a matrix
        };
        keys.into_iter().chain([self.value_up.whole()]).map(|linear| (linear, self.heads))
    }

    pub(super) fn vectors(&self) -> impl Iterator<Item = &Vector> {
        let norm = match &self.q {
            MlaQuery::Plain(_) => None,
            MlaQuery::LowRank { norm, .. } => Some(norm),
        };
        norm.into_iter().chain([&self.kv_a_norm])
    }
}
