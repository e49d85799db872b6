//! A checkpoint's tensors under GGUF's names. They stay in the mapped files, but for norms with a "1 +" and for heads that
//! lie interleaved, which are copied.

use std::path::Path;

use super::config::Config;
use super::convert::Copies;
use super::families::{self, Family, WQKV};
use super::head::Head;
use super::safetensors::{self, Tensor};
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::header::MAX_PARTS;
use crate::gguf::{Bytes, TensorInfo};
use crate::quant::QuantType;
use crate::tensor::QMatRef;

/// The list of a checkpoint in several files, and the only file of one that is not.
const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";

/// Opens the files, and describes their tensors and those of `head`.
pub(super) fn open(
    folder: &Path,
    family: &Family,
    c: &Config,
    head: &Head<'_>,
) -> Result<(Vec<Bytes>, Vec<TensorInfo>)> {
    let (mut sources, mut out, mut copies) = (Vec::new(), Vec::new(), Copies::default());
    for (part, name) in (0..).zip(files(folder)?) {
        let path = folder.join(name);
        let (source, tensors) = safetensors::open(&path)?;
        for tensor in &tensors {
            translate(tensor, part, family, c, &mut copies, &mut out).map_err(|e| {
                let named = e.tensor().is_some();
                let e = if named { e } else { e.with_tensor(&*tensor.name) };
                e.with_offset(tensor.offset).with_file(&path)
            })?;
        }
        sources.push(source);
    }
    copies.finish(family, &mut out).map_err(|e| e.with_file(folder))?;
    let tied = c.flag("tie_word_embeddings")? == Some(true);
    out.retain(|t| !tied || t.name() != "output.weight");
    for (name, values) in &head.tensors {
        let bytes = Bytes::from(values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>());
        out.push(TensorInfo::new(name, &[values.len() as u64], QuantType::F32.ggml_id(), bytes, 0, 0)?);
    }
    Ok((sources, out))
}

/// The names of the folder's tensor files, in order.
fn files(folder: &Path) -> Result<Vec<String>> {
    let Some(index) = Config::read(folder, INDEX)? else {
        let single = folder.join(SINGLE);
        if single.exists() {
            return Ok(vec![SINGLE.to_owned()]);
        }
        let message = format!("the folder has neither {SINGLE} nor {INDEX}");
        return Err(Error::new(ErrorKind::Missing, message).with_file(folder));
    };
    let key = "weight_map";
    let map = index.get(key).and_then(|m| m.as_object());
    let map = map.ok_or_else(|| index.error(ErrorKind::Format, key, "expected an object"))?;
    let mut names = Vec::new();
    for (tensor, name) in map {
        let name = name.as_str().unwrap_or_default();
        // A name, not a path: nothing outside the folder is opened.
        let plain = name.ends_with(".safetensors") && !name.contains(['/', '\\', ':', '\0']);
        if !plain {
            let message = format!("the tensor is not in a .safetensors file of this folder: {name:?}");
            return Err(index.error(ErrorKind::Format, key, message).with_tensor(tensor));
        }
        names.push(name);
    }
    names.sort_unstable();
    names.dedup();
    if names.len() as u64 > MAX_PARTS {
        let message = format!("a model of {} files, at most {MAX_PARTS} are accepted", names.len());
        return Err(index.error(ErrorKind::Limit, key, message));
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// Adds what `tensor` becomes.
fn translate(
    tensor: &Tensor,
    part: u32,
    family: &Family,
    c: &Config,
    copies: &mut Copies,
    out: &mut Vec<TensorInfo>,
) -> Result<()> {
    let Some(name) = family.gguf_name(&tensor.name) else { return Ok(()) };
    if predicts_further_tokens(&name, c)? {
        return Ok(());
    }
    if copies.take(tensor, &name, part, family, out)? {
        return Ok(());
    }
    let Some(ggml) = tensor.dtype.ggml else {
        let message = format!("tensors of type {} are not supported", tensor.dtype.name);
        return Err(Error::new(ErrorKind::Unsupported, message));
    };
    let dims: Vec<u64> = tensor.shape.iter().rev().copied().collect();
    if family.one_plus && name.ends_with("norm.weight") && !name.ends_with(".ssm_norm.weight") {
        let mut values = floats(tensor)?;
        values.iter_mut().for_each(|x| *x += 1.0);
        let bytes = Bytes::from(values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>());
        out.push(TensorInfo::new(&name, &dims, QuantType::F32.ggml_id(), bytes, tensor.offset, part)?);
        return Ok(());
    }
    if let Some((block, suffix)) = name.split_once(WQKV) {
        return interleaved(tensor, (block, suffix, ggml, part), c, out);
    }
    let (rows, dims) = first_rows(tensor, &name, dims, c)?;
    out.push(TensorInfo::new(&name, &dims, ggml, rows, tensor.offset, part)?);
    Ok(())
}

/// Whether the tensor is one of the layers behind the last that DeepSeek V3 has for guessing tokens in advance.
fn predicts_further_tokens(name: &str, c: &Config) -> Result<bool> {
    if c.integer("num_nextn_predict_layers")?.is_none_or(|n| n == 0) {
        return Ok(false);
    }
    // Those of a kind that no table knows keep the checkpoint's name.
    let layer = ["blk.", "model.layers."].iter().find_map(|start| name.strip_prefix(start));
    let layer: Option<u32> = layer.and_then(|rest| rest.split_once('.')?.0.parse().ok());
    let layers = c.integer("num_hidden_layers")?;
    Ok(layer.zip(layers).is_some_and(|(layer, layers)| layer >= layers))
}

/// The tensor's bytes and dimensions, or those of its first rows where an embedding has more than the model knows tokens.
fn first_rows(tensor: &Tensor, name: &str, mut dims: Vec<u64>, c: &Config) -> Result<(Bytes, Vec<u64>)> {
    let is_embedding = name == "token_embd.weight" || name == "output.weight";
    let tokens = families::vocabulary(c)?.map(u64::from);
    if let (&mut [_, ref mut rows], Some(tokens)) = (&mut dims[..], tokens)
        && is_embedding
        && c.integer("vocab_size")?.is_some_and(|whole| u64::from(whole) == *rows)
        && tokens < *rows
    {
        let bytes = tensor.bytes.len() as u64 / *rows * tokens;
        if let Some(first) = tensor.bytes.slice(0..bytes as usize) {
            *rows = tokens;
            return Ok((first, dims));
        }
    }
    Ok((tensor.bytes.clone(), dims))
}

/// A small tensor's values.
pub(super) fn floats(tensor: &Tensor) -> Result<Vec<f32>> {
    const LARGEST: usize = 1 << 20;
    let ty = tensor.dtype.ggml.and_then(QuantType::from_ggml_id).ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, format!("tensors of type {} are not supported", tensor.dtype.name))
    })?;
    let n: u64 = tensor.shape.iter().product(); // checked: so many are in the file
    if n > LARGEST as u64 {
        let message = format!("{n} elements are no vector of a norm");
        return Err(Error::new(ErrorKind::Shape, message));
    }
    let mut values = vec![0.0; n as usize];
    QMatRef::new(ty, 1, values.len(), &tensor.bytes)?.dequantize_row(0, &mut values);
    Ok(values)
}

