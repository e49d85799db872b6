//! Results: one record per test, kept as JSON, so that a comparison can be run in pieces.

use std::fmt;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::Failure;

/// One test of one model at a number of threads, and what each side reached.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Record {
    /// The table that it belongs to.
    pub(super) table: String,
    pub(super) model: String,
    pub(super) test: String,
    pub(super) threads: usize,
    /// By name; a value for each run.
    pub(super) sides: Vec<(String, Vec<f64>)>,
    /// Operations per token that count against the machine's peak (two per multiply-add).
    pub(super) ops: f64,
    /// Bytes per token that have to be read.
    pub(super) bytes: f64,
    /// What the machine reaches: operations per second for prefill, bytes per second for decode. 0 if not measured.
    pub(super) limit: f64,
    /// When, and at which priority.
    pub(super) run: String,
}

impl Record {
    pub(super) fn side(&self, name: &str) -> Option<Spread> {
        let values = &self.sides.iter().find(|s| s.0 == name)?.1;
        if values.is_empty() { None } else { Some(Spread::of(values.clone())) }
    }

    /// The part of the machine's limit that `rate` tokens per second are.
    pub(super) fn share(&self, rate: f64) -> Option<f64> {
        let work = if self.test.starts_with("prefill") { self.ops } else { self.bytes };
        (self.limit > 0.0 && work > 0.0).then(|| rate * work / self.limit)
    }

    fn key(&self) -> (&str, &str, &str, usize) {
        (&self.table, &self.model, &self.test, self.threads)
    }

    fn json(&self) -> Value {
        let sides = self.sides.iter().map(|(name, values)| json!([name, values]));
        json!({
            "table": self.table, "model": self.model, "test": self.test, "threads": self.threads,
            "sides": sides.collect::<Vec<_>>(), "ops": self.ops, "bytes": self.bytes, "limit": self.limit, "run": self.run,
        })
    }

    fn from_json(v: &Value) -> Option<Self> {
        let text = |key: &str| Some(v[key].as_str()?.to_string());
        let side = |s: &Value| {
            let values = s[1].as_array()?.iter().map(Value::as_f64);
            Some((s[0].as_str()?.to_string(), values.collect::<Option<Vec<_>>>()?))
        };
        Some(Self {
            table: text("table")?,
            model: text("model")?,
            test: text("test")?,
            threads: usize::try_from(v["threads"].as_u64()?).ok()?,
            sides: v["sides"].as_array()?.iter().map(side).collect::<Option<_>>()?,
            ops: v["ops"].as_f64()?,
            bytes: v["bytes"].as_f64()?,
            limit: v["limit"].as_f64()?,
            run: text("run")?,
        })
    }
}

/// All that was measured, and on what.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Results {
    pub(super) machine: String,
    pub(super) records: Vec<Record>,
}

impl Results {
    /// What `path` holds; nothing if it is not there.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let all: Value = serde_json::from_slice(&fs::read(path)?)?;
        let records = all["records"].as_array().and_then(|r| r.iter().map(Record::from_json).collect());
        let records =
            records.ok_or_else(|| format!("{}: not what `compare --json` wrote", path.display()))?;
        Ok(Self { machine: all["machine"].as_str().unwrap_or_default().to_string(), records })
    }

    pub(super) fn save(&self, path: &Path) -> Result<(), Failure> {
        // A line per record: changes are easy to see.
        let records: Vec<String> = self.records.iter().map(|r| r.json().to_string()).collect();
        let machine = json!(self.machine);
        Ok(fs::write(
            path,
            format!("{{\"machine\": {machine}, \"records\": [\n{}\n]}}\n", records.join(",\n")),
        )?)
    }

    /// Adds a record, or takes the place of an older one of the same test.
    pub(super) fn put(&mut self, record: Record) {
        match self.records.iter_mut().find(|r| r.key() == record.key()) {
            Some(old) => *old = record,
            None => self.records.push(record),
        }
    }

    pub(super) fn table(&self, name: &str) -> Vec<&Record> {
        self.records.iter().filter(|r| r.table == name).collect()
    }
}

/// Lowest, median and highest of several runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) low: f64,
    pub(super) median: f64,
    pub(super) high: f64,
}

impl Spread {
    pub(super) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let n = values.len();
        let at = |i: usize| values.get(i).copied().unwrap_or(f64::NAN);
        let median =
            if n.is_multiple_of(2) { (at(n / 2) + at((n / 2).wrapping_sub(1))) / 2.0 } else { at(n / 2) };
        Self { low: at(0), median, high: at(n.wrapping_sub(1)) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.median >= 1000.0 {
            0
        } else if self.median >= 10.0 {
            1
        } else {
            3
        };
        write!(f, "{:.digits$} ({:.digits$} to {:.digits$})", self.median, self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let s = Spread::of(vec![3.0, 1.0, 2.0]);
        assert_eq!((s.low, s.median, s.high), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of(vec![4.0, 1.0]).median, 2.5);
        assert!(Spread::of(vec![]).median.is_nan());
        assert_eq!(Spread::of(vec![0.5, 0.25, 1.0]).to_string(), "0.500 (0.250 to 1.000)");
        assert_eq!(Spread::of(vec![1500.0]).to_string(), "1500 (1500 to 1500)");
    }

    #[test]
    fn results_survive_the_file_and_newer_ones_take_their_place() {
        let record = |test: &str, value| Record {
            table: "speed".into(),
            model: "m".into(),
            test: test.into(),
            threads: 2,
            sides: vec![("siskin".into(), vec![value]), ("peer".into(), vec![])],
            ops: 2e9,
            bytes: 1e8,
            limit: 1e10,
            run: "today".into(),
        };
        let mut results = Results { machine: "a \"machine\"".into(), records: Vec::new() };
        results.put(record("prefill 512", 1.0));
        results.put(record("decode", 2.0));
        results.put(record("prefill 512", 3.0));
        assert_eq!(results.records, [record("prefill 512", 3.0), record("decode", 2.0)]);
        let path = std::env::temp_dir().join(format!("xtask-results-{}", std::process::id()));
        assert_eq!(Results::open(&path).expect("absent is empty"), Results::default());
        results.save(&path).expect("written");
        assert_eq!(Results::open(&path).expect("read"), results);
        fs::write(&path, "{\"records\": [{}]}").expect("written");
        assert!(Results::open(&path).is_err());
        fs::remove_file(&path).expect("clean up");
    }

    #[test]
    fn shares_count_operations_in_prefill_and_bytes_in_decode() {
        let mut r =
            Record { ops: 2.0, bytes: 3.0, limit: 12.0, test: "prefill 512".into(), ..Record::default() };
        assert_eq!(r.share(3.0), Some(0.5));
        r.test = "decode 64".into();
        assert_eq!(r.share(3.0), Some(0.75));
        r.limit = 0.0;
        assert_eq!(r.share(3.0), None);
    }
}
