//! The first 24 bytes, and every limit on what a file may declare.
//!
//! The limits are far above what real files hold (a large model has about 50 keys and 60,000 tensors); they bound the
//! time and memory that a hostile file can cost. Nothing is allocated by a declared count before the bytes that the
//! count needs are known to be there.

use super::reader::Reader;
use crate::error::{Error, ErrorKind, Result};

/// Metadata keys in a file.
pub const MAX_KEYS: u64 = 1 << 18;
/// Bytes of one metadata key (the format's own limit).
pub const MAX_KEY_BYTES: u64 = 65_535;
/// Bytes of all metadata keys together; they are copied to the heap.
pub const MAX_KEY_BYTES_TOTAL: usize = 16 << 20;
/// Strings in all string arrays of a file together; each costs four bytes of heap.
pub const MAX_STRINGS: u64 = 1 << 24;
/// Arrays inside arrays.
pub const MAX_ARRAY_DEPTH: u32 = 4;
/// Tensors in a file or in all parts of a split model.
pub const MAX_TENSORS: u64 = 1 << 18;
/// Bytes of a tensor's name. The format says 64; some tools write more.
pub const MAX_TENSOR_NAME_BYTES: u64 = 256;
/// Dimensions of a tensor.
pub const MAX_DIMS: u32 = 4;
/// Alignment of tensor data, bytes.
pub const MAX_ALIGNMENT: u64 = 1 << 20;
/// Alignment where the file names none, bytes.
pub const DEFAULT_ALIGNMENT: u64 = 32;
/// Parts of a split model.
pub const MAX_PARTS: u64 = 1000;
/// Elements of an array that are copied out of the file: layers, token lists. A vocabulary is not copied.
pub const MAX_COPIED_ELEMENTS: usize = 1 << 16;
/// Bytes of a string that is copied out of the file.
pub const MAX_COPIED_STRING: usize = 16 << 20;

/// The smallest encoding of a key and its value: length, one byte, type, one byte.
const LEAST_KEY_BYTES: u64 = 8 + 1 + 4 + 1;
/// The smallest encoding of a tensor's entry: length, one byte, dimension count, one dimension, type, offset.
const LEAST_TENSOR_BYTES: u64 = 8 + 1 + 4 + 8 + 4 + 8;

/// The fixed part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) version: u32,
    pub(crate) tensors: u64,
    pub(crate) keys: u64,
}

impl Header {
    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self> {
        if r.array(MAGIC_NAME).ok() != Some(*b"GGUF") {
            return Err(foreign(r));
        }
        let version = r.u32("the version")?;
        check_version(version)?;
        let tensors = r.u64("the count of tensors")?;
        check_count("tensors", tensors, MAX_TENSORS, LEAST_TENSOR_BYTES, r, 8)?;
        let keys = r.u64("the count of keys")?;
        check_count("keys", keys, MAX_KEYS, LEAST_KEY_BYTES, r, 16)?;
        Ok(Self { version, tensors, keys })
    }
}

const MAGIC_NAME: &str = "the magic number";

fn check_version(version: u32) -> Result<()> {
    let message = match version {
        2 | 3 => return Ok(()),
        1 => "GGUF version 1 is not supported: convert the model again".to_owned(),
        v if matches!(v.swap_bytes(), 1..=3) => "big-endian GGUF files are not supported".to_owned(),
        v => format!("GGUF version {v} is unknown; versions 2 and 3 are supported"),
    };
    Err(Error::new(ErrorKind::Unsupported, message).with_offset(4))
}

fn check_count(what: &str, count: u64, limit: u64, least: u64, r: &Reader<'_>, offset: u64) -> Result<()> {
    // Divided, not multiplied: a product could wrap.
    if count > r.remaining() / least {
        let message = format!("{count} {what} are declared, more than the file has room for");
        return Err(Error::new(ErrorKind::Format, message).with_offset(offset));
    }
    if count > limit {
        let message = format!("{count} {what} are declared, at most {limit} are accepted");
        return Err(Error::new(ErrorKind::Limit, message).with_offset(offset));
    }
    Ok(())
}

