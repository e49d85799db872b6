//! The order of rows: of queries and keys, and of what belongs to the value heads of delta nets.
//!
//! A checkpoint's elements `j` and `j + dims / 2` of a head turn together; GGUF files of some architectures have these
//! rows beside each other, as `2 j` and `2 j + 1`. Its value heads of a delta net lie key head by key head; in a GGUF file
//! they take turns with these: the first of every key head, then the second. A folder is run as it is and says so in its
//! metadata; in a file for other programs the rows must be where those look for them.

use siskin::gguf::{DELTA_HEADS, Metadata, ROPE_PAIRING};
use siskin::{Error, ErrorKind, Result};

/// What a model needs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Orders {
    pairs: Option<Pairs>,
    heads: Option<Heads>,
}

/// How rows, or a row's elements, are put.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    Pairs(Pairs),
    /// Those from `first` on are heads' of `dim` rows each.
    Heads {
        heads: Heads,
        first: usize,
        dim: usize,
    },
}

/// Queries and keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pairs {
    head_dim: usize,
    dims: usize,
}

/// Value heads: for each of `keys` key heads `per_key`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    keys: usize,
    per_key: usize,
    /// Rows of queries and keys together, which come before those of values.
    before: usize,
    value_dim: usize,
}

impl Orders {
    /// What the model needs; nothing if its rows are right already.
    ///
    /// # Errors
    /// `Missing` or `Shape` naming the key.
    pub(crate) fn of(meta: &Metadata, arch: &str) -> Result<Self> {
        let pairs = meta.get(ROPE_PAIRING).map(|_| Pairs::of(meta, arch)).transpose()?;
        let heads = meta.get(DELTA_HEADS).map(|_| Heads::of(meta, arch)).transpose()?;
        Ok(Self { pairs, heads })
    }

    /// The order of the tensor's rows, or of a vector's elements.
    pub(crate) fn rows(&self, name: &str) -> Option<Order> {
        let part = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')).map(|(_, part)| part)?;
        match part {
            "attn_q.weight" | "attn_k.weight" | "attn_q.bias" | "attn_k.bias" => self.pairs.map(Order::Pairs),
            "attn_qkv.weight" | "ssm_conv1d.weight" => {
                self.heads.map(|heads| Order::Heads { heads, first: heads.before, dim: heads.value_dim })
            }
            "attn_gate.weight" => {
                self.heads.map(|heads| Order::Heads { heads, first: 0, dim: heads.value_dim })
            }
            "ssm_alpha.weight" | "ssm_beta.weight" | "ssm_a" | "ssm_dt.bias" => {
                self.heads.map(|heads| Order::Heads { heads, first: 0, dim: 1 })
            }
            _ => None,
        }
    }

    /// The order of the elements of each of its rows.
    pub(crate) fn columns(&self, name: &str) -> Option<Order> {
        let heads = self.heads.filter(|_| name.ends_with(".ssm_out.weight"))?;
        Some(Order::Heads { heads, first: 0, dim: heads.value_dim })
    }
}

impl Order {
    /// Whether it is one of `n` things.
    pub(crate) fn fits(self, n: usize) -> bool {
        match self {
            Self::Pairs(pairs) => n.is_multiple_of(pairs.head_dim),
            Self::Heads { heads, first, dim } => n == first + heads.keys * heads.per_key * dim,
        }
    }

    /// Where row `row` of the result is in the checkpoint.
    pub(crate) fn source(self, row: usize) -> usize {
        match self {
            Self::Pairs(pairs) => {
                let (head, i) = (row / pairs.head_dim * pairs.head_dim, row % pairs.head_dim);
                if i >= pairs.dims {
                    return row;
                }
                head + i / 2 + if i.is_multiple_of(2) { 0 } else { pairs.dims / 2 }
            }
            Self::Heads { heads, first, dim } => {
                let Some(row) = row.checked_sub(first) else { return row };
                let (turn, key) = (row / dim / heads.keys, row / dim % heads.keys);
                first + (key * heads.per_key + turn) * dim + row % dim
            }
        }
    }
}

fn number(meta: &Metadata, arch: &str, name: &str) -> Result<usize> {
    let key = format!("{arch}.{name}");
    let value = meta.optional::<usize>(&key)?;
    value.ok_or_else(|| Error::new(ErrorKind::Missing, "a metadata key is missing").with_key(key))
}

impl Pairs {
    fn of(meta: &Metadata, arch: &str) -> Result<Self> {
        let optional = |name: &str| meta.optional::<usize>(&format!("{arch}.{name}"));
        let head_dim = match optional("attention.key_length")? {
            Some(n) => n,
            None => {
                number(meta, arch, "embedding_length")? / number(meta, arch, "attention.head_count")?.max(1)
            }
        };
        let dims = optional("rope.dimension_count")?.unwrap_or(head_dim);
        if head_dim == 0 || dims > head_dim || dims % 2 != 0 {
            let message = format!("{dims} rotated elements in heads of {head_dim}");
            return Err(Error::new(ErrorKind::Shape, message).with_key(ROPE_PAIRING));
        }
        Ok(Self { head_dim, dims })
    }
}

impl Heads {
    fn of(meta: &Metadata, arch: &str) -> Result<Self> {
        let (keys, values) =
            (number(meta, arch, "ssm.group_count")?, number(meta, arch, "ssm.time_step_rank")?);
        let (key_dim, inner) = (number(meta, arch, "ssm.state_size")?, number(meta, arch, "ssm.inner_size")?);
        let before = keys.checked_mul(key_dim).and_then(|n| n.checked_mul(2));
        match before {
            Some(before)
                if keys > 0
                    && values > 0
                    && values.is_multiple_of(keys)
                    && inner.is_multiple_of(values)
                    && inner > 0 =>
            {
                Ok(Self { keys, per_key: values / keys, before, value_dim: inner / values })
            }
            _ => {
                let message =
                    format!("{values} value heads of {inner} elements in all, and {keys} key heads");
                Err(Error::new(ErrorKind::Shape, message).with_key(DELTA_HEADS))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_become_neighbours() {
        let orders = Orders { pairs: Some(Pairs { head_dim: 6, dims: 4 }), heads: None };
        let order = orders.rows("blk.3.attn_q.weight").expect("reordered");
        let rows: Vec<_> = (0..12).map(|r| order.source(r)).collect();
        assert_eq!(rows, [0, 2, 1, 3, 4, 5, 6, 8, 7, 9, 10, 11]);
        assert!(
            orders.rows("blk.3.attn_q_norm.weight").is_none()
                && orders.columns("blk.0.ssm_out.weight").is_none()
        );
    }

    #[test]
    fn value_heads_take_turns() {
        let heads = Heads { keys: 2, per_key: 3, before: 4, value_dim: 2 };
        let orders = Orders { pairs: None, heads: Some(heads) };
        let all = |order: Option<Order>, n| (0..n).map(|r| order.expect("one").source(r)).collect::<Vec<_>>();
        assert_eq!(all(orders.rows("blk.0.ssm_a"), 6), [0, 3, 1, 4, 2, 5]);
        let wide = [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11];
        assert_eq!(all(orders.columns("blk.0.ssm_out.weight"), 12), wide);
        let behind: Vec<_> = (0..4).chain(wide.map(|r| r + 4)).collect();
        assert_eq!(all(orders.rows("blk.0.attn_qkv.weight"), 16), behind);
        assert!(
            orders.rows("blk.0.ssm_norm.weight").is_none() && orders.rows("blk.0.attn_q.weight").is_none()
        );
    }
}
