//! How much each input of each product matters: mean squares measured on text.
//!
//! Files are those of llama.cpp's `imatrix` in GGUF: for the matrix `NAME`, a tensor `NAME.in_sum2` with the sums of
//! squares of its inputs, `[columns, experts]`, and `NAME.counts`, `[1, experts]`, with how many were summed.

use std::collections::HashMap;
use std::path::Path;

use siskin::gguf::write::GgufWriter;
use siskin::gguf::{GgufFile, TensorInfo};
use siskin::quant::QuantType;
use siskin::tensor::QMatRef;
use siskin::{Error, ErrorKind, Result};

const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";

/// Mean squares of inputs by the name of the matrix, such as `blk.0.attn_q.weight`.
#[derive(Clone, Debug, Default)]
pub struct Importance {
    /// For each matrix, `[experts, columns]`.
    means: HashMap<String, Vec<f32>>,
    /// Pieces of text, and the file's name, for the metadata of what is made with it.
    pub(crate) chunks: u32,
    pub(crate) file: String,
    pub(crate) datasets: Vec<String>,
}

impl Importance {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// Names the file and the tensor.
    pub fn read(path: &Path) -> Result<Self> {
        let file = GgufFile::open(path)?;
        Self::from_gguf(&file, &path.display().to_string()).map_err(|e| e.with_file(path))
    }

    fn from_gguf(file: &GgufFile, name: &str) -> Result<Self> {
        let meta = file.metadata();
        let mut out = Self {
            chunks: meta.optional("imatrix.chunk_count")?.unwrap_or(0),
            file: name.to_owned(),
            ..Self::default()
        };
        if let Some(list) = meta.optional::<siskin::gguf::StrArray>("imatrix.datasets")? {
            out.datasets = list.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect();
        }
        for sums in file.tensors() {
            let Some(matrix) = sums.name().strip_suffix(SUMS) else { continue };
            let counts_name = format!("{matrix}{COUNTS}");
            let counts = file.tensors().get(&counts_name).ok_or_else(|| {
                Error::new(ErrorKind::Missing, "required tensor is absent").with_tensor(&*counts_name)
            })?;
            let (mut means, counts) = (floats(sums)?, floats(counts)?);
            let columns = sums.dims()[0];
            if counts.len() != means.len() / columns {
                let message = format!("{} counts for {} rows of sums", counts.len(), means.len() / columns);
                return Err(Error::new(ErrorKind::Shape, message).with_tensor(&*counts_name));
            }
            for (row, &count) in means.chunks_exact_mut(columns).zip(&counts) {
                // An expert that was never asked: all its inputs alike.
                row.iter_mut().for_each(|x| *x = if count > 0.0 { *x / count } else { 1.0 });
            }
            if means.iter().any(|x| !x.is_finite() || *x < 0.0) {
                let message = "a mean square that is negative or no number";
                return Err(Error::new(ErrorKind::Numeric, message).with_tensor(sums.name()));
            }
            out.means.insert(matrix.to_owned(), means);
        }
        if out.means.is_empty() {
            let message = "the file has no sums of squares: it is no importance matrix";
            return Err(Error::new(ErrorKind::Format, message));
        }
        Ok(out)
    }

    /// How many matrices are known.
    pub fn len(&self) -> usize {
        self.means.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.means.is_empty()
    }

    /// The mean squares of the inputs of matrix number `expert` of `name`, `[columns]`.
    pub(crate) fn of(&self, name: &str, columns: usize, expert: usize) -> Option<&[f32]> {
        self.means.get(name)?.chunks_exact(columns).nth(expert)
    }

    /// Whether what is known of `name` is of the right shape, if something is.
    pub(crate) fn fits(&self, name: &str, columns: usize, experts: usize) -> bool {
        self.means.get(name).is_none_or(|m| Some(m.len()) == columns.checked_mul(experts))
    }

    /// Writes sums of squares as a file that [`read`](Self::read) and llama.cpp read.
    ///
    /// # Errors
    /// Of writing.
    pub fn write(
        measured: &[Measured],
        dataset: &str,
        (chunks, chunk_tokens): (u32, u32),
        out: &mut dyn std::io::Write,
    ) -> Result<()> {
        let mut w = GgufWriter::new();
        w.set("general.type", "imatrix").set("imatrix.datasets", &[dataset][..]);
        w.set("imatrix.chunk_count", &chunks).set("imatrix.chunk_size", &chunk_tokens);
        for Measured { name, sums, counts } in measured {
            let experts = counts.len();
            w.tensor(&format!("{name}{SUMS}"), QuantType::F32, &[sums.len() / experts.max(1), experts])?;
            w.tensor(&format!("{name}{COUNTS}"), QuantType::F32, &[1, experts])?;
        }
        let mut at = 0;
        w.write(out, &mut |_, out| {
            let Measured { sums, counts, .. } = &measured[at / 2];
            if at.is_multiple_of(2) {
                sums.iter().try_for_each(|x| out.write_all(&(*x as f32).to_le_bytes()))?;
            } else {
                counts.iter().try_for_each(|n| out.write_all(&(*n as f32).to_le_bytes()))?;
            }
            at += 1;
            Ok(())
        })
    }
}

/// What the products with one tensor read.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The tensor's.
    pub name: String,
    /// Sums of squares, `[experts, columns]`; one expert where the tensor is a matrix.
    pub sums: Vec<f64>,
    /// How many inputs each expert's sums are of.
    pub counts: Vec<u64>,
}

fn floats(tensor: &TensorInfo) -> Result<Vec<f32>> {
    let mut out = vec![0.0; tensor.elements()];
    QMatRef::new(tensor.quant_type()?, 1, out.len(), tensor.bytes())
        .map_err(|e| e.with_tensor(tensor.name()))?
        .dequantize_row(0, &mut out);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        let measured = |name: &str, sums: &[f64], counts: &[u64]| Measured {
            name: name.to_owned(),
            sums: sums.to_vec(),
            counts: counts.to_vec(),
        };
        let all = [
            measured("blk.0.attn_q.weight", &[2.0, 4.0], &[2]),
            measured("blk.0.ffn_up_exps.weight", &[8.0, 4.0, 0.0, 0.0, 3.0, 6.0], &[4, 0, 3]),
        ];
        Importance::write(&all, "text", (3, 512), &mut bytes).expect("into memory");
        let file = GgufFile::from_bytes(bytes).expect("valid");
        let read = Importance::from_gguf(&file, "x").expect("valid");
        assert_eq!((read.len(), read.chunks, &*read.datasets[0]), (2, 3, "text"));
        assert_eq!(read.of("blk.0.attn_q.weight", 2, 0), Some(&[1.0, 2.0][..]));
        assert_eq!(read.of("blk.0.attn_q.weight", 2, 1), None);
        // The second expert was never asked.
        let experts = [0, 1, 2].map(|e| read.of("blk.0.ffn_up_exps.weight", 2, e));
        assert_eq!(experts, [Some(&[2.0, 1.0][..]), Some(&[1.0, 1.0][..]), Some(&[1.0, 2.0][..])]);
        assert!(
            read.fits("blk.0.attn_q.weight", 2, 1)
                && !read.fits("blk.0.attn_q.weight", 3, 1)
                && read.fits("y", 9, 1)
        );
    }
}