/// What a file that is not GGUF seems to be: said in the error, since a wrong download is the usual cause.
fn foreign(r: &Reader<'_>) -> Error {
    let start = r.start(64);
    let hint = match start {
        s if s.len() < 4 => "it is too short",
        s if s.starts_with(b"FUGG") => "it may be a big-endian one",
        s if [&b"lmgg"[..], b"fmgg", b"tjgg", b"algg", b"GGML", b"ggml", b"ggjt"]
            .iter()
            .any(|m| s.starts_with(m)) =>
        {
            "it looks like the older GGML format: convert the model again"
        }
        s if s.starts_with(b"PK\x03\x04") => "it looks like a zip archive or a PyTorch checkpoint",
        s if s.starts_with(b"\x1f\x8b") => "it looks like a gzip archive",
        s if s.starts_with(b"version https://git-lfs") => "it is a Git LFS pointer, not the file itself",
        s if s.trim_ascii_start().first() == Some(&b'<') => "it looks like a web page: the download failed",
        s if s.get(8) == Some(&b'{') => "it looks like a safetensors file",
        _ => "it does not begin with \"GGUF\"",
    };
    Error::new(ErrorKind::Format, format!("this is not a GGUF model file: {hint}")).with_offset(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::bytes::Bytes;

    fn read(bytes: &[u8]) -> Result<Header> {
        let source = Bytes::from(bytes.to_vec());
        Header::read(&mut Reader::new(&source))
    }

    fn header(version: u32, tensors: u64, keys: u64, room: usize) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(version.to_le_bytes());
        out.extend(tensors.to_le_bytes());
        out.extend(keys.to_le_bytes());
        out.resize(24 + room, 0);
        out
    }

    #[test]
    fn versions() {
        assert_eq!(read(&header(2, 1, 2, 99)).expect("v2"), Header { version: 2, tensors: 1, keys: 2 });
        assert!(read(&header(3, 0, 0, 0)).is_ok());
        for (version, says) in
            [(0, "unknown"), (1, "version 1"), (4, "unknown"), (3u32.swap_bytes(), "big-endian")]
        {
            let e = read(&header(version, 0, 0, 0)).expect_err("refused");
            assert_eq!(e.kind(), ErrorKind::Unsupported);
            assert!(e.message().contains(says), "{e}");
        }
    }

    #[test]
    fn counts() {
        for n in [u64::MAX, 1 << 63, 1 << 32, u64::MAX / 48 + 2, 4] {
            for bytes in [header(3, n, 0, 100), header(3, 0, n, 50)] {
                let e = read(&bytes).expect_err("no room");
                assert_eq!(e.kind(), ErrorKind::Format, "{e}");
                assert!(e.offset().is_some(), "{e}");
            }
        }
        let e = read(&header(3, 0, MAX_KEYS + 1, 14 << 19)).expect_err("too many, though there is room");
        assert_eq!((e.kind(), e.offset()), (ErrorKind::Limit, Some(16)));
        let e = read(&header(3, MAX_TENSORS + 1, 0, 33 << 19)).expect_err("too many, though there is room");
        assert_eq!((e.kind(), e.offset()), (ErrorKind::Limit, Some(8)));
    }

    #[test]
    fn other_formats_are_recognised() {
        for (bytes, says) in [
            (&b""[..], "too short"),
            (b"GGU", "too short"),
            (b"FUGG\0\0\0\x03", "big-endian"),
            (b"tjgg\x03\0\0\0", "older"),
            (b"PK\x03\x04....", "zip"),
            (b"version https://git-lfs.github.com/spec/v1", "LFS"),
            (b"\n<!DOCTYPE html>", "web page"),
            (b"\x10\0\0\0\0\0\0\0{\"a\":1}", "safetensors"),
            (b"BAD!\n", "GGUF"),
        ] {
            let e = read(bytes).expect_err("not GGUF");
            assert_eq!(e.kind(), ErrorKind::Format);
            assert!(e.message().contains(says), "{e}");
        }
        for n in 4..24 {
            let e = read(&header(3, 0, 0, 0)[..n]).expect_err("cut");
            assert_eq!(e.kind(), ErrorKind::Format, "{e}");
        }
    }
}
