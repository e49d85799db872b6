//! Operators with Python's meaning, on 64-bit integers: overflow is an error.

use super::ast::{BinaryOp, CompareOp};
use super::budget::Budget;
use super::value::Value;
use super::{Fault, fault, format};
use std::cmp::Ordering;

pub(super) fn binary(op: BinaryOp, a: &Value, b: &Value, budget: &mut Budget) -> Result<Value, Fault> {
    use BinaryOp as Op;
    match (op, a, b) {
        (Op::Concat, _, _) => {
            let mut out = String::new();
            a.write(&mut out, budget)?;
            b.write(&mut out, budget)?;
            return Ok(Value::str(out));
        }
        (Op::Add, Value::Str(x), Value::Str(y)) => {
            budget.bytes(x.len() + y.len())?;
            return Ok(Value::str([&**x, &**y].concat()));
        }
        (Op::Add, Value::List(x), Value::List(y)) => {
            budget.bytes((x.items.len() + y.items.len()) * size_of::<Value>())?;
            return Value::list(x.items.iter().chain(&y.items).cloned().collect(), budget);
        }
        (Op::Mul, Value::Str(s), n) | (Op::Mul, n, Value::Str(s)) if n.as_int().is_some() => {
            let n = usize::try_from(n.as_int().unwrap_or(0)).unwrap_or(0);
            budget.bytes(s.len().saturating_mul(n))?;
            return Ok(Value::str(s.repeat(n)));
        }
        (Op::Mul, Value::List(l), n) | (Op::Mul, n, Value::List(l)) if n.as_int().is_some() => {
            let n = usize::try_from(n.as_int().unwrap_or(0)).unwrap_or(0);
            budget.bytes(l.items.len().saturating_mul(n).saturating_mul(size_of::<Value>()))?;
            let total = l.items.len() * n;
            return Value::list(l.items.iter().cycle().take(total).cloned().collect(), budget);
        }
        (Op::Rem, Value::Str(s), _) => return format::percent(s, b, budget),
        _ => {}
    }
    if let (Some(x), Some(y)) = (a.as_int(), b.as_int())
        && let Some(result) = integers(op, x, y)?
    {
        return Ok(result);
    }
    match (a.as_float(), b.as_float()) {
        (Some(x), Some(y)) => floats(op, x, y).map(Value::Float),
        _ => Err(fault(format!("cannot {} a {} and a {}", verb(op), a.kind(), b.kind()))),
    }
}

fn verb(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "add",
        BinaryOp::Sub => "subtract",
        BinaryOp::Mul => "multiply",
        BinaryOp::Div | BinaryOp::FloorDiv | BinaryOp::Rem => "divide",
        BinaryOp::Pow => "raise to a power",
        BinaryOp::Concat => "join",
    }
}

/// The result for two integers, or `None` if it is that of floats.
fn integers(op: BinaryOp, x: i64, y: i64) -> Result<Option<Value>, Fault> {
    let result = match op {
        BinaryOp::Add => x.checked_add(y),
        BinaryOp::Sub => x.checked_sub(y),
        BinaryOp::Mul => x.checked_mul(y),
        BinaryOp::FloorDiv | BinaryOp::Rem if y == 0 => return Err(fault("division by zero")),
        // Python rounds down, and a remainder has the sign of the divisor.
        BinaryOp::FloorDiv => x.checked_div(y).map(|q| q - i64::from(x % y != 0 && (x < 0) != (y < 0))),
        BinaryOp::Rem => x.checked_rem(y).map(|r| if r != 0 && (r < 0) != (y < 0) { r + y } else { r }),
        BinaryOp::Pow if y >= 0 => u32::try_from(y).ok().and_then(|y| x.checked_pow(y)),
        BinaryOp::Pow | BinaryOp::Div | BinaryOp::Concat => return Ok(None),
    };
    match result {
        Some(i) => Ok(Some(Value::Int(i))),
        None => Err(fault("an integer beyond 64 bits")),
    }
}

