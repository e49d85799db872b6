//! The arguments of a call, evaluated.

use super::value::Value;
use super::{Fault, fault};
use std::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct CallArgs {
    pub(super) positional: Vec<Value>,
    pub(super) named: Vec<(Arc<str>, Value)>,
}

impl CallArgs {
    /// The argument at `position` or called `name`.
    pub(super) fn find(&self, position: usize, name: &str) -> Option<&Value> {
        self.positional.get(position).or_else(|| self.named.iter().find(|(n, _)| **n == *name).map(|a| &a.1))
    }

    /// The same, without which the call is an error.
    pub(super) fn need(&self, position: usize, name: &str) -> Result<&Value, Fault> {
        self.find(position, name).ok_or_else(|| fault(format!("the argument '{name}' is missing")))
    }

    pub(super) fn int(&self, position: usize, name: &str, default: i64) -> Result<i64, Fault> {
        match self.find(position, name) {
            None | Some(Value::None) => Ok(default),
            Some(v) => v.as_int().ok_or_else(|| wrong(name, "an integer", v)),
        }
    }

    pub(super) fn str<'a>(&'a self, position: usize, name: &str, default: &'a str) -> Result<&'a str, Fault> {
        match self.find(position, name) {
            None | Some(Value::None) => Ok(default),
            Some(v) => v.as_str().ok_or_else(|| wrong(name, "a string", v)),
        }
    }

    pub(super) fn truth(&self, position: usize, name: &str, default: bool) -> bool {
        self.find(position, name).map_or(default, Value::is_true)
    }
}

fn wrong(name: &str, wanted: &str, found: &Value) -> Fault {
    fault(format!("the argument '{name}' must be {wanted}, not a {}", found.kind()))
}
