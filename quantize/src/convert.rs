//! A whole model to a GGUF file.

use std::collections::HashMap;
use std::io::Write;

use siskin::gguf::write::GgufWriter;
use siskin::gguf::{DELTA_HEADS, GgufFile, Metadata, ROPE_PAIRING, StrArray};
use siskin::quant::QuantType;
use siskin::tensor::QMatRef;
use siskin::tokenizer::TOKEN_ORDER;
use siskin::{Error, ErrorKind, Result};

use crate::encode::encode_row;
use crate::importance::Importance;
use crate::items::{Item, items};
use crate::order::{Order, Orders};
use crate::recipe::{Recipe, Shape};

/// Numbers that are worked on at once, by all threads together: 32 MiB as `f32`s.
const CHUNK: usize = 8 << 20;

/// What is made of a model.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which types.
    pub recipe: Recipe,
    /// What was measured of the inputs.
    pub importance: Option<Importance>,
    /// Types of tensors that are not the recipe's to choose: names, in which `*` stands for anything, and types. The
    /// first that fits counts.
    pub tensors: Vec<(String, QuantType)>,
    /// Whether weights that are quantised already may be quantised again, which loses more than once.
    pub requantize: bool,
}

/// How far it is: what [`Conversion::write`] tells.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The tensor, from 0, and how many there are.
    pub tensor: usize,
    /// All tensors.
    pub tensors: usize,
    /// Its name.
    pub name: &'a str,
    /// Weights done of all.
    pub done: u64,
    /// All weights.
    pub total: u64,
}

/// A model, and what each of its tensors becomes.
#[derive(Debug)]
pub struct Conversion<'a> {
    file: &'a GgufFile,
    items: Vec<Item<'a>>,
    options: &'a Options,
    orders: Orders,
    writer: GgufWriter,
}

/// Keys that are said anew, or hold for the source only.
fn is_dropped(key: &str) -> bool {
    ["general.file_type", "general.quantization_version", "general.alignment", ROPE_PAIRING, DELTA_HEADS]
        .contains(&key)
        || key.starts_with("split.")
        || key.starts_with("quantize.imatrix.")
}

