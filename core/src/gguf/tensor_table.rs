//! The checked list of tensors.
//!
//! [`TensorTable`] has one constructor and it checks everything, so that who holds a table need not check again:
//!
//! - names are unique (also across the parts of a split model);
//! - types exist, no dimension is zero, rows are whole blocks, and neither the element count nor the size in bytes,
//!   padding included, overflows;
//! - data starts at a multiple of the file's alignment and lies inside the file, after the metadata;
//! - no two tensors share bytes.
//!
//! All of it in `n log n`. Holes between tensors and bytes after the last one are allowed: tools leave them.

use super::bytes::Bytes;
use super::ggml_types::ggml_type;
use super::tensor_info::{RawTensor, TensorInfo};
use crate::error::{Error, ErrorKind, Result};

/// What one file of a model declares.
pub(crate) struct PartTensors<'a> {
    /// The whole file.
    pub(crate) source: &'a Bytes,
    pub(crate) tensors: Vec<RawTensor>,
    /// Where the tensor data starts, bytes; a multiple of the alignment.
    pub(crate) data_start: u64,
    /// A power of two.
    pub(crate) alignment: u64,
}

/// The tensors of a model in the file's order, found by name.
#[derive(Debug, Default)]
pub struct TensorTable {
    tensors: Vec<TensorInfo>,
    /// Indices of `tensors`, sorted by name.
    sorted: Vec<u32>,
}

impl TensorTable {
    /// Checks what the parts of a model declare.
    pub(crate) fn new(parts: Vec<PartTensors<'_>>) -> Result<Self> {
        let mut tensors = Vec::with_capacity(parts.iter().map(|p| p.tensors.len()).sum());
        for (part, number) in parts.iter().zip(0..) {
            let in_file = |e: Error| match part.source.storage().path() {
                Some(path) => e.with_file(path),
                None => e,
            };
            let first = tensors.len();
            for raw in &part.tensors {
                let named = |e: Error| in_file(e.with_tensor(&*raw.name).with_offset(raw.at));
                tensors.push(check_tensor(raw, part, number).map_err(named)?);
            }
            check_overlap(&tensors[first..]).map_err(in_file)?;
        }
        Self::from_checked(tensors)
    }

    /// A table of tensors that have been checked one by one, and do not share bytes. Their names are checked here.
    pub(crate) fn from_checked(tensors: Vec<TensorInfo>) -> Result<Self> {
        let mut sorted: Vec<u32> = (0..tensors.len() as u32).collect();
        let name = |i: u32| tensors[i as usize].name();
        sorted.sort_by(|&a, &b| name(a).cmp(name(b)));
        if let Some(pair) = sorted.windows(2).find(|p| name(p[0]) == name(p[1])) {
            return Err(
                Error::new(ErrorKind::Format, "two tensors have this name").with_tensor(name(pair[1]))
            );
        }
        Ok(Self { tensors, sorted })
    }

    /// The tensor with this name.
    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        let found = self.sorted.binary_search_by(|&i| self.tensors[i as usize].name().cmp(name)).ok()?;
        Some(&self.tensors[self.sorted[found] as usize])
    }

    /// All tensors in the file's order.
    pub fn iter(&self) -> std::slice::Iter<'_, TensorInfo> {
        self.tensors.iter()
    }

    /// Numbers in all tensors.
    pub fn parameters(&self) -> u64 {
        self.iter().map(|t| t.elements() as u64).fold(0, u64::saturating_add)
    }

    /// Bytes of all tensors.
    pub fn weight_bytes(&self) -> u64 {
        self.iter().map(|t| t.bytes().len() as u64).fold(0, u64::saturating_add)
    }

    /// How many tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are none, as in a file that holds only a vocabulary.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Bytes of heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.tensors.capacity() * size_of::<TensorInfo>()
            + self.sorted.capacity() * size_of::<u32>()
            + self.tensors.iter().map(|t| t.name.len()).sum::<usize>()
    }
}