fn floats(op: BinaryOp, x: f64, y: f64) -> Result<f64, Fault> {
    if y == 0.0 && matches!(op, BinaryOp::Div | BinaryOp::FloorDiv | BinaryOp::Rem) {
        return Err(fault("division by zero"));
    }
    Ok(match op {
        BinaryOp::Add => x + y,
        BinaryOp::Sub => x - y,
        BinaryOp::Mul => x * y,
        BinaryOp::Div => x / y,
        BinaryOp::FloorDiv => libm::floor(x / y),
        BinaryOp::Rem => x - y * libm::floor(x / y),
        BinaryOp::Pow => libm::pow(x, y),
        BinaryOp::Concat => return Err(fault("not a number")),
    })
}

pub(super) fn compare(op: CompareOp, a: &Value, b: &Value, budget: &mut Budget) -> Result<bool, Fault> {
    Ok(match op {
        CompareOp::Eq => a.equals(b, budget)?,
        CompareOp::Ne => !a.equals(b, budget)?,
        CompareOp::In => b.contains(a, budget)?,
        CompareOp::NotIn => !b.contains(a, budget)?,
        CompareOp::Lt => a.compare(b, budget)? == Ordering::Less,
        CompareOp::Le => a.compare(b, budget)? != Ordering::Greater,
        CompareOp::Gt => a.compare(b, budget)? == Ordering::Greater,
        CompareOp::Ge => a.compare(b, budget)? != Ordering::Less,
    })
}

pub(super) fn negate(value: &Value) -> Result<Value, Fault> {
    match value {
        Value::Float(f) => Ok(Value::Float(-f)),
        _ => match value.as_int() {
            Some(i) => i.checked_neg().map(Value::Int).ok_or_else(|| fault("an integer beyond 64 bits")),
            None => Err(fault(format!("cannot negate a {}", value.kind()))),
        },
    }
}

/// `value[index]`: undefined if there is no such item.
pub(super) fn index(value: &Value, index: &Value, budget: &mut Budget) -> Result<Value, Fault> {
    match (value, index) {
        (Value::Undefined, _) => Err(fault("an undefined value has no items")),
        (Value::Map(map), key) => {
            budget.steps(map.entries.len() / 8)?;
            let found = map.entries.iter().find(|(k, _)| k.same_key(key));
            Ok(found.map_or(Value::Undefined, |e| e.1.clone()))
        }
        (Value::List(list), i) if i.as_int().is_some() => {
            let at = place(i.as_int().unwrap_or(0), list.items.len());
            Ok(at.and_then(|at| list.items.get(at)).cloned().unwrap_or(Value::Undefined))
        }
        (Value::Str(s), i) if i.as_int().is_some() => {
            budget.steps(s.len() / 64)?;
            let at = place(i.as_int().unwrap_or(0), s.chars().count());
            let mut buffer = [0; 4];
            let found = at.and_then(|at| s.chars().nth(at));
            Ok(found.map_or(Value::Undefined, |c| Value::str(&*c.encode_utf8(&mut buffer))))
        }
        (Value::Namespace(ns), Value::Str(key)) => {
            Ok(ns.borrow().iter().find(|(k, _)| k == key).map_or(Value::Undefined, |e| e.1.clone()))
        }
        _ => Ok(Value::Undefined),
    }
}

/// A Python index as a position.
fn place(index: i64, len: usize) -> Option<usize> {
    if index >= 0 {
        usize::try_from(index).ok()
    } else {
        len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)
    }
}