impl<'a> Conversion<'a> {
    /// Decides on the types and the metadata.
    ///
    /// # Errors
    /// `Unsupported` for weights that are quantised already (see [`Options::requantize`]) or of a type that cannot be
    /// computed with; `Shape` where an importance does not fit. They name the tensor. `Argument` for a name or pattern
    /// that no tensor has.
    pub fn new(file: &'a GgufFile, options: &'a Options) -> Result<Self> {
        let meta = file.metadata();
        let arch: String = meta.require("general.architecture")?;
        let shape = shape(file, &arch, options)?;
        let mut writer = GgufWriter::new();
        for (key, value) in meta.iter().filter(|(key, _)| !is_dropped(key)) {
            writer.set(key, value);
        }
        writer.set("general.quantization_version", &2u32);
        writer.set("general.file_type", &options.recipe.file_type());
        if let Some(scores) = scores(meta)? {
            writer.set("tokenizer.ggml.scores", &scores[..]);
        }
        if let Some(importance) = &options.importance {
            writer.set("quantize.imatrix.file", importance.file.as_str());
            if let Some(dataset) = importance.datasets.first() {
                writer.set("quantize.imatrix.dataset", dataset.as_str());
            }
            writer.set("quantize.imatrix.entries_count", &(importance.len() as u32));
            writer.set("quantize.imatrix.chunks_count", &importance.chunks);
        }
        let items = items(file)?;
        let used = |pattern: &str| items.iter().any(|item| fits(pattern, &item.name));
        if let Some((pattern, _)) = options.tensors.iter().find(|(pattern, _)| !used(pattern)) {
            return Err(Error::new(ErrorKind::Argument, format!("no tensor is called \"{pattern}\"")));
        }
        let orders = Orders::of(meta, &arch)?;
        for item in &items {
            let (name, dims) = (&*item.name, &*item.dims);
            let rows = if dims.len() == 1 { dims[0] } else { dims[1..].iter().product() };
            let misfit = |order: Option<Order>, n| order.is_some_and(|order| !order.fits(n));
            if misfit(orders.rows(name), rows) || misfit(orders.columns(name), dims[0]) {
                let message = format!("dimensions {dims:?} are not those that the model's heads have");
                return Err(Error::new(ErrorKind::Shape, message).with_tensor(name));
            }
            let fixed = options.tensors.iter().find(|(pattern, _)| fits(pattern, name)).map(|t| t.1);
            let ty = fixed.unwrap_or_else(|| options.recipe.ty(name, dims, shape));
            let source = item.source;
            if ty != source && is_quantised(source) && is_quantised(ty) && !options.requantize {
                let message = format!(
                    "the tensor is quantised already ({source}): start from F32, F16 or BF16, or allow that it loses more"
                );
                return Err(Error::new(ErrorKind::Unsupported, message).with_tensor(name));
            }
            if dims.len() == 1 && is_quantised(ty) {
                let message = format!("a vector is not made of blocks: it cannot be {ty}");
                return Err(Error::new(ErrorKind::Argument, message).with_tensor(name));
            }
            if let Some(scale) = scale_beside(file, item)
                && (ty != source || item.segments[0].0.name() != name)
            {
                let message = format!("{source} with a scale in a tensor beside it can only be copied");
                return Err(Error::new(ErrorKind::Unsupported, message).with_tensor(scale));
            }
            let matrices = dims[1..].iter().skip(1).product::<usize>();
            if let Some(importance) = &options.importance
                && !importance.fits(name, dims[0], matrices)
            {
                let message = format!("what was measured is not {matrices} times {} inputs", dims[0]);
                return Err(Error::new(ErrorKind::Shape, message).with_tensor(name));
            }
            writer.tensor(name, ty, dims)?;
        }
        Ok(Self { file, items, options, orders, writer })
    }

    /// Bytes of the weights that will be written.
    pub fn weight_bytes(&self) -> u64 {
        self.writer.tensors().iter().map(|t| t.bytes as u64).sum()
    }

    /// What becomes of each tensor: name, type before, type after.
    pub fn types(&self) -> impl Iterator<Item = (&str, QuantType, QuantType)> {
        let before = self.items.iter().map(|item| item.source);
        self.writer.tensors().iter().zip(before).map(|(t, before)| (&*t.name, before, t.ty))
    }