impl<'a> IntoIterator for &'a TensorTable {
    type Item = &'a TensorInfo;
    type IntoIter = std::slice::Iter<'a, TensorInfo>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn check_tensor(raw: &RawTensor, part: &PartTensors<'_>, number: u32) -> Result<TensorInfo> {
    let bad = |message: String| Error::new(ErrorKind::Format, message);
    let dims = &raw.dims[..raw.n_dims as usize];
    let ty = ggml_type(raw.ty).ok_or_else(|| bad(format!("tensor type {} does not exist", raw.ty)))?;
    if dims.contains(&0) {
        return Err(bad(format!("a dimension of {dims:?} is zero")));
    }
    if !dims[0].is_multiple_of(ty.block_len) {
        let message =
            format!("rows of {} are not whole blocks of {} elements ({})", dims[0], ty.block_len, ty.name);
        return Err(bad(message));
    }
    let overflows = || bad(format!("the size of {dims:?} elements of {} overflows", ty.name));
    let elements = dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d)).ok_or_else(overflows)?;
    let size = (elements / ty.block_len).checked_mul(ty.block_bytes).ok_or_else(overflows)?;
    size.checked_next_multiple_of(part.alignment).ok_or_else(overflows)?;
    if !raw.offset.is_multiple_of(part.alignment) {
        let message = format!("the data starts at {}, not at a multiple of {}", raw.offset, part.alignment);
        return Err(bad(message));
    }
    let outside = || {
        let file = part.source.len();
        bad(format!(
            "{size} bytes at {} of the tensor data are not inside the file of {file} bytes",
            raw.offset
        ))
    };
    let start = part.data_start.checked_add(raw.offset).ok_or_else(outside)?;
    let end = start.checked_add(size).ok_or_else(outside)?;
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    let bytes = range.and_then(|(start, end)| part.source.slice(start..end)).ok_or_else(outside)?;
    let mut info = TensorInfo {
        name: raw.name.clone(),
        dims: [1; _],
        n_dims: raw.n_dims as u8,
        ty,
        offset: start,
        part: number,
        bytes,
    };
    // A 32-bit machine may map a file whose element count it cannot hold.
    usize::try_from(elements).map_err(|_| overflows())?;
    for (to, &from) in info.dims.iter_mut().zip(dims) {
        *to = usize::try_from(from).map_err(|_| overflows())?;
    }
    Ok(info)
}

