//! Jinja's tests: `value is name(arguments)`.

use super::args::CallArgs;
use super::ast::CompareOp;
use super::budget::Budget;
use super::value::Value;
use super::{Fault, fault, filters, ops};

pub(super) type Predicate = fn(&Value, &CallArgs, &mut Budget) -> Result<bool, Fault>;

/// The test of this name.
pub(super) fn find(name: &str) -> Option<Predicate> {
    Some(match name {
        "defined" => |v, _, _| Ok(!matches!(v, Value::Undefined)),
        "undefined" => |v, _, _| Ok(matches!(v, Value::Undefined)),
        "none" => |v, _, _| Ok(matches!(v, Value::None)),
        "boolean" => |v, _, _| Ok(matches!(v, Value::Bool(_))),
        "true" => |v, _, _| Ok(matches!(v, Value::Bool(true))),
        "false" => |v, _, _| Ok(matches!(v, Value::Bool(false))),
        "integer" => |v, _, _| Ok(matches!(v, Value::Int(_))),
        "float" => |v, _, _| Ok(matches!(v, Value::Float(_))),
        "number" => |v, _, _| Ok(v.as_float().is_some()),
        "string" => |v, _, _| Ok(matches!(v, Value::Str(_))),
        "mapping" => |v, _, _| Ok(matches!(v, Value::Map(_))),
        "sequence" | "iterable" => |v, _, _| Ok(v.len().is_some()),
        "callable" => |v, _, _| Ok(matches!(v, Value::Macro { .. } | Value::Function(_) | Value::Method)),
        "odd" => |v, _, _| int(v).map(|i| i % 2 != 0),
        "even" => |v, _, _| int(v).map(|i| i % 2 == 0),
        "divisibleby" => |v, args, _| match (int(v)?, int(args.need(0, "num")?)?) {
            (_, 0) => Err(fault("division by zero")),
            (v, n) => Ok(v.checked_rem(n).unwrap_or(0) == 0),
        },
        "lower" => |v, _, b| {
            let text = v.text(b)?;
            Ok(text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase))
        },
        "upper" => |v, _, b| {
            let text = v.text(b)?;
            Ok(text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase))
        },
        "eq" | "equalto" | "==" => |v, args, b| ops::compare(CompareOp::Eq, v, args.need(0, "other")?, b),
        "sameas" => |v, args, b| {
            let other = args.need(0, "other")?;
            let same_type = std::mem::discriminant(v) == std::mem::discriminant(other);
            Ok(same_type && v.equals(other, b)?)
        },
        "ne" | "!=" => |v, args, b| ops::compare(CompareOp::Ne, v, args.need(0, "other")?, b),
        "lt" | "lessthan" | "<" => |v, args, b| ops::compare(CompareOp::Lt, v, args.need(0, "other")?, b),
        "le" | "<=" => |v, args, b| ops::compare(CompareOp::Le, v, args.need(0, "other")?, b),
        "gt" | "greaterthan" | ">" => |v, args, b| ops::compare(CompareOp::Gt, v, args.need(0, "other")?, b),
        "ge" | ">=" => |v, args, b| ops::compare(CompareOp::Ge, v, args.need(0, "other")?, b),
        "in" => |v, args, b| ops::compare(CompareOp::In, v, args.need(0, "seq")?, b),
        "filter" => |v, _, _| Ok(v.as_str().is_some_and(|name| filters::find(name).is_some())),
        "test" => |v, _, _| Ok(v.as_str().is_some_and(|name| find(name).is_some())),
        _ => return None,
    })
}

fn int(value: &Value) -> Result<i64, Fault> {
    value.as_int().ok_or_else(|| fault(format!("a {} is not an integer", value.kind())))
}
