//! One safetensors file: a header that says where each tensor lies, mapped in place.
//!
//! ```text
//! length of the header u64 | header: JSON | tensor data
//! {"NAME": {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [start, end]}, .., "__metadata__": {..}}
//! ```
//!
//! Offsets count from the end of the header. As the format demands, tensors cover the data without holes or overlaps, and
//! their sizes are what type and shape say.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::gguf::Bytes;
use crate::gguf::header::{MAX_TENSOR_NAME_BYTES, MAX_TENSORS};
use crate::json::Json;

/// The format's own limit.
const MAX_HEADER: u64 = 100_000_000;
/// Dimensions that a header may give a tensor.
const MAX_DIMS: usize = 8;

/// What elements are.
#[derive(Debug)]
pub(super) struct Dtype {
    /// As the header says it.
    pub(super) name: &'static str,
    /// Bytes of an element.
    pub(super) size: u64,
    /// The id that GGUF gives it, if it has it.
    pub(super) ggml: Option<u32>,
}

/// The types. Those below eight bits, which no published model of ours has, are not among them.
static DTYPES: &[Dtype] = &[
    Dtype { name: "F32", size: 4, ggml: Some(0) },
    Dtype { name: "F16", size: 2, ggml: Some(1) },
    Dtype { name: "BF16", size: 2, ggml: Some(30) },
    Dtype { name: "F64", size: 8, ggml: Some(28) },
    Dtype { name: "I8", size: 1, ggml: Some(24) },
    Dtype { name: "I16", size: 2, ggml: Some(25) },
    Dtype { name: "I32", size: 4, ggml: Some(26) },
    Dtype { name: "I64", size: 8, ggml: Some(27) },
    Dtype { name: "BOOL", size: 1, ggml: None },
    Dtype { name: "U8", size: 1, ggml: None },
    Dtype { name: "U16", size: 2, ggml: None },
    Dtype { name: "U32", size: 4, ggml: None },
    Dtype { name: "U64", size: 8, ggml: None },
    Dtype { name: "F8_E4M3", size: 1, ggml: None },
    Dtype { name: "F8_E5M2", size: 1, ggml: None },
    Dtype { name: "F8_E8M0", size: 1, ggml: None },
    Dtype { name: "C64", size: 8, ggml: None },
];

/// A tensor whose place has been checked.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) dtype: &'static Dtype,
    /// Slowest first.
    pub(super) shape: Vec<u64>,
    /// Where its data starts in the file, bytes.
    pub(super) offset: u64,
    pub(super) bytes: Bytes,
}

/// Reads the file at `path`: its tensors in the order of their data.
///
/// # Errors
/// Name the file, and the tensor and offset where it is one.
pub(super) fn open(path: &Path) -> Result<(Bytes, Vec<Tensor>)> {
    let source = Bytes::open(path)?;
    match read(&source) {
        Ok(tensors) => Ok((source, tensors)),
        Err(e) => Err(e.with_file(path)),
    }
}

/// What a header says of a tensor.
struct Raw {
    name: String,
    dtype: &'static Dtype,
    shape: Vec<u64>,
    start: u64,
    end: u64,
}

