//! The typed key/value table of a file.

use std::fmt;

use super::convert::FromValue;
use super::header::{MAX_COPIED_ELEMENTS, MAX_KEY_BYTES, MAX_KEY_BYTES_TOTAL, MAX_STRINGS};
use super::reader::Reader;
use super::value::{Value, ValueType};
use crate::error::{Error, ErrorKind, Result};

/// The metadata of a file: unique keys in the file's order, found by binary search.
#[derive(Default)]
pub struct Metadata {
    /// All keys, one after the other: a hostile file of 100,000 keys costs one allocation, not as many.
    names: String,
    entries: Vec<Entry>,
    /// Indices of `entries`, sorted by key.
    sorted: Vec<u32>,
}

struct Entry {
    /// `names[start..start + len]`
    start: u32,
    len: u32,
    value: Value,
}

impl Metadata {
    /// Reads `count` keys and values.
    pub(crate) fn read(r: &mut Reader<'_>, count: u64) -> Result<Self> {
        let mut all = Self::default();
        let mut budget = MAX_STRINGS;
        let mut places = Vec::new();
        for _ in 0..count {
            places.push(r.at());
            let key = r.name("a metadata key", MAX_KEY_BYTES)?;
            if all.names.len() + key.len() > MAX_KEY_BYTES_TOTAL {
                let message =
                    format!("the metadata keys have more than {MAX_KEY_BYTES_TOTAL} bytes together");
                return Err(Error::new(ErrorKind::Limit, message).with_offset(r.at()));
            }
            let kind = ValueType::read(r).map_err(|e| e.with_key(key))?;
            let value = Value::read(r, kind, &mut budget).map_err(|e| e.with_key(key))?;
            all.entries.push(Entry { start: all.names.len() as u32, len: key.len() as u32, value });
            all.names.push_str(key);
        }
        all.sort(&places)?;
        Ok(all)
    }

    /// Builds the index; `places[i]` is where key `i` is in the file.
    fn sort(&mut self, places: &[u64]) -> Result<()> {
        let mut sorted: Vec<u32> = (0..self.entries.len() as u32).collect();
        // Stable: of two equal keys the later one in the file comes second and is the one reported.
        sorted.sort_by(|&a, &b| self.key(a).cmp(self.key(b)));
        for pair in sorted.windows(2) {
            if self.key(pair[0]) == self.key(pair[1]) {
                let error = Error::new(ErrorKind::Format, "a metadata key is given twice");
                let at = places.get(pair[1] as usize).copied().unwrap_or(0);
                return Err(error.with_key(self.key(pair[1])).with_offset(at));
            }
        }
        self.sorted = sorted;
        Ok(())
    }

    fn key(&self, entry: u32) -> &str {
        self.name_of(&self.entries[entry as usize])
    }

    fn name_of(&self, entry: &Entry) -> &str {
        &self.names[entry.start as usize..(entry.start + entry.len) as usize]
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let found = self.sorted.binary_search_by(|&i| self.key(i).cmp(key)).ok()?;
        Some(&self.entries[self.sorted[found] as usize].value)
    }