/// Copies rows that come group by group (queries of a group, its key, its value) into three matrices.
fn interleaved(
    tensor: &Tensor,
    (block, suffix, ggml, part): (&str, &str, u32, u32),
    c: &Config,
    out: &mut Vec<TensorInfo>,
) -> Result<()> {
    let need = |key: &str| c.need(key, c.integer(key)?).map(|n| n as usize);
    let (heads, head_dim) = (need("num_attention_heads")?, families::head_dim(c)? as usize);
    let groups = c.integer("num_key_value_heads")?.map_or(heads, |n| n as usize);
    let (&rows, rest) = tensor.shape.split_first().unwrap_or((&0, &[]));
    let per_group = heads.checked_div(groups).unwrap_or(0);
    let expected = (per_group + 2).checked_mul(groups).and_then(|n| n.checked_mul(head_dim));
    if groups == 0 || !heads.is_multiple_of(groups) || expected != Some(rows as usize) || rows == 0 {
        let message = format!("{rows} rows are not {heads} query heads and {groups} groups of {head_dim}");
        return Err(Error::new(ErrorKind::Shape, message));
    }
    let head = tensor.bytes.len() / (rows as usize) * head_dim;
    let mut copies =
        [(per_group, "attn_q"), (1, "attn_k"), (1, "attn_v")].map(|(n, name)| (n, name, Vec::new()));
    for group in tensor.bytes.chunks_exact((per_group + 2) * head) {
        let mut at = 0;
        for (n, _, copy) in &mut copies {
            copy.extend_from_slice(&group[at..at + *n * head]);
            at += *n * head;
        }
    }
    for (n, name, copy) in copies {
        let dims: Vec<u64> = rest.iter().rev().copied().chain([(n * groups * head_dim) as u64]).collect();
        let name = format!("{block}{name}{suffix}");
        out.push(TensorInfo::new(&name, &dims, ggml, Bytes::from(copy), tensor.offset, part)?);
    }
    Ok(())
}