    /// Writes the file. `progress` is told of it, and says whether to go on.
    ///
    /// # Errors
    /// `Io` of writing; `Cancelled`; `Numeric` naming a tensor with a weight that is no number; `FileChanged`.
    pub fn write(
        &self,
        out: &mut dyn Write,
        threads: usize,
        progress: &mut dyn FnMut(Progress<'_>) -> bool,
    ) -> Result<()> {
        let mut sources = self.items.iter().enumerate();
        let total = self.file.tensors().parameters();
        let tensors = self.items.len();
        let mut done = 0u64;
        self.writer.write(out, &mut |plan, out| {
            let (number, source) = sources.next().expect("as many as were planned");
            self.write_tensor(source, plan.ty, threads.max(1), out, &mut |weights| {
                done += weights;
                let now = Progress { tensor: number, tensors, name: &source.name, done, total };
                if progress(now) { Ok(()) } else { Err(Error::new(ErrorKind::Cancelled, "cancelled")) }
            })
        })?;
        self.file.check_unchanged()
    }

    fn write_tensor(
        &self,
        item: &Item<'_>,
        ty: QuantType,
        threads: usize,
        out: &mut dyn Write,
        step: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        let name = &*item.name;
        let named = |e: Error| e.with_tensor(name);
        let (order, columns) = (self.orders.rows(name), self.orders.columns(name));
        // A vector whose elements are reordered is as many rows of one.
        let is_vector = item.dims.len() == 1;
        let cols = if order.is_some() && is_vector { 1 } else { item.dims[0] };
        let rows = item.dims.iter().product::<usize>() / cols;
        let matrices = item.segments.iter().map(|&(tensor, first, count)| {
            let all = tensor.elements() / cols;
            // A vector of one row, told in elements.
            let range = if cols == item.dims[0] { first..first + count } else { 0..rows };
            Ok(QMatRef::new(item.source, all, cols, tensor.bytes()).map_err(named)?.slice_rows(range))
        });
        let matrices = matrices.collect::<Result<Vec<_>>>()?;
        if item.source == ty && order.is_none() && columns.is_none() {
            for piece in matrices.iter().flat_map(|m| m.bytes().chunks(4 * CHUNK)) {
                out.write_all(piece)?;
                step((piece.len() / ty.block_bytes() * ty.block_len()) as u64)?;
            }
            return Ok(());
        }
        let in_each = rows / matrices.len();
        let row_bytes = ty.row_bytes(cols).expect("the plan has whole blocks");
        let rows_of_one = item.dims.get(1).copied().unwrap_or(1).max(1);
        // Of columns in two orders nobody says which was measured.
        let importance = self.options.importance.as_ref().filter(|_| !is_vector && columns.is_none());
        let encode = |row: usize, values: &mut [f32], out: &mut [u8]| -> Result<()> {
            let from = order.map_or(row, |o| o.source(row));
            matrices[from / in_each].dequantize_row(from % in_each, values);
            // Piece by piece, without looking which one: that is done with vectors.
            let odd = |piece: &[f32]| piece.iter().fold(false, |odd, x| odd | !x.is_finite());
            if values.chunks(64).any(odd) {
                let message = format!("row {row} has a weight that is not a finite number");
                return Err(named(Error::new(ErrorKind::Numeric, message)));
            }
            if let Some(columns) = columns {
                let from = values.to_vec();
                values.iter_mut().enumerate().for_each(|(i, x)| *x = from[columns.source(i)]);
            }
            let importance = importance.and_then(|im| im.of(name, cols, row / rows_of_one));
            encode_row(ty, values, importance, out);
            Ok(())
        };
        let at_once = (CHUNK / cols).clamp(1, rows);
        let mut buffer = vec![0; at_once * row_bytes];
        for first in (0..rows).step_by(at_once) {
            let now = at_once.min(rows - first);
            let buffer = &mut buffer[..now * row_bytes];
            let share = now.div_ceil(threads);
            std::thread::scope(|scope| {
                let parts = buffer.chunks_mut(share * row_bytes).enumerate();
                let workers: Vec<_> = parts
                    .map(|(i, part)| {
                        let encode = &encode;
                        scope.spawn(move || -> Result<()> {
                            let mut values = vec![0.0; cols];
                            for (row, out) in part.chunks_exact_mut(row_bytes).enumerate() {
                                encode(first + i * share + row, &mut values, out)?;
                            }
                            Ok(())
                        })
                    })
                    .collect();
                workers.into_iter().try_for_each(|w| match w.join() {
                    Ok(result) => result,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
            })?;
            out.write_all(buffer)?;
            step((now * cols) as u64)?;
        }
        Ok(())
    }
}

/// The tensor with the scale of a whole matrix, which NVFP4 files have.
fn scale_beside<'a>(file: &'a GgufFile, item: &Item<'_>) -> Option<&'a str> {
    let stem =
        item.segments[0].0.name().strip_suffix(".weight").filter(|_| item.source == QuantType::NVFP4)?;
    file.tensors().get(&format!("{stem}.scale")).map(|t| t.name())
}

fn is_quantised(ty: QuantType) -> bool {
    !matches!(ty, QuantType::F32 | QuantType::F16 | QuantType::BF16)
}

/// What the recipe looks at.
fn shape(file: &GgufFile, arch: &str, options: &Options) -> Result<Shape> {
    let meta = file.metadata();
    let key = |name: &str| format!("{arch}.{name}");
    let layers: usize = meta.optional(&key("block_count"))?.unwrap_or(0);
    // One number, or one per layer, of which the first with heads counts.
    let heads = |name: &str| -> Result<Option<usize>> {
        Ok(meta.per_layer::<usize>(&key(name), layers)?.and_then(|all| all.into_iter().find(|&n| n > 0)))
    };
    let (q, kv) = (heads("attention.head_count")?, heads("attention.head_count_kv")?);
    let heads_per_group = match (q, kv) {
        (Some(q), Some(kv)) => q / kv,
        _ => 1,
    };
    Ok(Shape {
        layers,
        heads_per_group,
        experts: meta.optional(&key("expert_count"))?.unwrap_or(0),
        tied: file.tensors().get("output.weight").is_none(),
        measured: options.importance.is_some(),
    })
}

/// Scores for a vocabulary that is merged in the order of a list: programs that know only scores then merge in nearly the
/// same order. `None` if the file has a vocabulary of another kind.
fn scores(meta: &Metadata) -> Result<Option<Vec<f32>>> {
    if meta.get(TOKEN_ORDER).is_none() || meta.get("tokenizer.ggml.scores").is_some() {
        return Ok(None);
    }
    let tokens: StrArray = meta.require("tokenizer.ggml.tokens")?;
    let merges: StrArray = meta.require("tokenizer.ggml.merges")?;
    let ids: HashMap<&[u8], usize> = tokens.iter().enumerate().map(|(id, text)| (text, id)).collect();
    // What no merge makes comes last.
    let mut scores = vec![-(merges.len() as f32) - 1.0; tokens.len()];
    let mut seen = vec![false; tokens.len()];
    for (rank, merge) in merges.iter().enumerate() {
        let Some(space) = merge.iter().skip(1).position(|&b| b == b' ') else { continue };
        let joined = [&merge[..space + 1], &merge[space + 2..]].concat();
        if let Some(&id) = ids.get(&*joined)
            && !std::mem::replace(&mut seen[id], true)
        {
            scores[id] = -(rank as f32);
        }
    }
    Ok(Some(scores))
}

/// Whether `name` is what `pattern` says; `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, is) in [
            ("output.weight", "output.weight", true),
            ("output", "output.weight", false),
            ("blk.*.ffn_down.weight", "blk.12.ffn_down.weight", true),
            ("blk.*.ffn_down.weight", "blk.12.ffn_up.weight", false),
            ("*attn*", "blk.1.attn_q.weight", true),
            ("a*b*a", "aba", true),
            ("a*a", "a", false),
            ("*", "", true),
        ] {
            assert_eq!(fits(pattern, name), is, "{pattern} {name}");
        }
    }