    /// All keys and values in the file's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.iter().map(|entry| (self.name_of(entry), &entry.value))
    }

    /// How many keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of `key` as a `T`; `None` if there is no such key, an error if it is something else.
    pub fn optional<T: FromValue>(&self, key: &str) -> Result<Option<T>> {
        self.get(key).map(T::from_value).transpose().map_err(|e| e.with_key(key))
    }

    /// The value of `key` as a `T`; an error if there is no such key or it is something else.
    pub fn require<T: FromValue>(&self, key: &str) -> Result<T> {
        self.optional(key)?
            .ok_or_else(|| Error::new(ErrorKind::Missing, "a metadata key is missing").with_key(key))
    }

    /// One value per layer: an array of exactly `layers` elements, or one value that holds for each of them.
    pub fn per_layer<T: FromValue + Clone>(&self, key: &str, layers: usize) -> Result<Option<Vec<T>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let error = |kind, message| Err(Error::new(kind, message).with_key(key));
        if layers > MAX_COPIED_ELEMENTS {
            return error(
                ErrorKind::Limit,
                format!("{layers} layers, at most {MAX_COPIED_ELEMENTS} are accepted"),
            );
        }
        let Some(array) = value.as_array() else {
            return T::from_value(value).map(|x| Some(vec![x; layers])).map_err(|e| e.with_key(key));
        };
        if array.len() != layers {
            return error(ErrorKind::Shape, format!("{} values for {layers} layers", array.len()));
        }
        Vec::from_value(value).map(Some).map_err(|e| e.with_key(key))
    }

    /// Bytes of heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.names.capacity()
            + self.entries.capacity() * size_of::<Entry>()
            + self.sorted.capacity() * size_of::<u32>()
            + self.entries.iter().map(|e| e.value.heap_bytes()).sum::<usize>()
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(k, v)| (k, v.to_string()))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::arrays::{F32Array, I32Array, StrArray};
    use crate::gguf::bytes::Bytes;
    use crate::gguf::write::WriteValue;

    fn encode<V: WriteValue + ?Sized>(out: &mut Vec<u8>, key: &str, value: &V) {
        out.extend((key.len() as u64).to_le_bytes());
        out.extend(key.as_bytes());
        value.write_value(out);
    }

    fn read(bytes: Vec<u8>, count: u64) -> Result<Metadata> {
        let source = Bytes::from(bytes);
        Metadata::read(&mut Reader::new(&source), count)
    }

    #[test]
    fn typed_access() {
        let mut bytes = Vec::new();
        encode(&mut bytes, "z.number", &5u32);
        encode(&mut bytes, "a.text", "hello");
        encode(&mut bytes, "floats", &[1.0f32, 2.0][..]);
        encode(&mut bytes, "ints", &[3i32, -4][..]);
        encode(&mut bytes, "words", &["x", "yz"][..]);
        encode(&mut bytes, "flag", &true);
        encode(&mut bytes, "flags", &[true, false][..]);
        let meta = read(bytes, 7).expect("valid");
        let keys: Vec<_> = meta.iter().map(|(k, _)| k).collect();
        assert_eq!(
            keys,
            ["z.number", "a.text", "floats", "ints", "words", "flag", "flags"],
            "the file's order"
        );
        assert_eq!((meta.len(), meta.is_empty()), (7, false));
        assert_eq!(meta.require::<u32>("z.number").expect("u32"), 5);
        assert_eq!(meta.require::<String>("a.text").expect("text"), "hello");
        assert_eq!(meta.require::<F32Array>("floats").expect("floats").get(1), Some(2.0));
        assert_eq!(meta.require::<I32Array>("ints").expect("ints").iter().sum::<i32>(), -1);
        assert_eq!(meta.require::<StrArray>("words").expect("words").get(1), Some(&b"yz"[..]));
        assert!(meta.require::<bool>("flag").expect("bool"));
        assert_eq!(meta.require::<Vec<bool>>("flags").expect("bools"), [true, false]);
        assert!(meta.optional::<u32>("absent").expect("not there").is_none() && meta.get("absent").is_none());
        let e = meta.require::<u32>("absent").expect_err("not there");
        assert_eq!((e.kind(), e.key()), (ErrorKind::Missing, Some("absent")));
        let e = meta.optional::<u32>("a.text").expect_err("text");
        assert_eq!((e.kind(), e.key()), (ErrorKind::Shape, Some("a.text")));
        assert!(meta.heap_bytes() > 0);
    }

    #[test]
    fn per_layer_values() {
        let mut bytes = Vec::new();
        encode(&mut bytes, "one", &8u32);
        encode(&mut bytes, "each", &[1i32, 2, 3][..]);
        encode(&mut bytes, "words", &["a", "b", "c"][..]);
        let meta = read(bytes, 3).expect("valid");
        assert_eq!(meta.per_layer::<usize>("one", 3).expect("fits"), Some(vec![8, 8, 8]));
        assert_eq!(meta.per_layer::<usize>("each", 3).expect("fits"), Some(vec![1, 2, 3]));
        assert_eq!(meta.per_layer::<usize>("absent", 3).expect("absent"), None);
        for (key, layers, kind) in [
            ("each", 2, ErrorKind::Shape),
            ("each", 4, ErrorKind::Shape),
            ("words", 3, ErrorKind::Shape),
            ("one", u32::MAX as usize, ErrorKind::Limit),
        ] {
            let e = meta.per_layer::<usize>(key, layers).expect_err(key);
            assert_eq!((e.kind(), e.key()), (kind, Some(key)), "{e}");
        }
    }

    #[test]
    fn refusals_name_the_key() {
        let mut twice = Vec::new();
        encode(&mut twice, "a", &1u32);
        encode(&mut twice, "b", &1u32);
        encode(&mut twice, "a", &2u32);
        let e = read(twice, 3).expect_err("duplicate");
        assert_eq!((e.kind(), e.key(), e.offset()), (ErrorKind::Format, Some("a"), Some(34)));

        let mut bad_bool = Vec::new();
        encode(&mut bad_bool, "flag", &true);
        *bad_bool.last_mut().expect("a byte") = 7;
        let e = read(bad_bool, 1).expect_err("7 is no bool");
        assert_eq!((e.kind(), e.key(), e.offset()), (ErrorKind::Format, Some("flag"), Some(16)));

        let mut bad_type = Vec::new();
        encode(&mut bad_type, "x", &1u32);
        bad_type[9] = 13;
        let e = read(bad_type, 1).expect_err("type 13");
        assert_eq!((e.kind(), e.key(), e.offset()), (ErrorKind::Format, Some("x"), Some(9)));

        let mut long = Vec::new();
        for i in 0..300 {
            encode(&mut long, &format!("{i:05}{}", "k".repeat(65_000)), &true);
        }
        assert_eq!(read(long, 300).expect_err("19 MB of keys").kind(), ErrorKind::Limit);
    }

    #[test]
    fn many_keys_are_not_quadratic() {
        let mut bytes = Vec::new();
        for i in 0..100_000 {
            encode(&mut bytes, &format!("k{i}"), &false);
        }
        let start = std::time::Instant::now();
        let meta = read(bytes, 100_000).expect("valid");
        assert!(meta.get("k99999").is_some());
        assert!(start.elapsed().as_secs() < 5, "took {:?}", start.elapsed());
    }
}