/// `tensors` are those of one file.
fn check_overlap(tensors: &[TensorInfo]) -> Result<()> {
    let mut by_offset: Vec<&TensorInfo> = tensors.iter().collect();
    by_offset.sort_by_key(|t| t.offset);
    for pair in by_offset.windows(2) {
        // In order of offset, only neighbours can be the first to overlap. The sum cannot overflow: it is in the file.
        if pair[0].offset + pair[0].bytes.len() as u64 > pair[1].offset {
            let message = format!("shares bytes with the tensor \"{}\"", pair[0].name.escape_default());
            let error = Error::new(ErrorKind::Format, message);
            return Err(error.with_tensor(pair[1].name()).with_offset(pair[1].offset));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(name: &str, dims: &[u64], ty: u32, offset: u64) -> RawTensor {
        let mut all = [1; 4];
        all[..dims.len()].copy_from_slice(dims);
        RawTensor { name: name.into(), dims: all, n_dims: dims.len() as u32, ty, offset, at: 77 }
    }

    fn table(tensors: Vec<RawTensor>, file: usize) -> Result<TensorTable> {
        let source = Bytes::from(vec![0; file]);
        TensorTable::new(vec![PartTensors { source: &source, tensors, data_start: 64, alignment: 32 }])
    }

    #[test]
    fn accepts_and_finds() {
        let t = table(
            vec![raw("b", &[32, 2], 2, 64), raw("a", &[5], 0, 0), raw("z", &[1, 1, 3, 2], 1, 160)],
            300,
        );
        let t = t.expect("valid, with a hole and bytes at the end");
        assert_eq!(t.iter().map(TensorInfo::name).collect::<Vec<_>>(), ["b", "a", "z"], "the file's order");
        let b = t.get("b").expect("there");
        assert_eq!((b.dims(), b.offset(), b.bytes().len(), b.elements()), (&[32, 2][..], 128, 36, 64));
        assert_eq!((b.quant_type().expect("known"), b.ggml_type()), (crate::quant::QuantType::Q4_0, 2));
        assert_eq!(
            (t.get("a").expect("there").bytes().len(), t.get("z").expect("there").dims().len()),
            (20, 4)
        );
        assert!(t.get("c").is_none() && t.len() == 3 && !t.is_empty() && t.heap_bytes() > 0);
        assert!(table(vec![], 10).expect("a vocabulary has no tensors").is_empty());
    }

    #[test]
    fn types_that_cannot_be_computed_with_are_sized_and_listed() {
        for (id, name, bytes) in [(9, "Q8_1", 288), (15, "Q8_K", 292), (41, "Q1_0", 36), (28, "F64", 2048)] {
            let t = table(vec![raw("w", &[256], id, 0)], 4096).expect("valid");
            let w = t.get("w").expect("there");
            assert_eq!((w.type_name().as_str(), w.bytes().len()), (name, bytes));
            let e = w.quant_type().expect_err("cannot be computed with");
            assert_eq!((e.kind(), e.tensor()), (ErrorKind::Unsupported, Some("w")));
            assert!(e.message().contains(name), "{e}");
        }
    }

    #[test]
    fn every_refusal_names_the_tensor() {
        let big = 0x7FFF_FFFF_FFFF_FFC0;
        for (what, tensors, says) in [
            ("zero", vec![raw("w", &[4, 0], 0, 0)], "zero"),
            ("type 255", vec![raw("w", &[4], 255, 0)], "255"),
            ("withdrawn type", vec![raw("w", &[32], 4, 0)], "does not exist"),
            ("half a block", vec![raw("w", &[48], 2, 0)], "whole blocks"),
            ("block of 256", vec![raw("w", &[32, 8], 12, 0)], "whole blocks"),
            ("product is 2^64", vec![raw("w", &[1 << 32, 1 << 32], 0, 0)], "overflows"),
            ("negative", vec![raw("w", &[1 << 63], 0, 0)], "overflows"),
            ("bytes wrap", vec![raw("w", &[1 << 62], 0, 0)], "overflows"),
            ("padding wraps", vec![raw("w", &[(1 << 62) - 1], 0, 0)], "overflows"),
            ("unaligned", vec![raw("w", &[4], 0, 4)], "multiple of 32"),
            ("past the end", vec![raw("w", &[4], 0, 1024)], "not inside"),
            ("crosses the end", vec![raw("w", &[1000], 0, 0)], "not inside"),
            ("one byte past", vec![raw("w", &[113], 24, 0)], "not inside"),
            ("wraps to the start", vec![raw("w", &[4], 0, 64u64.wrapping_neg())], "not inside"),
            ("sum wraps", vec![raw("w", &[big], 24, 0), raw("x", &[big], 24, big)], "not inside"),
            ("the same bytes", vec![raw("v", &[8], 0, 0), raw("w", &[8], 0, 0)], "shares"),
            ("inside another", vec![raw("w", &[8], 0, 32), raw("v", &[24], 0, 0)], "shares"),
            ("the same name", vec![raw("w", &[4], 0, 0), raw("w", &[4], 0, 32)], "this name"),
        ] {
            let e = table(tensors, 64 + 112).expect_err(what);
            assert_eq!((e.kind(), e.tensor()), (ErrorKind::Format, Some("w")), "{what}: {e}");
            assert!(e.message().contains(says), "{what}: {e}");
        }
        assert!(table(vec![raw("w", &[112], 24, 0)], 64 + 112).is_ok(), "up to the last byte");
    }

    #[test]
    fn a_product_that_wraps_to_the_right_number() {
        // 3 * x = 64 modulo 2^64, since 64 + 2^64 * 2 is a multiple of 3.
        let x = ((64u128 + (2u128 << 64)) / 3) as u64;
        assert_eq!(x.wrapping_mul(3), 64);
        let e = table(vec![raw("w", &[x, 3], 0, 0)], 1024).expect_err("wraps");
        assert!(e.message().contains("overflows"), "{e}");
    }

    #[test]
    fn many_tensors_are_not_quadratic() {
        let n = 50_000u64;
        let tensors = (0..n).map(|i| raw(&format!("x{i}"), &[1], 0, i * 32)).collect();
        let start = std::time::Instant::now();
        assert_eq!(table(tensors, 64 + 32 * n as usize).expect("valid").len() as u64, n);
        assert!(start.elapsed().as_secs() < 5, "took {:?}", start.elapsed());
    }
}
