//! Models split over several files: `NAME-00001-of-00003.gguf` and so on.
//!
//! The first part has the metadata. Each part says with `split.no` (from 0) and `split.count` which it is, and the
//! tensors of all parts together are `split.tensors.count`. A model may be opened from any of its parts; the others
//! are expected beside it. Keys without such a name, or the other way round, are not a split model: a file that says
//! that it is one of several parts must be found as one.

use std::path::{Path, PathBuf};

use super::header::MAX_PARTS;
use super::metadata::Metadata;
use super::mmap::Storage;
use super::part::Part;
use crate::error::{Error, ErrorKind, Result};

/// `split.count`: how many parts the model has; 1 if it is not split.
pub(crate) fn count(metadata: &Metadata) -> Result<u64> {
    let count = metadata.optional::<u64>("split.count")?.unwrap_or(1).max(1);
    if count > MAX_PARTS {
        let message = format!("a model of {count} parts, at most {MAX_PARTS} are accepted");
        return Err(Error::new(ErrorKind::Limit, message).with_key("split.count"));
    }
    Ok(count)
}

/// Opens the other parts of the model that `opened`, read from `path`, is one part of; returns all in order.
pub(crate) fn open_all(path: &Path, opened: Part) -> Result<Vec<Part>> {
    let count = count(&opened.metadata)?;
    if count == 1 {
        return Ok(vec![opened]);
    }
    let number = number(&opened.metadata, count)?;
    let name = path.file_name().and_then(|n| n.to_str()).and_then(SplitName::parse);
    let Some(name) = name.filter(|n| n.count == count && n.number == number + 1) else {
        let message = format!(
            "the file is part {} of {count} of a split model, but its name does not end in {}",
            number + 1,
            suffix(number + 1, count)
        );
        return Err(Error::new(ErrorKind::Format, message));
    };
    let mut opened = Some(opened);
    let mut parts = Vec::with_capacity(count as usize);
    for i in 0..count {
        let part = match opened.take_if(|_| i == number) {
            Some(part) => part,
            None => {
                let sibling = path.with_file_name(name.with_number(i + 1));
                open_sibling(&sibling, i, count)?
            }
        };
        parts.push(part);
    }
    check_tensor_count(&parts)?;
    Ok(parts)
}

fn open_sibling(path: &PathBuf, number: u64, count: u64) -> Result<Part> {
    if !path.try_exists().unwrap_or(true) {
        let message = format!("part {} of {count} of the model is missing", number + 1);
        return Err(Error::new(ErrorKind::Missing, message).with_file(path));
    }
    let part = Part::read(Storage::open(path)?)?;
    let (other_count, other) = (self::count(&part.metadata)?, part.metadata.optional::<u64>("split.no")?);
    if (other_count, other) != (count, Some(number)) {
        let message = format!("by its name this is part {} of {count}; by its keys it is not", number + 1);
        return Err(Error::new(ErrorKind::Format, message).with_key("split.no").with_file(path));
    }
    Ok(part)
}

fn number(metadata: &Metadata, count: u64) -> Result<u64> {
    let number: u64 = metadata.require("split.no")?;
    if number >= count {
        let message = format!("part number {number}, counted from 0, of {count}");
        return Err(Error::new(ErrorKind::Format, message).with_key("split.no"));
    }
    Ok(number)
}

fn check_tensor_count(parts: &[Part]) -> Result<()> {
    const KEY: &str = "split.tensors.count";
    let found = parts.iter().map(|p| p.tensors.len() as u64).sum::<u64>();
    for part in parts {
        if let Some(declared) = part.metadata.optional::<u64>(KEY)?
            && declared != found
        {
            let message =
                format!("{declared} tensors are declared for all parts together, {found} are there");
            return Err(Error::new(ErrorKind::Format, message).with_key(KEY));
        }
    }
    Ok(())
}

/// The end of the name of part `number`, counted from 1.
fn suffix(number: u64, count: u64) -> String {
    format!("-{number:05}-of-{count:05}.gguf")
}

/// A file name that says which part of a split model it is.
#[derive(Debug, PartialEq, Eq)]
struct SplitName<'a> {
    prefix: &'a str,
    /// From 1.
    number: u64,
    count: u64,
}

impl<'a> SplitName<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let (rest, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
        let (prefix, number) = rest.rsplit_once('-')?;
        let digits = |s: &str| s.len() == 5 && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(number) || !digits(count) {
            return None;
        }
        Some(Self { prefix, number: number.parse().ok()?, count: count.parse().ok()? })
    }

    fn with_number(&self, number: u64) -> String {
        format!("{}{}", self.prefix, suffix(number, self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let name = SplitName::parse("m-1b-of-x-00002-of-00003.gguf").expect("a split name");
        assert_eq!(name, SplitName { prefix: "m-1b-of-x", number: 2, count: 3 });
        assert_eq!(name.with_number(1), "m-1b-of-x-00001-of-00003.gguf");
        for other in ["m.gguf", "m-00001-of-00002", "m-1-of-2.gguf", "-of-.gguf", "m-0000a-of-00002.gguf", ""]
        {
            assert_eq!(SplitName::parse(other), None, "{other}");
        }
    }
}
