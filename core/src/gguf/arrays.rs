//! Arrays of the metadata, left where the file put them.
//!
//! A vocabulary has 262,144 strings: nothing is allocated per element. Numbers are read from the mapped bytes,
//! wherever they lie (GGUF does not align them); strings have one table of offsets, built while the file is checked.

use std::fmt;
use std::sync::Arc;

use super::bytes::Bytes;
use super::header::{MAX_ARRAY_DEPTH, MAX_STRINGS};
use super::reader::Reader;
use super::value::{Value, ValueType};
use crate::error::{Error, ErrorKind, Result};

/// An array of strings. Cheap to clone.
#[derive(Clone)]
pub struct StrArray {
    /// The elements as in the file, each a `u64` length and its bytes.
    bytes: Bytes,
    /// `[len + 1]`: where in `bytes` the text of element `i` starts; the last entry is past the end as if one more
    /// length followed. So element `i` is `offsets[i]..offsets[i + 1] - 8`, without reading a length again.
    offsets: Arc<Vec<u32>>,
}

impl StrArray {
    /// Bytes of the length before each string.
    const PREFIX: usize = 8;

    /// Reads `count` strings. `budget` is how many more strings the file may have.
    fn read(r: &mut Reader<'_>, count: u64, budget: &mut u64) -> Result<Self> {
        if count > r.remaining() / Self::PREFIX as u64 {
            return Err(no_room(count, r));
        }
        if count > *budget {
            let message = format!("more than {MAX_STRINGS} strings in the arrays of one file");
            return Err(Error::new(ErrorKind::Limit, message).with_offset(r.at()));
        }
        *budget -= count;
        let start = r.mark();
        let mut offsets = Vec::with_capacity(count as usize + 1); // count is at most MAX_STRINGS
        for _ in 0..count {
            // Truncated if the array is larger than 4 GiB, which is refused below.
            offsets.push((r.mark() - start + Self::PREFIX) as u32);
            r.skip_string()?;
        }
        let end = r.mark() - start + Self::PREFIX;
        offsets.push(u32::try_from(end).map_err(|_| {
            Error::new(ErrorKind::Limit, "an array of strings of more than 4 GiB").with_offset(r.at())
        })?);
        Ok(Self { bytes: r.since(start), offsets: offsets.into() }) // not Arc<[u32]>: that would copy the table
    }

    /// How many strings.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of string `i`; nothing says that they are UTF-8.
    pub fn get(&self, i: usize) -> Option<&[u8]> {
        let start = *self.offsets.get(i)? as usize;
        let end = *self.offsets.get(i.checked_add(1)?)? as usize - Self::PREFIX;
        self.bytes.get(start..end)
    }

    /// The strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let bytes: &[u8] = &self.bytes; // one look-up for the whole walk
        self.offsets.windows(2).map(move |w| &bytes[w[0] as usize..w[1] as usize - Self::PREFIX])
    }

    /// Bytes of heap: the table of offsets.
    pub fn heap_bytes(&self) -> usize {
        self.offsets.capacity() * size_of::<u32>()
    }

    /// The elements as the file has them.
    pub(crate) fn encoded(&self) -> &[u8] {
        &self.bytes
    }
}

/// An array of numbers or bools of one kind. Cheap to clone.
#[derive(Clone)]
pub struct ScalarArray {
    kind: ValueType,
    /// `[len * kind.size()]`
    bytes: Bytes,
}

impl ScalarArray {
    fn read(r: &mut Reader<'_>, kind: ValueType, size: u64, count: u64) -> Result<Self> {
        let bytes =
            count.checked_mul(size).filter(|&n| n <= r.remaining()).ok_or_else(|| no_room(count, r))?;
        Ok(Self { kind, bytes: r.take_bytes(bytes, "an array")? })
    }

    /// What the elements are.
    pub fn kind(&self) -> ValueType {
        self.kind
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        self.kind.size().map_or(0, |size| self.bytes.len() / size)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element `i`. `None` past the end, and for the bytes of a bool that are neither 0 nor 1.
    pub fn get(&self, i: usize) -> Option<Value> {
        let size = self.kind.size()?;
        let start = i.checked_mul(size)?;
        Value::from_scalar_bytes(self.kind, self.bytes.get(start..start.checked_add(size)?)?)
    }

    /// The elements as the file has them.
    pub(crate) fn encoded(&self) -> &[u8] {
        &self.bytes
    }
}

/// Any array of the metadata. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Array {
    /// Strings.
    Strings(StrArray),
    /// Numbers or bools.
    Scalars(ScalarArray),
    /// Arrays of arrays: checked and counted, but no known key has them, so there is no access to the elements.
    Nested {
        /// How many arrays.
        count: usize,
        /// The elements as the file has them.
        bytes: Bytes,
    },
}