    #[test]
    fn experts_are_put_together_and_pairs_apart() {
        let mut w = GgufWriter::new();
        w.set("general.architecture", "x");
        for e in [1, 0] {
            w.tensor(&format!("blk.0.ffn_up.{e}.weight"), QuantType::F32, &[2, 3]).expect("a shape");
        }
        w.tensor("blk.1.ffn_gate_up_exps.weight", QuantType::F32, &[2, 2, 2]).expect("a shape");
        w.tensor("blk.1.ffn_gate_up_exps.bias", QuantType::F32, &[4, 2]).expect("a shape");
        let mut next = 0.0f32;
        let bytes = w.to_bytes(|t| {
            let first = next;
            next += (t.bytes / 4) as f32;
            (0..t.bytes / 4).flat_map(|i| (first + i as f32).to_le_bytes()).collect()
        });
        let file = GgufFile::from_bytes(bytes.expect("written")).expect("valid");
        let out = written(&file, &options(Recipe::F16), 2).expect("converted");
        let out = GgufFile::from_bytes(out).expect("valid");
        let values = |name: &str| {
            let t = out.tensors().get(name).expect(name);
            let mut values = vec![0.0; t.elements()];
            QMatRef::new(QuantType::F16, 1, values.len(), t.bytes())
                .expect("F16")
                .dequantize_row(0, &mut values);
            (t.dims().to_vec(), values)
        };
        let numbers = |range: std::ops::Range<u8>| range.map(f32::from).collect::<Vec<_>>();
        let up = [numbers(6..12), numbers(0..6)].concat();
        assert_eq!(values("blk.0.ffn_up_exps.weight"), (vec![2, 3, 2], up));
        assert_eq!(values("blk.1.ffn_gate_exps.weight"), (vec![2, 1, 2], vec![12.0, 13.0, 16.0, 17.0]));
        assert_eq!(values("blk.1.ffn_up_exps.weight"), (vec![2, 1, 2], vec![14.0, 15.0, 18.0, 19.0]));
        let biases = |name: &str| {
            let t = out.tensors().get(name).expect(name);
            assert_eq!((t.quant_type().expect("known"), t.dims()), (QuantType::F32, &[2, 2][..]));
            t.bytes()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect::<Vec<_>>()
        };
        assert_eq!(biases("blk.1.ffn_gate_exps.bias"), [20.0, 21.0, 24.0, 25.0]);
        assert_eq!(biases("blk.1.ffn_up_exps.bias"), [22.0, 23.0, 26.0, 27.0]);
        assert_eq!(out.tensors().len(), 5);
    }