fn read(source: &Bytes) -> Result<Vec<Tensor>> {
    let err = |kind, message: String| Err(Error::new(kind, message).with_offset(0));
    let Some(len) = source.first_chunk().map(|&b| u64::from_le_bytes(b)) else {
        return err(ErrorKind::Format, "the file ends before the length of its header".to_owned());
    };
    if len > MAX_HEADER {
        return err(
            ErrorKind::Limit,
            format!("a header of {len} bytes, at most {MAX_HEADER} are accepted: not a safetensors file?"),
        );
    }
    let data_start = 8 + len;
    let Some(header) = source.get(8..data_start as usize) else {
        return err(
            ErrorKind::Format,
            format!("a header of {len} bytes is not inside the file of {} bytes", source.len()),
        );
    };
    let mut tensors = read_header(header).map_err(|e| match e.offset() {
        Some(at) => e.with_offset(at + 8),
        None => e,
    })?;
    let data = source.slice(data_start as usize..source.len()).expect("the header is inside the file");
    tensors.sort_by_key(|t| (t.start, t.end));
    check_names(&tensors)?;
    let mut at = 0;
    let mut out = Vec::with_capacity(tensors.len());
    for t in tensors {
        let bad = |message: String| {
            Err(Error::new(ErrorKind::Format, message)
                .with_tensor(&*t.name)
                .with_offset(data_start + t.start))
        };
        if t.start != at {
            let what = if t.start < at { "shares bytes with the tensor before it" } else { "follows a hole" };
            return bad(format!("the tensor {what}"));
        }
        let size = t.shape.iter().try_fold(t.dtype.size, |n, &d| n.checked_mul(d));
        // The order of the two was checked.
        if size != Some(t.end - t.start) {
            return bad(format!("{:?} of {} are not {} bytes", t.shape, t.dtype.name, t.end - t.start));
        }
        let range = usize::try_from(t.start).ok().zip(usize::try_from(t.end).ok());
        let Some(bytes) = range.and_then(|(start, end)| data.slice(start..end)) else {
            return bad(format!(
                "bytes {} to {} are not inside the data of {} bytes",
                t.start,
                t.end,
                data.len()
            ));
        };
        at = t.end;
        out.push(Tensor {
            name: t.name,
            dtype: t.dtype,
            shape: t.shape,
            offset: data_start + t.start,
            bytes,
        });
    }
    if at != data.len() as u64 {
        let message = format!("{} bytes follow the last tensor", data.len() as u64 - at);
        return Err(Error::new(ErrorKind::Format, message).with_offset(data_start + at));
    }
    Ok(out)
}

fn read_header(header: &[u8]) -> Result<Vec<Raw>> {
    let mut out = Vec::new();
    let mut r = Json::new(header);
    r.object(|r, name| {
        let at = r.at() as u64;
        if name == "__metadata__" {
            return r.object(|r, _| r.string().map(drop));
        }
        if name.len() as u64 > MAX_TENSOR_NAME_BYTES || out.len() as u64 >= MAX_TENSORS {
            let message = format!(
                "more than {MAX_TENSORS} tensors, or a name of more than {MAX_TENSOR_NAME_BYTES} bytes"
            );
            return Err(Error::new(ErrorKind::Limit, message).with_offset(at));
        }
        let raw = read_tensor(r, &name).map_err(|e| {
            let at = e.offset().unwrap_or(at);
            e.with_tensor(&*name).with_offset(at)
        })?;
        out.push(raw);
        Ok(())
    })?;
    r.end()?;
    Ok(out)
}

fn read_tensor(r: &mut Json<'_>, name: &str) -> Result<Raw> {
    let (mut dtype, mut shape, mut offsets) = (None, None, None);
    r.object(|r, field| {
        match &*field {
            "dtype" => {
                let name = r.string()?;
                let known = DTYPES.iter().find(|d| d.name == name);
                dtype = Some(known.ok_or_else(|| {
                    let shown: String = name.chars().filter(|c| !c.is_control()).take(20).collect();
                    Error::new(ErrorKind::Unsupported, format!("the dtype \"{shown}\" is not supported"))
                })?);
            }
            "shape" => shape = Some(integers(r, MAX_DIMS)?),
            "data_offsets" => offsets = Some(integers(r, 2)?),
            _ => r.skip()?,
        }
        Ok(())
    })?;
    let missing =
        |what: &str| Error::new(ErrorKind::Format, format!("the header gives the tensor no {what}"));
    let (start, end) = match offsets.as_deref() {
        Some(&[start, end]) if start <= end => (start, end),
        Some(other) => {
            let message = format!("{other:?} are no start and end of data");
            return Err(Error::new(ErrorKind::Format, message));
        }
        None => return Err(missing("data_offsets")),
    };
    Ok(Raw {
        name: name.to_owned(),
        dtype: dtype.ok_or_else(|| missing("dtype"))?,
        shape: shape.ok_or_else(|| missing("shape"))?,
        start,
        end,
    })
}

/// A list of at most `most` integers.
fn integers(r: &mut Json<'_>, most: usize) -> Result<Vec<u64>> {
    let mut out = Vec::new();
    r.array(|r| {
        if out.len() == most {
            let message = format!("more than {most} numbers");
            return Err(Error::new(ErrorKind::Format, message).with_offset(r.at() as u64));
        }
        out.push(r.unsigned()?);
        Ok(())
    })?;
    Ok(out)
}