impl Array {
    /// Reads an array: element type, count, elements.
    pub(crate) fn read(r: &mut Reader<'_>, budget: &mut u64) -> Result<Self> {
        let (kind, count) = read_head(r)?;
        Ok(match (kind, kind.size()) {
            (_, Some(size)) => Self::Scalars(ScalarArray::read(r, kind, size as u64, count)?),
            (ValueType::Array, _) => {
                let start = r.mark();
                skip_arrays(r, count, 1, budget)?;
                // Each of them takes twelve bytes of the file, so the count fits.
                Self::Nested { count: count as usize, bytes: r.since(start) }
            }
            _ => Self::Strings(StrArray::read(r, count, budget)?),
        })
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Strings(a) => a.len(),
            Self::Scalars(a) => a.len(),
            Self::Nested { count, .. } => *count,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the elements are.
    pub fn kind(&self) -> ValueType {
        match self {
            Self::Strings(_) => ValueType::String,
            Self::Scalars(a) => a.kind(),
            Self::Nested { .. } => ValueType::Array,
        }
    }
}

fn read_head(r: &mut Reader<'_>) -> Result<(ValueType, u64)> {
    let kind = ValueType::read(r)?;
    Ok((kind, r.u64("the length of an array")?))
}

/// Walks over `count` arrays that are inside `depth` others.
fn skip_arrays(r: &mut Reader<'_>, count: u64, depth: u32, budget: &mut u64) -> Result<()> {
    if depth >= MAX_ARRAY_DEPTH {
        let message = format!("arrays more than {MAX_ARRAY_DEPTH} deep");
        return Err(Error::new(ErrorKind::Limit, message).with_offset(r.at()));
    }
    if count > r.remaining() / 12 {
        return Err(no_room(count, r));
    }
    for _ in 0..count {
        let (kind, count) = read_head(r)?;
        match kind.size() {
            Some(size) => drop(ScalarArray::read(r, kind, size as u64, count)?),
            None if kind == ValueType::Array => skip_arrays(r, count, depth + 1, budget)?,
            None => drop(StrArray::read(r, count, budget)?),
        }
    }
    Ok(())
}

fn no_room(count: u64, r: &Reader<'_>) -> Error {
    let message = format!("an array of {count} elements is larger than the file");
    Error::new(ErrorKind::Format, message).with_offset(r.at())
}

macro_rules! number_array {
    ($name:ident, $number:ident, $kind:ident) => {
        #[doc = concat!("An array of `", stringify!($number), "`, left in the file at any alignment. Cheap to clone.")]
        #[derive(Clone)]
        pub struct $name(Bytes);

        impl $name {
            /// The numbers of an array of exactly this kind.
            pub(crate) fn new(array: &ScalarArray) -> Option<Self> {
                (array.kind == ValueType::$kind).then(|| Self(array.bytes.clone()))
            }

            /// How many numbers.
            pub fn len(&self) -> usize {
                self.0.len() / size_of::<$number>()
            }

            /// Whether there are none.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Number `i`.
            pub fn get(&self, i: usize) -> Option<$number> {
                let start = i.checked_mul(size_of::<$number>())?;
                Some($number::from_le_bytes(*self.0.get(start..)?.first_chunk()?))
            }

            /// The numbers in order.
            pub fn iter(&self) -> impl ExactSizeIterator<Item = $number> + '_ {
                let (chunks, _) = self.0.as_chunks();
                chunks.iter().map(|&c| $number::from_le_bytes(c))
            }
        }
    };
}
number_array!(F32Array, f32, F32);
number_array!(I32Array, i32, I32);

