//! Writing GGUF files: for tests, tools and conversions.
//!
//! Metadata is collected in memory; tensor data is streamed, one tensor after the other, by a callback. Writes version 3,
//! little-endian. What it writes is not checked for meaning (keys given twice, shapes that no model has):
//! [`super::GgufFile`] does that when the file is opened.

use std::io::Write;

use super::arrays::Array;
use super::value::{Value, ValueType};
use crate::error::{Error, ErrorKind, Result};
use crate::quant::QuantType;

/// A value that can be written: its type, then its bytes.
pub trait WriteValue {
    /// Appends the type and the value.
    fn write_value(&self, out: &mut Vec<u8>);
}

fn put_kind(out: &mut Vec<u8>, kind: ValueType) {
    out.extend((kind as u32).to_le_bytes());
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
}

fn put_array_head(out: &mut Vec<u8>, kind: ValueType, len: usize) {
    put_kind(out, ValueType::Array);
    put_kind(out, kind);
    out.extend((len as u64).to_le_bytes());
}

macro_rules! write_numbers {
    ($($t:ident $kind:ident;)+) => {
        $(
            impl WriteValue for $t {
                fn write_value(&self, out: &mut Vec<u8>) {
                    put_kind(out, ValueType::$kind);
                    out.extend(self.to_le_bytes());
                }
            }

            impl WriteValue for [$t] {
                fn write_value(&self, out: &mut Vec<u8>) {
                    put_array_head(out, ValueType::$kind, self.len());
                    out.extend(self.iter().flat_map(|x| x.to_le_bytes()));
                }
            }
        )+
    };
}
write_numbers! {
    u8 U8; i8 I8; u16 U16; i16 I16; u32 U32; i32 I32; u64 U64; i64 I64; f32 F32; f64 F64;
}

impl WriteValue for bool {
    fn write_value(&self, out: &mut Vec<u8>) {
        put_kind(out, ValueType::Bool);
        out.push(u8::from(*self));
    }
}

impl WriteValue for [bool] {
    fn write_value(&self, out: &mut Vec<u8>) {
        put_array_head(out, ValueType::Bool, self.len());
        out.extend(self.iter().map(|&x| u8::from(x)));
    }
}

impl WriteValue for str {
    fn write_value(&self, out: &mut Vec<u8>) {
        put_kind(out, ValueType::String);
        put_string(out, self.as_bytes());
    }
}

impl WriteValue for String {
    fn write_value(&self, out: &mut Vec<u8>) {
        self.as_str().write_value(out);
    }
}

macro_rules! write_strings {
    ($($t:ty),+) => {
        $(impl WriteValue for [$t] {
            fn write_value(&self, out: &mut Vec<u8>) {
                put_array_head(out, ValueType::String, self.len());
                self.iter().for_each(|s| put_string(out, s.as_ref()));
            }
        })+
    };
}
write_strings!(&str, String, &[u8], Vec<u8>);

/// Many strings in the form in which a file has them, so that they need not be kept one by one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strings {
    len: u64,
    bytes: Vec<u8>,
}

impl Strings {
    /// Adds the string that `parts` make together.
    pub(crate) fn push(&mut self, parts: &[&str]) {
        let bytes: usize = parts.iter().map(|p| p.len()).sum();
        self.bytes.extend((bytes as u64).to_le_bytes());
        parts.iter().for_each(|p| self.bytes.extend(p.as_bytes()));
        self.len += 1;
    }

    /// How many.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}

impl WriteValue for Strings {
    fn write_value(&self, out: &mut Vec<u8>) {
        put_array_head(out, ValueType::String, self.len as usize);
        out.extend(&self.bytes);
    }
}

/// A value read from another file, as it was there.
impl WriteValue for Value {
    fn write_value(&self, out: &mut Vec<u8>) {
        match self {
            Self::U8(x) => x.write_value(out),
            Self::I8(x) => x.write_value(out),
            Self::U16(x) => x.write_value(out),
            Self::I16(x) => x.write_value(out),
            Self::U32(x) => x.write_value(out),
            Self::I32(x) => x.write_value(out),
            Self::U64(x) => x.write_value(out),
            Self::I64(x) => x.write_value(out),
            Self::F32(x) => x.write_value(out),
            Self::F64(x) => x.write_value(out),
            Self::Bool(x) => x.write_value(out),
            Self::String(bytes) => {
                put_kind(out, ValueType::String);
                put_string(out, bytes);
            }
            Self::Array(array) => {
                put_array_head(out, array.kind(), array.len());
                out.extend(match array {
                    Array::Strings(a) => a.encoded(),
                    Array::Scalars(a) => a.encoded(),
                    Array::Nested { bytes, .. } => bytes,
                });
            }
        }
    }
}

/// A tensor that is to be written.
#[derive(Clone, Debug)]
pub struct TensorPlan {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: QuantType,
    /// Its dimensions, fastest first.
    pub dims: Vec<usize>,
    /// Its size, without padding.
    pub bytes: usize,
}

/// Collects what a file shall hold, then writes it.
#[derive(Clone, Debug)]
pub struct GgufWriter {
    alignment: usize,
    keys: u64,
    metadata: Vec<u8>,
    tensors: Vec<TensorPlan>,
}

impl Default for GgufWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl GgufWriter {
    /// An empty file with the default alignment.
    pub fn new() -> Self {
        Self {
            alignment: super::header::DEFAULT_ALIGNMENT as usize,
            keys: 0,
            metadata: Vec::new(),
            tensors: Vec::new(),
        }
    }

