//! One metadata value, as the file has it.

use std::fmt;

use super::arrays::Array;
use super::bytes::Bytes;
use super::reader::Reader;
use crate::error::{Error, ErrorKind, Result};

macro_rules! value_types {
    ($($variant:ident = $id:literal, $size:expr, $name:literal;)+) => {
        /// What a value is. The ids are those of the format.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the variants are the format's names")]
        pub enum ValueType { $($variant = $id),+ }

        impl ValueType {
            fn from_id(id: u32) -> Option<Self> {
                match id { $($id => Some(Self::$variant),)+ _ => None }
            }

            /// Bytes of a value; `None` for strings and arrays.
            pub fn size(self) -> Option<usize> {
                match self { $(Self::$variant => $size),+ }
            }

            /// The format's name in lower case.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}
value_types! {
    U8     =  0, Some(1), "u8";
    I8     =  1, Some(1), "i8";
    U16    =  2, Some(2), "u16";
    I16    =  3, Some(2), "i16";
    U32    =  4, Some(4), "u32";
    I32    =  5, Some(4), "i32";
    F32    =  6, Some(4), "f32";
    Bool   =  7, Some(1), "bool";
    String =  8, None,    "string";
    Array  =  9, None,    "array";
    U64    = 10, Some(8), "u64";
    I64    = 11, Some(8), "i64";
    F64    = 12, Some(8), "f64";
}

impl ValueType {
    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self> {
        let at = r.at();
        let id = r.u32("the type of a value")?;
        Self::from_id(id)
            .ok_or_else(|| Error::new(ErrorKind::Format, format!("unknown value type {id}")).with_offset(at))
    }
}

/// A metadata value. Strings and arrays stay in the file. Cheap to clone.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the variants are the format's names")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    /// Bytes that should be UTF-8; checked when asked for.
    String(Bytes),
    Array(Array),
}

impl Value {
    /// Reads a value of type `kind`. `budget` is how many more strings the file's arrays may have.
    pub(crate) fn read(r: &mut Reader<'_>, kind: ValueType, budget: &mut u64) -> Result<Self> {
        match (kind, kind.size()) {
            (_, Some(size)) => {
                let at = r.at();
                let bytes = r.take(size as u64, "a value")?;
                Self::from_scalar_bytes(kind, bytes).ok_or_else(|| {
                    Error::new(ErrorKind::Format, "a bool that is neither 0 nor 1").with_offset(at)
                })
            }
            (ValueType::Array, None) => Array::read(r, budget).map(Self::Array),
            (_, None) => {
                let len = r.u64("the length of a string")?;
                r.take_bytes(len, "a string").map(Self::String)
            }
        }
    }

    /// `None` if `bytes` are not of the size of `kind`, or a bool is neither 0 nor 1.
    pub(crate) fn from_scalar_bytes(kind: ValueType, bytes: &[u8]) -> Option<Self> {
        macro_rules! number {
            ($t:ident, $variant:ident) => {
                Self::$variant($t::from_le_bytes(bytes.try_into().ok()?))
            };
        }
        Some(match kind {
            ValueType::U8 => number!(u8, U8),
            ValueType::I8 => number!(i8, I8),
            ValueType::U16 => number!(u16, U16),
            ValueType::I16 => number!(i16, I16),
            ValueType::U32 => number!(u32, U32),
            ValueType::I32 => number!(i32, I32),
            ValueType::U64 => number!(u64, U64),
            ValueType::I64 => number!(i64, I64),
            ValueType::F32 => number!(f32, F32),
            ValueType::F64 => number!(f64, F64),
            ValueType::Bool => match bytes {
                [0] => Self::Bool(false),
                [1] => Self::Bool(true),
                _ => return None,
            },
            ValueType::String | ValueType::Array => return None,
        })
    }

    /// What it is.
    pub fn kind(&self) -> ValueType {
        match self {
            Self::U8(_) => ValueType::U8,
            Self::I8(_) => ValueType::I8,
            Self::U16(_) => ValueType::U16,
            Self::I16(_) => ValueType::I16,
            Self::U32(_) => ValueType::U32,
            Self::I32(_) => ValueType::I32,
            Self::U64(_) => ValueType::U64,
            Self::I64(_) => ValueType::I64,
            Self::F32(_) => ValueType::F32,
            Self::F64(_) => ValueType::F64,
            Self::Bool(_) => ValueType::Bool,
            Self::String(_) => ValueType::String,
            Self::Array(_) => ValueType::Array,
        }
    }

    /// An integer of any kind.
    pub fn as_integer(&self) -> Option<i128> {
        Some(match *self {
            Self::U8(x) => x.into(),
            Self::I8(x) => x.into(),
            Self::U16(x) => x.into(),
            Self::I16(x) => x.into(),
            Self::U32(x) => x.into(),
            Self::I32(x) => x.into(),
            Self::U64(x) => x.into(),
            Self::I64(x) => x.into(),
            _ => return None,
        })
    }

    /// A string, if it is one and is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// An array of any kind.
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Array(a) => Some(a),
            _ => None,
        }
    }

    /// Bytes of heap beyond the value itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Array(Array::Strings(a)) => a.heap_bytes(),
            _ => 0,
        }
    }
}

