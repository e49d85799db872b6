//! The small JSON files of a folder, with typed access: an error names the file and the key.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};

/// Bytes of a file that is read as a whole. A `tokenizer_config.json` that lists 6,000 special tokens has 1.2 MB.
const MAX_BYTES: u64 = 8 << 20;

/// One JSON object in a file.
#[derive(Debug)]
pub(super) struct Config {
    path: PathBuf,
    map: Map<String, Value>,
    /// Where the configuration of a part, such as the language model of a multimodal one, is looked up first.
    part: Option<&'static str>,
}

/// The text of the file `name` in `folder`; `None` if there is no such file.
pub(super) fn read_text(folder: &Path, name: &str) -> Result<Option<String>> {
    let path = folder.join(name);
    let io = |e: std::io::Error| {
        Error::new(ErrorKind::Io, "cannot read a file of the model's folder").with_source(e).with_file(&path)
    };
    match std::fs::metadata(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io(e)),
        // Asked before opening: opening a pipe would wait for a writer.
        Ok(meta) if !meta.is_file() => {
            return Err(Error::new(ErrorKind::Io, "this is not a regular file").with_file(&path));
        }
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    File::open(&path).and_then(|f| f.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(io)?;
    if bytes.len() as u64 > MAX_BYTES {
        let message = format!("the file has more than {MAX_BYTES} bytes");
        return Err(Error::new(ErrorKind::Limit, message).with_file(&path));
    }
    let not_utf8 = |_| Error::new(ErrorKind::Format, "the file is not UTF-8").with_file(&path);
    String::from_utf8(bytes).map(Some).map_err(not_utf8)
}

impl Config {
    /// Reads the file `name` of `folder`; `None` if there is none.
    pub(super) fn read(folder: &Path, name: &str) -> Result<Option<Self>> {
        let Some(text) = read_text(folder, name)? else { return Ok(None) };
        let path = folder.join(name);
        match serde_json::from_str(&text) {
            Ok(Value::Object(map)) => Ok(Some(Self { path, map, part: None })),
            Ok(_) => Err(Error::new(ErrorKind::Format, "the file is not a JSON object").with_file(path)),
            Err(e) => {
                Err(Error::new(ErrorKind::Format, "the file is not JSON").with_source(e).with_file(path))
            }
        }
    }

    /// An empty one, for a file that may be absent.
    pub(super) fn empty(folder: &Path, name: &str) -> Self {
        Self { path: folder.join(name), map: Map::new(), part: None }
    }

    /// Looks keys up in the object under `part` first, if there is one.
    pub(super) fn of_part(mut self, part: &'static str) -> Self {
        self.part = self.map.get(part).is_some_and(Value::is_object).then_some(part);
        self
    }

    /// Has these values for keys that the file does not have.
    pub(super) fn with_defaults(mut self, defaults: &[(&str, f64)]) -> Self {
        for &(key, value) in defaults {
            let part = self.part.and_then(|part| self.map.get(part)?.as_object());
            // `null` is an answer, too.
            if !self.map.contains_key(key) && !part.is_some_and(|part| part.contains_key(key)) {
                self.map.insert(key.to_owned(), Value::from(value));
            }
        }
        self
    }

    /// The value of `key`, a name or several with dots between. `null` is no value.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        let within = |map| {
            let mut names = key.split('.');
            let first = names.next().and_then(|name| Map::get(map, name))?;
            names.try_fold(first, |value, name| value.get(name)).filter(|v| !v.is_null())
        };
        let part = self.part.and_then(|part| self.map.get(part)?.as_object());
        part.and_then(within).or_else(|| within(&self.map))
    }

    /// An error about `key`.
    pub(super) fn error(&self, kind: ErrorKind, key: &str, message: impl Into<String>) -> Error {
        Error::new(kind, message).with_key(key).with_file(&self.path)
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        what: &str,
        of: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match of(value) {
                Some(x) => Ok(Some(x)),
                None => Err(self.error(ErrorKind::Shape, key, format!("expected {what}"))),
            },
        }
    }

    /// An integer that a `u32` holds. (Some tools write sizes as floats.)
    pub(super) fn integer(&self, key: &str) -> Result<Option<u32>> {
        self.typed(key, "an integer from 0 to 2^32 - 1", as_integer)
    }

    /// A finite number.
    pub(super) fn float(&self, key: &str) -> Result<Option<f64>> {
        self.typed(key, "a number", Value::as_f64)
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", Value::as_bool)
    }

    /// A string.
    pub(super) fn text(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, "a string", Value::as_str)
    }

    /// A list of numbers.
    pub(super) fn floats(&self, key: &str) -> Result<Option<Vec<f64>>> {
        let all = |v: &Value| v.as_array()?.iter().map(Value::as_f64).collect();
        self.typed(key, "a list of numbers", all)
    }

    /// An integer, or a list of them.
    pub(super) fn integers(&self, key: &str) -> Result<Option<Vec<u32>>> {
        let all = |v: &Value| match v {
            Value::Array(items) => items.iter().map(as_integer).collect(),
            one => as_integer(one).map(|x| vec![x]),
        };
        self.typed(key, "an integer or a list of integers", all)
    }

    /// A list of strings.
    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<&str>>> {
        self.typed(key, "a list of strings", |v| v.as_array()?.iter().map(Value::as_str).collect())
    }

    /// What `value`, read from `key`, is, or an error that it is missing.
    pub(super) fn need<T>(&self, key: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.error(ErrorKind::Missing, key, "the configuration has no such value"))
    }
}

fn as_integer(value: &Value) -> Option<u32> {
    let whole = value.as_f64().filter(|f| f.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(f));
    value.as_u64().and_then(|x| u32::try_from(x).ok()).or(whole.map(|f| f as u32))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A configuration with this text.
    pub(in crate::hf) fn config(text: &str) -> Config {
        let map = serde_json::from_str(text).expect("an object");
        Config { path: "config.json".into(), map, part: None }
    }

    #[test]
    fn values_have_types() {
        let c = config(
            r#"{"n": 3, "f": 2.0, "x": 0.5, "list": [1, 2], "null": null, "deep": {"er": {"s": "t"}}, "big": 4294967296,
                "text_config": {"n": 4}}"#,
        );
        assert_eq!((c.integer("n").expect("one"), c.integer("f").expect("whole")), (Some(3), Some(2)));
        assert_eq!((c.float("x").expect("one"), c.float("n").expect("one")), (Some(0.5), Some(3.0)));
        assert_eq!(c.text("deep.er.s").expect("a string"), Some("t"));
        assert_eq!((c.get("null"), c.get("deep.none.s"), c.get("n.m")), (None, None, None));
        assert_eq!(
            (c.integers("list").expect("a list"), c.integers("n").expect("one")),
            (Some(vec![1, 2]), Some(vec![3]))
        );
        for key in ["x", "list", "big", "deep"] {
            let e = c.integer(key).expect_err(key);
            assert_eq!((e.kind(), e.key()), (ErrorKind::Shape, Some(key)));
            assert!(e.file().is_some());
        }
        let e = c.need("absent", c.integer("absent").expect("none")).expect_err("absent");
        assert_eq!((e.kind(), e.key()), (ErrorKind::Missing, Some("absent")));
        let part = c.of_part("text_config");
        assert_eq!(
            (part.integer("n").expect("of the part"), part.integer("f").expect("of the whole")),
            (Some(4), Some(2))
        );
    }
}