    /// Aligns tensor data to `alignment` bytes (a power of two) and says so in the metadata.
    pub fn align(&mut self, alignment: u32) -> &mut Self {
        self.alignment = (alignment as usize).max(1);
        self.set("general.alignment", &alignment)
    }

    /// Adds a key.
    pub fn set<V: WriteValue + ?Sized>(&mut self, key: &str, value: &V) -> &mut Self {
        put_string(&mut self.metadata, key.as_bytes());
        value.write_value(&mut self.metadata);
        self.keys += 1;
        self
    }

    /// Adds a tensor; its data is asked for when the file is written.
    pub fn tensor(&mut self, name: &str, ty: QuantType, dims: &[usize]) -> Result<&mut Self> {
        let size = dims
            .split_first()
            .and_then(|(&row, rest)| rest.iter().try_fold(ty.row_bytes(row)?, |n, &d| n.checked_mul(d)));
        let Some(bytes) = size else {
            let message = format!("{dims:?} is no shape of a tensor of type {ty}");
            return Err(Error::new(ErrorKind::Argument, message).with_tensor(name));
        };
        self.tensors.push(TensorPlan { name: name.to_owned(), ty, dims: dims.to_vec(), bytes });
        Ok(self)
    }

    /// How many keys, and they and their values as a file has them.
    pub(crate) fn metadata(&self) -> (u64, &[u8]) {
        (self.keys, &self.metadata)
    }

    /// The tensors added so far.
    pub fn tensors(&self) -> &[TensorPlan] {
        &self.tensors
    }

    /// Writes the file. `data` writes each tensor in turn: exactly [`TensorPlan::bytes`] bytes.
    pub fn write(
        &self,
        out: &mut dyn Write,
        data: &mut dyn FnMut(&TensorPlan, &mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let mut head = b"GGUF".to_vec();
        head.extend(3u32.to_le_bytes());
        head.extend((self.tensors.len() as u64).to_le_bytes());
        head.extend(self.keys.to_le_bytes());
        head.extend(&self.metadata);
        let mut offset = 0;
        for tensor in &self.tensors {
            put_string(&mut head, tensor.name.as_bytes());
            head.extend((tensor.dims.len() as u32).to_le_bytes());
            head.extend(tensor.dims.iter().flat_map(|&d| (d as u64).to_le_bytes()));
            head.extend(tensor.ty.ggml_id().to_le_bytes());
            head.extend((offset as u64).to_le_bytes());
            offset += tensor.bytes.next_multiple_of(self.alignment);
        }
        head.resize(head.len().next_multiple_of(self.alignment), 0);
        out.write_all(&head)?;
        let padding = vec![0; self.alignment];
        for tensor in &self.tensors {
            let mut counted = Counted { out, written: 0 };
            data(tensor, &mut counted).map_err(|e| e.with_tensor(&*tensor.name))?;
            if counted.written != tensor.bytes {
                let message = format!("{} bytes were written, not {}", counted.written, tensor.bytes);
                return Err(Error::new(ErrorKind::Argument, message).with_tensor(&*tensor.name));
            }
            out.write_all(&padding[..tensor.bytes.next_multiple_of(self.alignment) - tensor.bytes])?;
        }
        out.flush()?;
        Ok(())
    }

    /// The file in memory, with data made by `data`; for small files.
    pub fn to_bytes(&self, mut data: impl FnMut(&TensorPlan) -> Vec<u8>) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.write(&mut out, &mut |tensor, to| Ok(to.write_all(&data(tensor))?))?;
        Ok(out)
    }
}

/// Counts what goes through.
struct Counted<'a> {
    out: &'a mut dyn Write,
    written: usize,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.written += n;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::GgufFile;

    #[test]
    fn what_is_written_is_read() {
        let mut w = GgufWriter::new();
        w.align(128).set("name", "x").set("list", &[1.5f64, 2.0][..]).set("flags", &[true][..]);
        w.set("words", &["a", "", "ccc"][..]).set("n", &-3i16);
        w.tensor("a", QuantType::Q4_0, &[64, 3])
            .expect("a shape")
            .tensor("b", QuantType::F32, &[5])
            .expect("a shape");
        let bytes = w.to_bytes(|t| vec![t.name.as_bytes()[0]; t.bytes]).expect("written");
        assert!(bytes.len().is_multiple_of(128));
        let file = GgufFile::from_bytes(bytes).expect("valid");
        assert_eq!(file.metadata().require::<i32>("n").expect("there"), -3);
        let a = file.tensors().get("a").expect("there");
        assert_eq!((a.dims(), a.bytes().len()), (&[64, 3][..], 108));
        assert!(
            a.bytes().iter().all(|&x| x == b'a')
                && file.tensors().get("b").expect("there").bytes()[..] == [b'b'; 20]
        );

        let mut copy = GgufWriter::new();
        copy.alignment = 128;
        file.metadata().iter().for_each(|(k, v)| _ = copy.set(k, v));
        assert_eq!(copy.metadata, w.metadata, "values of a file are copied as they are");
    }

    #[test]
    fn refuses_shapes_and_sizes_that_do_not_fit() {
        let mut w = GgufWriter::new();
        for dims in [&[][..], &[33], &[32, usize::MAX]] {
            assert_eq!(
                w.tensor("t", QuantType::Q4_0, dims).expect_err("no shape").kind(),
                ErrorKind::Argument
            );
        }
        w.tensor("t", QuantType::F32, &[2]).expect("a shape");
        let e = w.to_bytes(|_| vec![0; 7]).expect_err("one byte too few");
        assert_eq!((e.kind(), e.tensor()), (ErrorKind::Argument, Some("t")));
    }
}
