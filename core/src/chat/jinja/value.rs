//! The values of a template: Python's, as far as templates see them.
//!
//! Values are immutable (as in the sandbox that transformers uses), except for namespaces. Lists and maps know how
//! deep they nest and are refused beyond [`MAX_DEPTH`], so that printing, comparing and dropping them is bounded.

use super::budget::Budget;
use super::{Fault, fault};
use std::cell::RefCell;
use std::cmp::Ordering;
use std::rc::Rc;
use std::sync::Arc;

/// The most levels of lists and maps in each other.
pub(super) const MAX_DEPTH: usize = 64;

#[derive(Clone, Debug)]
pub(in crate::chat) enum Value {
    /// A variable, key or attribute that is not there.
    Undefined,
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Arc<str>),
    List(Rc<List>),
    Map(Rc<Map>),
    Namespace(Rc<Namespace>),
    Loop(Rc<Loop>),
    /// A macro of the template by its index, and the scope it was defined in.
    Macro {
        index: usize,
        scope: usize,
    },
    /// A global function.
    Function(&'static str),
    /// A method taken from a value without calling it.
    Method,
}

/// The attributes of a namespace.
pub(in crate::chat) type Namespace = RefCell<Vec<(Arc<str>, Value)>>;

#[derive(Debug)]
pub(in crate::chat) struct List {
    pub(super) items: Vec<Value>,
    /// Whether this is a tuple: printed with round brackets, never equal to a list.
    tuple: bool,
    depth: usize,
}

/// A dictionary in the order of insertion.
#[derive(Debug, Default)]
pub(in crate::chat) struct Map {
    pub(super) entries: Vec<(Value, Value)>,
    depth: usize,
}

/// The `loop` variable in one iteration.
#[derive(Debug)]
pub(in crate::chat) struct Loop {
    pub(super) items: Rc<List>,
    /// 0-based.
    pub(super) index: usize,
    /// What `changed` saw last.
    pub(super) last: Rc<RefCell<Option<Value>>>,
}

/// Bytes that a list's or map's slot counts for in the budget.
const SLOT: usize = size_of::<Value>();

impl Value {
    pub(in crate::chat) fn str(text: impl Into<Arc<str>>) -> Self {
        Self::Str(text.into())
    }

    /// A list; an error if it nests too deep.
    pub(in crate::chat) fn list(items: Vec<Value>, budget: &mut Budget) -> Result<Self, Fault> {
        budget.bytes(items.len() * SLOT + SLOT)?;
        let depth = depth_above(items.iter())?;
        Ok(Self::List(Rc::new(List { items, tuple: false, depth })))
    }

    /// A tuple; an error if it nests too deep.
    pub(super) fn tuple(items: Vec<Value>, budget: &mut Budget) -> Result<Self, Fault> {
        budget.bytes(items.len() * SLOT + SLOT)?;
        let depth = depth_above(items.iter())?;
        Ok(Self::List(Rc::new(List { items, tuple: true, depth })))
    }