fn check_names(tensors: &[Raw]) -> Result<()> {
    let mut names: Vec<&str> = tensors.iter().map(|t| &*t.name).collect();
    names.sort_unstable();
    match names.windows(2).find(|p| p[0] == p[1]) {
        Some(pair) => Err(Error::new(ErrorKind::Format, "two tensors have this name").with_tensor(pair[0])),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Bytes {
        let mut out = (header.len() as u64).to_le_bytes().to_vec();
        out.extend(header.as_bytes());
        out.resize(out.len() + data, 7);
        Bytes::from(out)
    }

    #[test]
    fn tensors_come_in_the_order_of_their_data() {
        let header = r#"{"__metadata__":{"format":"pt"},
            "b":{"dtype":"F32","shape":[2,3],"data_offsets":[4,28]},"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},
            "none":{"dtype":"U8","shape":[0],"data_offsets":[28,28]}}  "#;
        let tensors = read(&file(header, 28)).expect("valid");
        let seen: Vec<_> = tensors.iter().map(|t| (&*t.name, t.bytes.len(), t.shape.len())).collect();
        assert_eq!(seen, [("a", 4, 1), ("b", 24, 2), ("none", 0, 1)]);
        assert_eq!(tensors[1].offset, 8 + header.len() as u64 + 4);
        assert!(read(&file("{}", 0)).expect("valid").is_empty());
    }

    #[test]
    fn refusals_name_the_tensor() {
        let one = |fields: &str| format!(r#"{{"w":{{{fields}}}}}"#);
        for (what, header) in [
            ("no dtype", one(r#""shape":[4],"data_offsets":[0,16]"#)),
            ("no shape", one(r#""dtype":"F32","data_offsets":[0,16]"#)),
            ("no offsets", one(r#""dtype":"F32","shape":[4]"#)),
            ("another size", one(r#""dtype":"F32","shape":[3],"data_offsets":[0,16]"#)),
            ("past the end", one(r#""dtype":"F32","shape":[5],"data_offsets":[0,20]"#)),
            ("a hole", one(r#""dtype":"F32","shape":[3],"data_offsets":[4,16]"#)),
            ("reversed", one(r#""dtype":"F32","shape":[4],"data_offsets":[16,0]"#)),
            ("three offsets", one(r#""dtype":"F32","shape":[4],"data_offsets":[0,16,16]"#)),
            ("a negative shape", one(r#""dtype":"F32","shape":[-4],"data_offsets":[0,16]"#)),
            (
                "a shape that wraps",
                one(r#""dtype":"F32","shape":[4611686018427387905,4],"data_offsets":[0,16]"#),
            ),
            ("an unknown type", one(r#""dtype":"F31","shape":[4],"data_offsets":[0,16]"#)),
            ("many dimensions", one(r#""dtype":"F32","shape":[1,1,1,1,1,1,1,1,4],"data_offsets":[0,16]"#)),
        ] {
            let e = read(&file(&header, 16)).expect_err(what);
            assert_eq!(e.tensor(), Some("w"), "{what}: {e}");
            assert!(e.offset().is_some(), "{what}: {e}");
        }
    }

    #[test]
    fn refusals_of_the_whole() {
        let w = r#"{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}"#;
        for (what, source) in [
            ("seven bytes", Bytes::from(vec![0; 7])),
            ("no header", file("", 0)),
            ("a header past the end", Bytes::from(vec![9, 0, 0, 0, 0, 0, 0, 0, b'{', b'}'])),
            ("an enormous header", Bytes::from(vec![255; 16])),
            ("an array", file("[]", 0)),
            ("something behind", file("{} {}", 0)),
            ("bytes behind", file(&format!("{w}}}"), 17)),
            ("twice", file(&format!("{w},{}", &w[1..].replace("16]", "16]}")), 16)),
            ("metadata of objects", file(r#"{"__metadata__":{"a":{}}}"#, 0)),
        ] {
            read(&source).expect_err(what);
        }
    }
}