/// Longest array that is given as JSON.
const MAX_JSON_ARRAY: usize = 1 << 20;

impl Value {
    /// The value as JSON, arrays with all their elements. What is not UTF-8 in a string becomes U+FFFD. Null stands for
    /// a number that is not finite, an array of arrays, and an array of more than 2^20 elements (as JSON it would take
    /// many times its size in the file).
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::U8(x) => (*x).into(),
            Self::I8(x) => (*x).into(),
            Self::U16(x) => (*x).into(),
            Self::I16(x) => (*x).into(),
            Self::U32(x) => (*x).into(),
            Self::I32(x) => (*x).into(),
            Self::U64(x) => (*x).into(),
            Self::I64(x) => (*x).into(),
            Self::F32(x) => f64::from(*x).into(),
            Self::F64(x) => (*x).into(),
            Self::Bool(x) => (*x).into(),
            Self::String(bytes) => String::from_utf8_lossy(bytes).into(),
            Self::Array(array) if array.len() > MAX_JSON_ARRAY => serde_json::Value::Null,
            Self::Array(Array::Strings(a)) => a.iter().map(String::from_utf8_lossy).collect(),
            Self::Array(Array::Scalars(a)) => {
                (0..a.len()).map(|i| a.get(i).map_or(serde_json::Value::Null, |v| v.to_json())).collect()
            }
            Self::Array(Array::Nested { .. }) => serde_json::Value::Null,
        }
    }
}

/// Short enough for a table: long strings are cut and control characters escaped, arrays say what they hold.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 64; // characters
        match self {
            Self::Bool(x) => write!(f, "{x}"),
            Self::F32(x) => write!(f, "{x}"),
            Self::F64(x) => write!(f, "{x}"),
            Self::Array(a) => write!(f, "[{} x {}]", a.len(), a.kind().name()),
            Self::String(bytes) => {
                // A character takes at most four bytes: the rest of a long string need not be looked at.
                let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * SHOWN + 4)]);
                for c in text.chars().take(SHOWN) {
                    if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
                }
                if text.chars().nth(SHOWN).is_some() { f.write_str("…") } else { Ok(()) }
            }
            _ => write!(f, "{}", self.as_integer().expect("the other kinds are integers")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_numbers_and_mends_text() {
        assert_eq!(Value::U64(u64::MAX).to_json().to_string(), "18446744073709551615");
        assert_eq!(Value::I8(-3).to_json().to_string(), "-3");
        assert_eq!(Value::F32(f32::NAN).to_json().to_string(), "null");
        assert_eq!(
            Value::String(Bytes::from(b"a\xff\"".to_vec())).to_json().to_string(),
            "\"a\u{fffd}\\\"\""
        );
    }

    #[test]
    fn display_is_short_and_safe() {
        let text = |b: Vec<u8>| Value::String(Bytes::from(b)).to_string();
        assert_eq!(text(b"a\x1b[2J\n".to_vec()), "a\\u{1b}[2J\\n");
        assert_eq!(text("é".repeat(1 << 20).into()).chars().count(), 65);
        assert_eq!(text("é".repeat(64).into()).chars().count(), 64);
        assert_eq!(text(vec![0xff; 3]), "\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(
            (Value::I8(-3).to_string(), Value::F32(1e-5).to_string()),
            ("-3".into(), "0.00001".into())
        );
    }
}