macro_rules! debug_by_length {
    ($($name:ident),+) => {
        $(impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.len())
            }
        })+
    };
}
debug_by_length!(StrArray, ScalarArray, F32Array, I32Array);

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(kind: u32, count: u64, payload: &[u8]) -> Bytes {
        let mut out = kind.to_le_bytes().to_vec();
        out.extend(count.to_le_bytes());
        out.extend(payload);
        Bytes::from(out)
    }

    fn read(source: &Bytes) -> Result<Array> {
        Array::read(&mut Reader::new(source), &mut MAX_STRINGS.clone())
    }

    fn strings(items: &[&[u8]]) -> Vec<u8> {
        items.iter().flat_map(|s| [&(s.len() as u64).to_le_bytes()[..], s].concat()).collect()
    }

    #[test]
    fn strings_are_found_without_reading_lengths_again() {
        let items: &[&[u8]] = &[b"", b"a", b"\xff\xfe", "日本".as_bytes()];
        let Array::Strings(a) = read(&encode(8, 4, &strings(items))).expect("valid") else {
            panic!("not strings")
        };
        assert_eq!(a.len(), 4);
        assert_eq!(a.iter().collect::<Vec<_>>(), items);
        assert_eq!((0..4).map(|i| a.get(i).expect("inside")).collect::<Vec<_>>(), items);
        assert_eq!((a.get(4), a.get(usize::MAX)), (None, None));
        assert_eq!(a.heap_bytes(), 20);
        let Array::Strings(none) = read(&encode(8, 0, &[])).expect("valid") else { panic!("not strings") };
        assert!(none.is_empty() && none.iter().len() == 0 && none.get(0).is_none());
    }

    #[test]
    fn numbers_at_odd_addresses() {
        // One byte before the array: the payload is at an odd address whatever the allocator did.
        for shift in 0..4usize {
            let mut all = vec![0; shift];
            all.extend_from_slice(&encode(
                6,
                3,
                &[1.5f32, f32::INFINITY, -0.0].map(f32::to_le_bytes).concat(),
            ));
            let all = Bytes::from(all);
            let source = all.slice(shift..all.len()).expect("inside");
            let Array::Scalars(a) = read(&source).expect("valid") else { panic!("not numbers") };
            let floats = F32Array::new(&a).expect("F32");
            assert_eq!(floats.iter().collect::<Vec<_>>(), [1.5, f32::INFINITY, 0.0]);
            assert_eq!((floats.get(1), floats.get(3)), (Some(f32::INFINITY), None));
            assert!(I32Array::new(&a).is_none(), "no reinterpretation");
        }
    }

    #[test]
    fn every_refusal() {
        use ErrorKind::{Format, Limit};
        let deep = [9u32.to_le_bytes().as_slice(), &1u64.to_le_bytes()].concat().repeat(100_000);
        let in_array = encode(8, 1, &strings(&[b"x"])).to_vec();
        for (what, source, kind) in [
            ("unknown element type", encode(13, 1, &[0; 8]), Format),
            ("cut in the count", encode(4, 1, &[]).slice(0..11).expect("inside"), Format),
            ("2^64 - 1 elements", encode(4, u64::MAX, &[0; 8]), Format),
            ("count x 8 wraps to 8", encode(10, (1 << 61) + 1, &[0; 8]), Format),
            ("one element too many", encode(4, 3, &[0; 11]), Format),
            ("2^40 strings", encode(8, 1 << 40, &[0; 64]), Format),
            ("a string of 2^64 - 1", encode(8, 1, &u64::MAX.to_le_bytes()), Format),
            (
                "a string past the end",
                encode(8, 2, &strings(&[b"ok", b"cut"])).slice(0..32).expect("inside"),
                Format,
            ),
            ("2^40 arrays", encode(9, 1 << 40, &[0; 64]), Format),
            ("100,000 deep", encode(9, 1, &deep), Limit),
            ("bad type inside", encode(9, 1, &[99; 12]), Format),
        ] {
            let e = read(&source).expect_err(what);
            assert_eq!(e.kind(), kind, "{what}: {e}");
            assert!(e.offset().is_some(), "{what}: {e}");
        }
        let nested = read(&encode(9, 2, &[in_array.as_slice(), &in_array].concat())).expect("allowed");
        assert_eq!((nested.len(), nested.kind()), (2, ValueType::Array));
        let mut budget = 3;
        let source = encode(8, 4, &strings(&[b"", b"", b"", b""]));
        let e = Array::read(&mut Reader::new(&source), &mut budget).expect_err("over the budget");
        assert_eq!(e.kind(), Limit);
    }
}
