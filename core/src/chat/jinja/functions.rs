//! The global functions: `range`, `dict`, `namespace`, `raise_exception`, `strftime_now`.

use super::args::CallArgs;
use super::budget::Budget;
use super::value::Value;
use super::{Fault, fault, format};
use crate::chat::Date;
use std::cell::RefCell;
use std::rc::Rc;

/// The longest range, as in Jinja2's sandbox.
const MAX_RANGE: usize = 100_000;

/// The function of this name, undefined if there is none. `strftime_now` is there only if a date was given.
pub(super) fn find(name: &str, now: Option<Date>) -> Value {
    const FUNCTIONS: [&str; 5] = ["range", "dict", "namespace", "raise_exception", "strftime_now"];
    match FUNCTIONS.into_iter().find(|f| *f == name) {
        Some("strftime_now") if now.is_none() => Value::Undefined,
        Some(function) => Value::Function(function),
        None => Value::Undefined,
    }
}

pub(super) fn call(
    name: &str,
    args: &CallArgs,
    now: Option<Date>,
    budget: &mut Budget,
) -> Result<Value, Fault> {
    match name {
        "range" => range(args, budget),
        "raise_exception" => {
            let message = args.need(0, "message")?.text(budget)?;
            let shown: String = message.chars().take(200).collect();
            Err(fault(format!("the template refuses these messages: {shown}")))
        }
        "strftime_now" => {
            let now = now.ok_or_else(|| fault("no date was given"))?;
            format::strftime(args.str(0, "format", "")?, now, budget).map(Value::str)
        }
        _ => {
            let mut entries = Vec::new();
            if let Some(first) = args.positional.first() {
                let Value::Map(map) = first else {
                    return Err(fault(format!("{name} takes a mapping, not a {}", first.kind())));
                };
                entries.extend(map.entries.iter().cloned());
            }
            entries.extend(args.named.iter().map(|(n, v)| (Value::Str(n.clone()), v.clone())));
            let map = Value::map(entries, budget)?;
            let Value::Map(map) = map else { return Ok(map) };
            if name == "dict" {
                return Ok(Value::Map(map));
            }
            let fields = map.entries.iter().filter_map(|(k, v)| match k {
                Value::Str(name) => Some((name.clone(), v.clone())),
                _ => None,
            });
            Ok(Value::Namespace(Rc::new(RefCell::new(fields.collect()))))
        }
    }
}

fn range(args: &CallArgs, budget: &mut Budget) -> Result<Value, Fault> {
    let bound = |i: usize| {
        let value = &args.positional[i];
        value.as_int().ok_or_else(|| fault(format!("range takes integers, not a {}", value.kind())))
    };
    let (start, stop, step) = match args.positional.len() {
        1 => (0, bound(0)?, 1),
        2 => (bound(0)?, bound(1)?, 1),
        3 => (bound(0)?, bound(1)?, bound(2)?),
        n => return Err(fault(format!("range takes 1 to 3 arguments, not {n}"))),
    };
    let span = i128::from(stop) - i128::from(start);
    let step = i128::from(step);
    if step == 0 {
        return Err(fault("range with step 0"));
    }
    let count = if (span > 0) == (step > 0) { (span.abs() + step.abs() - 1) / step.abs() } else { 0 };
    let Some(count) = usize::try_from(count).ok().filter(|&n| n <= MAX_RANGE) else {
        return Err(fault(format!("range of more than {MAX_RANGE} numbers")));
    };
    // All lie between the bounds, which are 64-bit integers.
    let items = (0..count as i128).map(|i| Value::Int((i128::from(start) + i * step) as i64)).collect();
    Value::list(items, budget)
}