/// `value[start:stop:step]`
pub(super) fn slice(value: &Value, parts: [&Value; 3], budget: &mut Budget) -> Result<Value, Fault> {
    let part = |value: &Value| match value {
        Value::None => Ok(None),
        _ => value.as_int().map(Some).ok_or_else(|| fault(format!("a {} is no slice bound", value.kind()))),
    };
    let (start, stop, step) = (part(parts[0])?, part(parts[1])?, part(parts[2])?.unwrap_or(1));
    if step == 0 {
        return Err(fault("a slice with step 0"));
    }
    match value {
        Value::Str(s) => {
            budget.bytes(s.len() * 4)?;
            let chars: Vec<char> = s.chars().collect();
            let picked: String = positions(start, stop, step, chars.len()).map(|i| chars[i]).collect();
            Ok(Value::str(picked))
        }
        Value::List(list) => {
            let items = positions(start, stop, step, list.items.len()).map(|i| list.items[i].clone());
            Value::list(items.collect(), budget)
        }
        Value::Undefined => Err(fault("an undefined value has no items")),
        _ => Err(fault(format!("cannot slice a {}", value.kind()))),
    }
}

/// The positions of a Python slice, all below `len`.
fn positions(start: Option<i64>, stop: Option<i64>, step: i64, len: usize) -> impl Iterator<Item = usize> {
    let len = len as i128;
    let clamp = |bound: i64, low: i128, high: i128| {
        let bound = i128::from(bound);
        (if bound < 0 { bound + len } else { bound }).clamp(low, high)
    };
    let (start, stop) = if step > 0 {
        (start.map_or(0, |s| clamp(s, 0, len)), stop.map_or(len, |s| clamp(s, 0, len)))
    } else {
        (start.map_or(len - 1, |s| clamp(s, -1, len - 1)), stop.map_or(-1, |s| clamp(s, -1, len - 1)))
    };
    let step = i128::from(step);
    let mut at = start;
    std::iter::from_fn(move || {
        let inside = if step > 0 { at < stop } else { at > stop };
        let here = at as usize;
        at += step;
        inside.then_some(here)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_as_python_has_them() {
        let pick = |start, stop, step| positions(start, stop, step, 5).collect::<Vec<_>>();
        assert_eq!(pick(None, None, 1), [0, 1, 2, 3, 4]);
        assert_eq!(pick(Some(1), Some(-1), 1), [1, 2, 3]);
        assert_eq!(pick(Some(-2), None, 1), [3, 4]);
        assert_eq!(pick(None, None, -1), [4, 3, 2, 1, 0]);
        assert_eq!(pick(Some(3), Some(0), -2), [3, 1]);
        assert_eq!(pick(Some(-99), Some(99), 2), [0, 2, 4]);
        assert_eq!(pick(Some(i64::MIN), Some(i64::MAX), i64::MAX), [0]);
        assert_eq!(pick(None, None, i64::MIN), [4]);
        assert_eq!(positions(None, None, -1, 0).count(), 0);
    }

    #[test]
    fn arithmetic_as_python_has_it() {
        let mut budget = Budget::new(1000, 1000);
        let mut int = |op, a, b| match binary(op, &Value::Int(a), &Value::Int(b), &mut budget) {
            Ok(Value::Int(i)) => i.to_string(),
            Ok(Value::Float(f)) => super::super::value::float(f),
            Ok(other) => format!("{other:?}"),
            Err(e) => e.message,
        };
        use BinaryOp as Op;
        assert_eq!(int(Op::FloorDiv, -7, 2), "-4");
        assert_eq!(int(Op::Rem, -7, 2), "1");
        assert_eq!(int(Op::Rem, 7, -2), "-1");
        assert_eq!(int(Op::Div, 7, 2), "3.5");
        assert_eq!(int(Op::Pow, 2, -1), "0.5");
        assert_eq!(int(Op::FloorDiv, i64::MIN, -1), "an integer beyond 64 bits");
        assert_eq!(int(Op::Rem, i64::MIN, -1), "an integer beyond 64 bits");
        assert_eq!(int(Op::Pow, 2, 100_000), "an integer beyond 64 bits");
        assert_eq!(int(Op::Rem, 1, 0), "division by zero");
        assert_eq!(int(Op::Div, 1, 0), "division by zero");
    }
}