    /// A map; of equal keys the last value stays, at the first one's place.
    pub(in crate::chat) fn map(entries: Vec<(Value, Value)>, budget: &mut Budget) -> Result<Self, Fault> {
        budget.bytes((entries.len() + 1) * 2 * SLOT)?;
        let mut unique: Vec<(Value, Value)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            if !matches!(key, Self::Str(_) | Self::Int(_) | Self::Bool(_) | Self::None | Self::Float(_)) {
                return Err(fault(format!("a {} cannot be a key", key.kind())));
            }
            budget.steps(unique.len() / 8)?;
            match unique.iter_mut().find(|(k, _)| k.same_key(&key)) {
                Some((_, old)) => *old = value,
                None => unique.push((key, value)),
            }
        }
        let depth = depth_above(unique.iter().map(|e| &e.1))?;
        Ok(Self::Map(Rc::new(Map { entries: unique, depth })))
    }

    fn depth(&self) -> usize {
        match self {
            Self::List(l) => l.depth,
            Self::Map(m) => m.depth,
            _ => 0,
        }
    }

    /// The name of the type, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Undefined => "undefined value",
            Self::None => "none",
            Self::Bool(_) => "boolean",
            Self::Int(_) | Self::Float(_) => "number",
            Self::Str(_) => "string",
            Self::List(_) => "list",
            Self::Map(_) => "mapping",
            Self::Namespace(_) => "namespace",
            Self::Loop(_) => "loop",
            Self::Macro { .. } => "macro",
            Self::Function(_) | Self::Method => "function",
        }
    }

    /// Python's truth.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Undefined | Self::None => false,
            Self::Bool(b) => *b,
            Self::Int(i) => *i != 0,
            Self::Float(f) => *f != 0.0,
            Self::Str(s) => !s.is_empty(),
            Self::List(l) => !l.items.is_empty(),
            Self::Map(m) => !m.entries.is_empty(),
            _ => true,
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(s) => Some(s),
            _ => None,
        }
    }

    /// A whole number; booleans are numbers too.
    pub(super) fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(i) => Some(*i),
            Self::Bool(b) => Some(i64::from(*b)),
            _ => None,
        }
    }

    pub(super) fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(f) => Some(*f),
            _ => self.as_int().map(|i| i as f64),
        }
    }

    /// The value of `key` in a map.
    pub(super) fn entry(&self, key: &str) -> Option<&Value> {
        let Self::Map(map) = self else { return None };
        map.entries.iter().find(|(k, _)| k.as_str() == Some(key)).map(|e| &e.1)
    }

    pub(super) fn len(&self) -> Option<usize> {
        match self {
            Self::Undefined => Some(0),
            Self::Str(s) => Some(s.chars().count()),
            Self::List(l) => Some(l.items.len()),
            Self::Map(m) => Some(m.entries.len()),
            _ => None,
        }
    }

    /// The items that a loop over this value sees.
    pub(super) fn items(&self, budget: &mut Budget) -> Result<Rc<List>, Fault> {
        let items = match self {
            Self::List(list) => return Ok(list.clone()),
            Self::Undefined => Vec::new(),
            Self::Str(s) => {
                budget.bytes(s.len() * SLOT)?;
                let mut buffer = [0; 4];
                s.chars().map(|c| Value::str(&*c.encode_utf8(&mut buffer))).collect()
            }
            Self::Map(m) => m.entries.iter().map(|e| e.0.clone()).collect(),
            _ => return Err(fault(format!("cannot loop over a {}", self.kind()))),
        };
        match Self::list(items, budget)? {
            Self::List(list) => Ok(list),
            _ => Err(fault("not a list")),
        }
    }

    /// Whether two keys are one, as Python's dictionaries have it (1, 1.0 and True are).
    pub(super) fn same_key(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Str(a), Self::Str(b)) => a == b,
            (Self::None, Self::None) => true,
            _ => matches!((self.as_float(), other.as_float()), (Some(a), Some(b)) if a == b),
        }
    }

    /// Python's `==`.
    pub(super) fn equals(&self, other: &Self, budget: &mut Budget) -> Result<bool, Fault> {
        budget.steps(1)?;
        Ok(match (self, other) {
            (Self::Undefined, Self::Undefined) | (Self::None, Self::None) => true,
            (Self::Str(a), Self::Str(b)) => {
                budget.steps(a.len().min(b.len()) / 64)?;
                a == b
            }
            (Self::List(a), Self::List(b)) => {
                if a.tuple != b.tuple || a.items.len() != b.items.len() {
                    return Ok(false);
                }
                for (x, y) in a.items.iter().zip(&b.items) {
                    if !x.equals(y, budget)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Self::Map(a), Self::Map(b)) => {
                if a.entries.len() != b.entries.len() {
                    return Ok(false);
                }
                for (key, x) in &a.entries {
                    budget.steps(b.entries.len() / 8)?;
                    match b.entries.iter().find(|(k, _)| k.same_key(key)) {
                        Some((_, y)) if x.equals(y, budget)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            (Self::Namespace(a), Self::Namespace(b)) => Rc::ptr_eq(a, b),
            (Self::Int(a), Self::Int(b)) => a == b,
            _ => matches!((self.as_float(), other.as_float()), (Some(a), Some(b)) if a == b),
        })
    }

    /// Python's order; an error where Python has none.
    pub(super) fn compare(&self, other: &Self, budget: &mut Budget) -> Result<Ordering, Fault> {
        budget.steps(1)?;
        let none = || fault(format!("cannot order a {} and a {}", self.kind(), other.kind()));
        match (self, other) {
            (Self::Str(a), Self::Str(b)) => {
                budget.steps(a.len().min(b.len()) / 64)?;
                Ok(a.cmp(b))
            }
            (Self::Int(a), Self::Int(b)) => Ok(a.cmp(b)),
            (Self::List(a), Self::List(b)) => {
                for (x, y) in a.items.iter().zip(&b.items) {
                    if !x.equals(y, budget)? {
                        return x.compare(y, budget);
                    }
                }
                Ok(a.items.len().cmp(&b.items.len()))
            }
            _ => match (self.as_float(), other.as_float()) {
                (Some(a), Some(b)) => a.partial_cmp(&b).ok_or_else(none),
                _ => Err(none()),
            },
        }
    }

    /// Python's `item in self`.
    pub(super) fn contains(&self, item: &Self, budget: &mut Budget) -> Result<bool, Fault> {
        match self {
            Self::Str(s) => {
                budget.steps(s.len() / 64 + 1)?;
                match item {
                    Self::Str(part) => Ok(s.contains(&**part)),
                    _ => Err(fault(format!("cannot look for a {} in a string", item.kind()))),
                }
            }
            Self::List(list) => {
                for value in &list.items {
                    if value.equals(item, budget)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Map(map) => {
                budget.steps(map.entries.len() / 8)?;
                Ok(map.entries.iter().any(|(k, _)| k.same_key(item)))
            }
            Self::Namespace(ns) => Ok(ns.borrow().iter().any(|(k, _)| item.as_str() == Some(k))),
            Self::Undefined => Ok(false),
            _ => Err(fault(format!("cannot look into a {}", self.kind()))),
        }
    }

    /// Appends what Python's `str` gives.
    pub(super) fn write(&self, out: &mut String, budget: &mut Budget) -> Result<(), Fault> {
        match self {
            Self::Undefined => Ok(()),
            Self::Str(s) => {
                budget.bytes(s.len())?;
                out.push_str(s);
                Ok(())
            }
            _ => self.write_repr(out, budget),
        }
    }

    /// What Python's `str` gives.
    pub(super) fn text(&self, budget: &mut Budget) -> Result<Arc<str>, Fault> {
        if let Self::Str(s) = self {
            return Ok(s.clone());
        }
        let mut out = String::new();
        self.write(&mut out, budget)?;
        Ok(out.into())
    }

    /// Appends what Python's `repr` gives.
    fn write_repr(&self, out: &mut String, budget: &mut Budget) -> Result<(), Fault> {
        budget.steps(1)?;
        let before = out.len();
        match self {
            Self::Undefined => out.push_str("Undefined"),
            Self::None => out.push_str("None"),
            Self::Bool(b) => out.push_str(if *b { "True" } else { "False" }),
            Self::Int(i) => out.push_str(&i.to_string()),
            Self::Float(f) => out.push_str(&float(*f)),
            Self::Str(s) => {
                budget.bytes(s.len())?;
                quote(s, out);
            }
            Self::List(list) => {
                out.push(if list.tuple { '(' } else { '[' });
                for (i, item) in list.items.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { ", " });
                    item.write_repr(out, budget)?;
                }
                out.push_str(match (list.tuple, list.items.len()) {
                    (true, 1) => ",)",
                    (true, _) => ")",
                    _ => "]",
                });
            }
            Self::Map(map) => {
                for (i, (key, value)) in map.entries.iter().enumerate() {
                    out.push_str(if i == 0 { "{" } else { ", " });
                    key.write_repr(out, budget)?;
                    out.push_str(": ");
                    value.write_repr(out, budget)?;
                }
                out.push_str(if map.entries.is_empty() { "{}" } else { "}" });
            }
            other => {
                out.push('<');
                out.push_str(other.kind());
                out.push('>');
            }
        }
        if matches!(self, Self::List(_) | Self::Map(_)) { Ok(()) } else { budget.bytes(out.len() - before) }
    }

    /// Values that a list, map or namespace may hold: a namespace inside of itself would never be freed.
    pub(super) fn storable(&self) -> Result<(), Fault> {
        match self {
            Self::Namespace(_) | Self::Loop(_) => Err(fault(format!("a {} cannot be stored", self.kind()))),
            _ => Ok(()),
        }
    }
}

fn depth_above<'a>(children: impl Iterator<Item = &'a Value>) -> Result<usize, Fault> {
    let mut depth = 0;
    for child in children {
        child.storable()?;
        depth = depth.max(child.depth());
    }
    if depth >= MAX_DEPTH {
        return Err(fault(format!("more than {MAX_DEPTH} lists or mappings in each other")));
    }
    Ok(depth + 1)
}

/// A float as Python's `repr` writes it.
pub(super) fn float(f: f64) -> String {
    if f.is_nan() {
        return "nan".to_owned();
    }
    if f.is_infinite() {
        return if f > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    // Rust's shortest digits are Python's; only the choice between fixed and exponent differs.
    let scientific = format!("{f:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let fixed = format!("{f}");
        return if fixed.contains('.') { fixed } else { fixed + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

/// A string as Python's `repr` writes it.
fn quote(s: &str, out: &mut String) {
    let quote = if s.contains('\'') && !s.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in s.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() && (c as u32) < 256 => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_python_writes_them() {
        for (f, text) in [
            (1.0, "1.0"),
            (21.5, "21.5"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e-5, "1.5e-05"),
            (0.0001, "0.0001"),
            (-0.0, "-0.0"),
            (1e300, "1e+300"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(float(f), text);
        }
    }

    #[test]
    fn repr_as_python_writes_it() {
        let mut budget = Budget::new(1000, 10_000);
        let b = &mut budget;
        let inner = Value::map(vec![(Value::str("k"), Value::None), (Value::Int(1), Value::Bool(true))], b);
        let items =
            vec![Value::str("it's"), Value::str("a\n\"'"), inner.expect("shallow"), Value::Float(2.0)];
        let list = Value::list(items, b).expect("shallow");
        assert_eq!(&*list.text(b).expect("short"), r#"["it's", 'a\n"\'', {'k': None, 1: True}, 2.0]"#);
    }

    #[test]
    fn depth_and_budget_are_bounded() {
        let mut budget = Budget::new(100_000, 1_000_000);
        let mut value = Value::None;
        for _ in 0..MAX_DEPTH {
            value = Value::list(vec![value], &mut budget).expect("not too deep");
        }
        assert!(Value::list(vec![value], &mut budget).is_err());
        // A tree of shared halves is small in memory and exponential to print or compare.
        let mut tree = Value::Int(1);
        for _ in 0..60 {
            tree = Value::list(vec![tree.clone(), tree], &mut budget).expect("not too deep");
        }
        assert!(tree.equals(&tree.clone(), &mut budget).is_err());
        assert!(tree.text(&mut Budget::new(100_000, 1_000_000)).is_err());
    }
}
