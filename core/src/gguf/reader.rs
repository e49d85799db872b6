//! A cursor over a file's bytes that cannot leave them. Little-endian; every error carries the byte offset.

use super::bytes::Bytes;
use crate::error::{Error, ErrorKind, Result};

/// Reads from the front; `at` is the byte offset in the file.
pub(crate) struct Reader<'a> {
    source: &'a Bytes,
    data: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a Bytes) -> Self {
        Self { source, data: source, at: 0 }
    }

    /// The first bytes of the file, at most `n`, wherever the cursor is.
    pub(crate) fn start(&self, n: usize) -> &'a [u8] {
        &self.data[..n.min(self.data.len())]
    }

    /// Bytes read so far: the offset in the file.
    pub(crate) fn at(&self) -> u64 {
        self.at as u64
    }

    /// Bytes left to read.
    pub(crate) fn remaining(&self) -> u64 {
        (self.data.len() - self.at) as u64
    }

    /// The next `n` bytes. `what` is named in the error if they are not there.
    pub(crate) fn take(&mut self, n: u64, what: &str) -> Result<&'a [u8]> {
        let range = usize::try_from(n).ok().and_then(|n| self.at.checked_add(n)).map(|end| self.at..end);
        let Some((range, bytes)) = range.and_then(|r| Some((r.clone(), self.data.get(r)?))) else {
            let message =
                format!("the file ends inside {what}, which needs {n} bytes; {} are left", self.remaining());
            return Err(Error::new(ErrorKind::Format, message).with_offset(self.at()));
        };
        self.at = range.end;
        Ok(bytes)
    }

    /// The next `n` bytes, keeping the file alive.
    pub(crate) fn take_bytes(&mut self, n: u64, what: &str) -> Result<Bytes> {
        let start = self.at;
        self.take(n, what)?;
        Ok(self.since(start))
    }

    /// Everything from `start`, an offset seen before, up to here.
    pub(crate) fn since(&self, start: usize) -> Bytes {
        self.source.slice(start..self.at).expect("the reader never leaves its source")
    }

    /// The offset as an index, for [`Self::since`].
    pub(crate) fn mark(&self) -> usize {
        self.at
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let bytes = self.take(N as u64, what)?;
        Ok(*bytes.first_chunk().expect("take returned N bytes"))
    }

    pub(crate) fn u32(&mut self, what: &str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(crate) fn u64(&mut self, what: &str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// Passes over a length and as many bytes. A vocabulary has 262,144 of them, so the way that succeeds is short.
    #[inline]
    pub(crate) fn skip_string(&mut self) -> Result<()> {
        let rest = &self.data[self.at..];
        if let Some((len, text)) = rest.split_first_chunk()
            && let Ok(len) = usize::try_from(u64::from_le_bytes(*len))
            && len <= text.len()
        {
            self.at += size_of::<u64>() + len;
            return Ok(());
        }
        let len = self.u64("the length of a string of an array")?;
        self.take(len, "a string of an array").map(drop)
    }

    /// A length-prefixed string of `1..=limit` bytes of UTF-8: a key or a tensor's name.
    pub(crate) fn name(&mut self, what: &str, limit: u64) -> Result<&'a str> {
        let at = self.at();
        let err = |kind, message| Err(Error::new(kind, message).with_offset(at));
        let len = self.u64(what)?;
        if len == 0 {
            return err(ErrorKind::Format, format!("{what} is empty"));
        }
        if len > limit && len <= self.remaining() {
            return err(ErrorKind::Limit, format!("{what} has {len} bytes, at most {limit} are accepted"));
        }
        match std::str::from_utf8(self.take(len, what)?) {
            Ok(name) => Ok(name),
            Err(_) => err(ErrorKind::Format, format!("{what} is not UTF-8")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_in_order_and_stops_at_the_end() {
        let source = Bytes::from(vec![1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9]);
        let mut r = Reader::new(&source);
        assert_eq!(r.u32("a number").expect("there"), 1);
        assert_eq!(r.u64("a number").expect("there"), 2);
        let e = r.u32("a number").expect_err("one byte left");
        assert_eq!((e.kind(), e.offset()), (ErrorKind::Format, Some(12)));
        assert!(e.message().contains("a number"), "{e}");
        assert_eq!(r.take(1, "a byte").expect("still there after the error"), [9]);
        assert!(r.take(u64::MAX, "a lot").is_err());
        assert_eq!(&*r.since(11), [0, 9]);
    }

    #[test]
    fn names_are_checked() {
        let name = |len: u64, bytes: &[u8]| {
            let mut all = len.to_le_bytes().to_vec();
            all.extend(bytes);
            let source = Bytes::from(all);
            Reader::new(&source).name("the key", 4).map(str::to_owned).map_err(|e| e.kind())
        };
        assert_eq!(name(2, b"ab"), Ok("ab".into()));
        assert_eq!(name(0, b""), Err(ErrorKind::Format));
        assert_eq!(name(2, b"\xff\xfe"), Err(ErrorKind::Format));
        assert_eq!(name(5, b"abcde"), Err(ErrorKind::Limit));
        assert_eq!(name(u64::MAX, b"abcde"), Err(ErrorKind::Format));
    }
}
