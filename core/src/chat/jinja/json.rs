//! JSON in and out: values from parsed JSON, and `tojson` as transformers defines it (Python's `json.dumps` with
//! `ensure_ascii=False`, keys in their order, no HTML escaping).

use super::args::CallArgs;
use super::budget::Budget;
use super::value::{Value, float};
use super::{Fault, fault};
use serde_json::Value as Json;

/// A value of a template from JSON.
pub(in crate::chat) fn from_json(json: &Json, budget: &mut Budget) -> Result<Value, Fault> {
    Ok(match json {
        Json::Null => Value::None,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => match n.as_i64() {
            Some(i) => Value::Int(i),
            None => Value::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(s) => {
            budget.bytes(s.len())?;
            Value::str(s.as_str())
        }
        Json::Array(items) => {
            let items = items.iter().map(|i| from_json(i, budget)).collect::<Result<_, _>>()?;
            Value::list(items, budget)?
        }
        Json::Object(entries) => {
            let mut map = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                map.push((Value::str(key.as_str()), from_json(value, budget)?));
            }
            Value::map(map, budget)?
        }
    })
}

/// `value | tojson(ensure_ascii, indent, separators, sort_keys)`
pub(super) fn tojson(value: &Value, args: &CallArgs, budget: &mut Budget) -> Result<Value, Fault> {
    let indent = match args.find(1, "indent") {
        None | Some(Value::None) => None,
        Some(v) => {
            let n = v.as_int().and_then(|n| usize::try_from(n).ok()).filter(|&n| n <= 64);
            Some(n.ok_or_else(|| fault("the argument 'indent' must be a number from 0 to 64"))?)
        }
    };
    let (item, key) = match args.find(2, "separators") {
        None | Some(Value::None) => (if indent.is_some() { "," } else { ", " }.into(), ": ".into()),
        Some(Value::List(l)) if l.items.len() == 2 => (l.items[0].text(budget)?, l.items[1].text(budget)?),
        Some(_) => return Err(fault("the argument 'separators' must be two strings")),
    };
    let mut writer = Writer {
        out: String::new(),
        ascii: args.truth(0, "ensure_ascii", false),
        indent,
        item: &item,
        key: &key,
        sort: args.truth(3, "sort_keys", false),
    };
    writer.value(value, 0, budget)?;
    Ok(Value::str(writer.out))
}

struct Writer<'a> {
    out: String,
    ascii: bool,
    /// Spaces per level; on one line without.
    indent: Option<usize>,
    item: &'a str,
    key: &'a str,
    sort: bool,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, level: usize, budget: &mut Budget) -> Result<(), Fault> {
        budget.steps(1)?;
        match value {
            Value::None => self.text("null", budget),
            Value::Bool(b) => self.text(if *b { "true" } else { "false" }, budget),
            Value::Int(i) => self.text(&i.to_string(), budget),
            Value::Float(f) if f.is_nan() => self.text("NaN", budget),
            Value::Float(f) if f.is_infinite() => {
                self.text(if *f > 0.0 { "Infinity" } else { "-Infinity" }, budget)
            }
            Value::Float(f) => self.text(&float(*f), budget),
            Value::Str(s) => self.string(s, budget),
            Value::List(list) => {
                self.text("[", budget)?;
                for (i, item) in list.items.iter().enumerate() {
                    self.separate(i, level + 1, budget)?;
                    self.value(item, level + 1, budget)?;
                }
                self.close("]", list.items.is_empty(), level, budget)
            }
            Value::Map(map) => {
                let mut entries: Vec<_> = map.entries.iter().map(|(k, v)| (key_text(k), v)).collect();
                budget.bytes(entries.len() * 32)?;
                if self.sort {
                    entries.sort_by(|a, b| a.0.cmp(&b.0));
                }
                self.text("{", budget)?;
                for (i, (key, value)) in entries.iter().enumerate() {
                    self.separate(i, level + 1, budget)?;
                    self.string(key, budget)?;
                    self.text(self.key, budget)?;
                    self.value(value, level + 1, budget)?;
                }
                self.close("}", entries.is_empty(), level, budget)
            }
            _ => Err(fault(format!("a {} has no JSON", value.kind()))),
        }
    }

    fn text(&mut self, text: &str, budget: &mut Budget) -> Result<(), Fault> {
        budget.bytes(text.len())?;
        self.out.push_str(text);
        Ok(())
    }

    fn separate(&mut self, index: usize, level: usize, budget: &mut Budget) -> Result<(), Fault> {
        if index > 0 {
            self.text(self.item, budget)?;
        }
        self.newline(level, budget)
    }

    fn close(&mut self, end: &str, empty: bool, level: usize, budget: &mut Budget) -> Result<(), Fault> {
        if !empty {
            self.newline(level, budget)?;
        }
        self.text(end, budget)
    }

    fn newline(&mut self, level: usize, budget: &mut Budget) -> Result<(), Fault> {
        let Some(indent) = self.indent else { return Ok(()) };
        budget.bytes(1 + indent * level)?;
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(' ', indent * level));
        Ok(())
    }

    fn string(&mut self, s: &str, budget: &mut Budget) -> Result<(), Fault> {
        budget.bytes(s.len() + 2)?;
        self.out.push('"');
        for c in s.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\x08' => self.out.push_str("\\b"),
                '\x0c' => self.out.push_str("\\f"),
                c if (c as u32) < 32 || (self.ascii && !c.is_ascii()) => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        self.out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
        Ok(())
    }
}

/// A key of a JSON object, as Python makes one of a number or a constant.
fn key_text(key: &Value) -> std::borrow::Cow<'_, str> {
    match key {
        Value::Str(s) => (&**s).into(),
        Value::Bool(b) => if *b { "true" } else { "false" }.into(),
        Value::Int(i) => i.to_string().into(),
        Value::Float(f) => float(*f).into(),
        _ => "null".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_python_dumps_it() {
        let mut budget = Budget::new(10_000, 100_000);
        let json: Json =
            serde_json::from_str(r#"{"b": [1, 2.0, "<é\n\u0001>"], "a": {}, "c": [], "d": null}"#)
                .expect("well-formed");
        let value = from_json(&json, &mut budget).expect("shallow");
        let mut dump = |named: &[(&str, Value)]| {
            let named = named.iter().map(|(n, v)| ((*n).into(), v.clone())).collect();
            let args = CallArgs { positional: Vec::new(), named };
            tojson(&value, &args, &mut budget).expect("short").as_str().expect("a string").to_owned()
        };
        assert_eq!(dump(&[]), r#"{"b": [1, 2.0, "<é\n\u0001>"], "a": {}, "c": [], "d": null}"#);
        assert_eq!(
            dump(&[
                ("indent", Value::Int(2)),
                ("sort_keys", Value::Bool(true)),
                ("ensure_ascii", Value::Bool(true))
            ]),
            "{\n  \"a\": {},\n  \"b\": [\n    1,\n    2.0,\n    \"<\\u00e9\\n\\u0001>\"\n  ],\n  \"c\": [],\n  \"d\": null\n}"
        );
    }
}
