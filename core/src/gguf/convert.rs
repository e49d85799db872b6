//! Metadata values as the types that callers ask for.

use super::arrays::{Array, F32Array, I32Array, StrArray};
use super::header::{MAX_COPIED_ELEMENTS, MAX_COPIED_STRING};
use super::value::Value;
use crate::error::{Error, ErrorKind, Result};

/// A type that a metadata value can be asked for as. Errors have kind `Shape` (or `Format`, for text that is not
/// UTF-8) and do not name the key; [`super::Metadata`] adds it.
pub trait FromValue: Sized {
    /// Converts, or says what was expected and what is there.
    fn from_value(value: &Value) -> Result<Self>;
}

fn expected(what: &str, value: &Value) -> Error {
    let found = match value {
        Value::Array(a) => format!("an array of {}", a.kind().name()),
        other => format!("a value of type {}", other.kind().name()),
    };
    Error::new(ErrorKind::Shape, format!("expected {what}, found {found}"))
}

/// A file may be larger than memory: what is copied out of it has a limit.
fn check_copied(what: &str, n: usize, limit: usize) -> Result<()> {
    if n > limit {
        return Err(Error::new(ErrorKind::Limit, format!("{n} {what}, at most {limit} are accepted here")));
    }
    Ok(())
}

macro_rules! integers {
    ($($t:ident),+) => {
        $(impl FromValue for $t {
            fn from_value(value: &Value) -> Result<Self> {
                let x = value.as_integer().ok_or_else(|| expected("an integer", value))?;
                $t::try_from(x).map_err(|_| {
                    Error::new(ErrorKind::Shape, format!("{x} does not fit {}", stringify!($t)))
                })
            }
        })+
    };
}
integers!(u32, u64, usize, i32, i64);

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<Self> {
        match *value {
            Value::Bool(x) => Ok(x),
            _ => Err(expected("a bool", value)),
        }
    }
}

impl FromValue for f64 {
    fn from_value(value: &Value) -> Result<Self> {
        match *value {
            Value::F32(x) => Ok(x.into()),
            Value::F64(x) => Ok(x),
            _ => Err(expected("a float", value)),
        }
    }
}

impl FromValue for f32 {
    fn from_value(value: &Value) -> Result<Self> {
        f64::from_value(value).map(|x| x as f32)
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Result<Self> {
        let Value::String(bytes) = value else { return Err(expected("a string", value)) };
        check_copied("bytes", bytes.len(), MAX_COPIED_STRING)?;
        let text = std::str::from_utf8(bytes);
        text.map(str::to_owned)
            .map_err(|e| Error::new(ErrorKind::Format, "the string is not UTF-8").with_source(e))
    }
}

impl FromValue for Array {
    fn from_value(value: &Value) -> Result<Self> {
        value.as_array().cloned().ok_or_else(|| expected("an array", value))
    }
}

impl FromValue for StrArray {
    fn from_value(value: &Value) -> Result<Self> {
        match value {
            Value::Array(Array::Strings(a)) => Ok(a.clone()),
            _ => Err(expected("an array of strings", value)),
        }
    }
}

macro_rules! number_arrays {
    ($($name:ident, $what:literal;)+) => {
        $(impl FromValue for $name {
            fn from_value(value: &Value) -> Result<Self> {
                match value {
                    Value::Array(Array::Scalars(a)) => $name::new(a),
                    _ => None,
                }
                .ok_or_else(|| expected($what, value))
            }
        })+
    };
}
number_arrays! {
    F32Array, "an array of f32";
    I32Array, "an array of i32";
}

/// An array whose elements convert one by one: `Vec<bool>`, `Vec<usize>` and the like. For short arrays; the long
/// ones of a vocabulary stay in the file as [`StrArray`], [`F32Array`] or [`I32Array`].
impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: &Value) -> Result<Self> {
        let Value::Array(array) = value else { return Err(expected("an array", value)) };
        check_copied("elements", array.len(), MAX_COPIED_ELEMENTS)?;
        match array {
            Array::Scalars(a) => (0..a.len())
                .map(|i| match a.get(i) {
                    Some(x) => T::from_value(&x),
                    None => Err(Error::new(ErrorKind::Format, format!("element {i} is neither 0 nor 1"))),
                })
                .collect(),
            Array::Strings(a) if a.is_empty() => Ok(Self::new()),
            Array::Nested { count: 0, .. } => Ok(Self::new()),
            _ => Err(expected("an array of numbers or bools", value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::bytes::Bytes;

    fn one<T: FromValue>(value: Value) -> std::result::Result<T, ErrorKind> {
        T::from_value(&value).map_err(|e| e.kind())
    }

    #[test]
    fn any_integer_that_fits() {
        assert_eq!(one::<u32>(Value::I64(7)), Ok(7));
        assert_eq!(one::<i32>(Value::U8(255)), Ok(255));
        assert_eq!(one::<usize>(Value::U64(1 << 20)), Ok(1 << 20));
        assert_eq!(one::<u32>(Value::I32(-1)), Err(ErrorKind::Shape));
        assert_eq!(one::<i32>(Value::U32(u32::MAX)), Err(ErrorKind::Shape));
        assert_eq!(one::<i64>(Value::U64(u64::MAX)), Err(ErrorKind::Shape));
        assert_eq!(one::<u32>(Value::F32(2.0)), Err(ErrorKind::Shape));
        assert_eq!(one::<u32>(Value::Bool(true)), Err(ErrorKind::Shape));
        assert_eq!(one::<u32>(Value::String(Bytes::from(b"2".to_vec()))), Err(ErrorKind::Shape));
    }

    #[test]
    fn the_other_kinds() {
        let text = |b: &[u8]| Value::String(Bytes::from(b.to_vec()));
        assert_eq!(one::<f32>(Value::F64(0.5)), Ok(0.5));
        assert_eq!(one::<f32>(Value::U32(1)), Err(ErrorKind::Shape));
        assert_eq!(one::<bool>(Value::U8(1)), Err(ErrorKind::Shape));
        assert_eq!(one::<String>(text(b"ok")), Ok("ok".into()));
        assert_eq!(one::<String>(text(b"\xff")), Err(ErrorKind::Format));
        assert_eq!(one::<String>(Value::U8(1)), Err(ErrorKind::Shape));
        assert!(one::<StrArray>(text(b"a b")).is_err() && one::<F32Array>(Value::F32(0.0)).is_err());
        assert!(one::<Array>(Value::U8(0)).is_err() && one::<Vec<bool>>(Value::Bool(true)).is_err());
        assert_eq!(one::<String>(text(&vec![b'x'; MAX_COPIED_STRING + 1])), Err(ErrorKind::Limit));
        let message = u32::from_value(&Value::I32(-1)).expect_err("negative").to_string();
        assert!(message.contains("-1 does not fit u32"), "{message}");
    }
}
