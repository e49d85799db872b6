//! The tensors of a file that is written, and where in the model their rows are.

use std::collections::HashMap;

use siskin::gguf::{GgufFile, TensorInfo};
use siskin::quant::QuantType;
use siskin::{Error, ErrorKind, Result};

/// A tensor to be written: rows of one or several of the model's.
#[derive(Debug)]
pub(crate) struct Item<'a> {
    pub(crate) name: String,
    /// Fastest first.
    pub(crate) dims: Vec<usize>,
    pub(crate) source: QuantType,
    /// Where its rows are: a tensor, the first row in it, and how many; as many in each.
    pub(crate) segments: Vec<(&'a TensorInfo, usize, usize)>,
}

/// What is written: the model's tensors, but experts together that have a tensor each, and apart what other programs look
/// for apart.
pub(crate) fn items(file: &GgufFile) -> Result<Vec<Item<'_>>> {
    let mut items = Vec::<Item<'_>>::new();
    let mut stacks = HashMap::<String, usize>::new();
    for tensor in file.tensors() {
        let (name, dims, source) = (tensor.name(), tensor.dims(), tensor.quant_type()?);
        let rows = tensor.elements() / dims[0];
        if let Some((stack, expert)) = single_expert(name) {
            let at = *stacks.entry(stack.clone()).or_insert_with(|| {
                let item = Item { name: stack, dims: [dims, &[0]].concat(), source, segments: Vec::new() };
                items.push(item);
                items.len() - 1
            });
            let item = &mut items[at];
            if item.dims[..2] != *dims || item.source != source {
                let message = "an expert's matrix is not like those of the others";
                return Err(Error::new(ErrorKind::Shape, message).with_tensor(name));
            }
            // Sorted below; `first` is the expert's number until then.
            item.segments.push((tensor, expert, rows));
            item.dims[2] += 1;
        } else if let Some(start) = name.strip_suffix("ffn_gate_up_exps.weight")
            && let &[cols, both, count] = dims
        {
            for (part, first) in [("gate", 0), ("up", both / 2)] {
                let segments = (0..count).map(|e| (tensor, e * both + first, both / 2)).collect();
                let name = format!("{start}ffn_{part}_exps.weight");
                items.push(Item { name, dims: vec![cols, both / 2, count], source, segments });
            }
        } else if let Some(start) = name.strip_suffix("ffn_gate_up_exps.bias")
            && let &[both, count] = dims
        {
            for (part, first) in [("gate", 0), ("up", 1)] {
                // Seen as two rows for each expert.
                let segments = (0..count).map(|e| (tensor, 2 * e + first, 1)).collect();
                let name = format!("{start}ffn_{part}_exps.bias");
                items.push(Item { name, dims: vec![both / 2, count], source, segments });
            }
        } else {
            items.push(Item {
                name: name.to_owned(),
                dims: dims.to_vec(),
                source,
                segments: vec![(tensor, 0, rows)],
            });
        }
    }
    for &at in stacks.values() {
        let item = &mut items[at];
        item.segments.sort_by_key(|s| s.1);
        if item.segments.iter().enumerate().any(|(e, s)| s.1 != e) {
            let message = "the experts are not numbered one after the other";
            return Err(Error::new(ErrorKind::Format, message).with_tensor(&*item.name));
        }
        item.segments.iter_mut().for_each(|s| s.1 = 0);
    }
    Ok(items)
}

/// The tensor that expert `n`'s belongs into, and `n`: of `blk.3.ffn_up.7.weight`, `blk.3.ffn_up_exps.weight` and 7.
fn single_expert(name: &str) -> Option<(String, usize)> {
    let (start, expert) = name.strip_suffix(".weight")?.rsplit_once('.')?;
    if ["altup_proj", "altup_unembd_proj"].contains(&start) {
        return Some((format!("{start}.weight"), expert.parse().ok()?));
    }
    let known = [".ffn_gate", ".ffn_up", ".ffn_down"].iter().any(|end| start.ends_with(end));
    known.then_some((format!("{start}_exps.weight"), expert.parse().ok()?))
}