    fn model(value: f32) -> GgufFile {
        let mut w = GgufWriter::new();
        w.set("general.architecture", "x").set("x.block_count", &1u32).set("general.file_type", &0u32);
        w.set("tokenizer.ggml.tokens", &["a", "b", "ab"][..]).set("split.count", &1u32);
        w.tensor("blk.0.attn_q.weight", QuantType::F32, &[256, 8]).expect("a shape");
        w.tensor("blk.0.attn_norm.weight", QuantType::F32, &[256]).expect("a shape");
        let bytes = w.to_bytes(|t| {
            (0..t.bytes / 4).flat_map(|i| (value * (i % 37) as f32 - value).to_le_bytes()).collect()
        });
        GgufFile::from_bytes(bytes.expect("written")).expect("valid")
    }

    fn options(recipe: Recipe) -> Options {
        Options { recipe, importance: None, tensors: Vec::new(), requantize: false }
    }

    fn written(file: &GgufFile, options: &Options, threads: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        Conversion::new(file, options)?.write(&mut out, threads, &mut |_| true)?;
        Ok(out)
    }

    #[test]
    fn the_file_does_not_depend_on_the_threads_and_is_read() {
        let (file, options) = (model(0.01), options(Recipe::Q4_K_M));
        let one = written(&file, &options, 1).expect("converted");
        assert!(one == written(&file, &options, 5).expect("converted"));
        let out = GgufFile::from_bytes(one).expect("valid");
        let types: Vec<_> = out.tensors().iter().map(|t| t.type_name()).collect();
        assert_eq!(types, ["Q4_K", "F32"]);
        assert_eq!(out.metadata().require::<u32>("general.file_type").expect("there"), 15);
        assert!(out.metadata().get("split.count").is_none());
    }

    #[test]
    fn refusals() {
        let e = written(&model(f32::NAN), &options(Recipe::Q8_0), 2).expect_err("not a number");
        assert_eq!((e.kind(), e.tensor()), (ErrorKind::Numeric, Some("blk.0.attn_q.weight")));
        let q8 = written(&model(0.01), &options(Recipe::Q8_0), 2).expect("converted");
        let q8 = GgufFile::from_bytes(q8).expect("valid");
        let e = written(&q8, &options(Recipe::Q4_0), 2).expect_err("quantised already");
        assert_eq!((e.kind(), e.tensor()), (ErrorKind::Unsupported, Some("blk.0.attn_q.weight")));
        let again = Options { requantize: true, ..options(Recipe::Q4_0) };
        written(&q8, &again, 2).expect("allowed");
        written(&q8, &options(Recipe::F16), 2).expect("nothing is lost");
        let file = model(0.01);
        let e = Conversion::new(&file, &options(Recipe::Q8_0))
            .expect("planned")
            .write(&mut Vec::new(), 2, &mut |_| false)
            .expect_err("cancelled");
        assert_eq!(e.kind(), ErrorKind::Cancelled);
    }
}
