//! Attributes and methods of values: Python's, as far as templates use them.

use super::args::CallArgs;
use super::budget::Budget;
use super::value::{Loop, Value};
use super::{Fault, fault, format};

/// `value.name`: undefined if there is none. A method's name gives [`Value::Method`], which can only be called.
pub(super) fn attribute(value: &Value, name: &str) -> Value {
    let method = match value {
        Value::Str(_) => STRING.contains(&name),
        Value::List(_) => LIST.contains(&name),
        // As in Jinja: a method hides a key of its name.
        Value::Map(_) => MAP.contains(&name),
        Value::Loop(state) => return loop_attribute(state, name),
        Value::Namespace(ns) => {
            return ns.borrow().iter().find(|(n, _)| **n == *name).map_or(Value::Undefined, |e| e.1.clone());
        }
        _ => false,
    };
    if method {
        return Value::Method;
    }
    value.entry(name).cloned().unwrap_or(Value::Undefined)
}

const STRING: [&str; 31] = [
    "strip",
    "lstrip",
    "rstrip",
    "split",
    "rsplit",
    "splitlines",
    "startswith",
    "endswith",
    "replace",
    "format",
    "join",
    "upper",
    "lower",
    "title",
    "capitalize",
    "find",
    "rfind",
    "index",
    "count",
    "isdigit",
    "isalpha",
    "isalnum",
    "isspace",
    "isupper",
    "islower",
    "removeprefix",
    "removesuffix",
    "partition",
    "rpartition",
    "zfill",
    "ljust",
];
const LIST: [&str; 2] = ["index", "count"];
const MAP: [&str; 5] = ["get", "items", "keys", "values", "copy"];
/// Python methods that change their object.
const CHANGING: [&str; 11] = [
    "append",
    "extend",
    "insert",
    "pop",
    "remove",
    "reverse",
    "sort",
    "clear",
    "update",
    "setdefault",
    "popitem",
];

/// `value.name(args)`
pub(super) fn call(value: &Value, name: &str, args: &CallArgs, budget: &mut Budget) -> Result<Value, Fault> {
    match value {
        Value::Str(s) if STRING.contains(&name) => string(s, name, args, budget),
        Value::List(list) => match name {
            "index" | "count" => {
                let wanted = args.need(0, "value")?;
                let mut found = Vec::new();
                for (i, item) in list.items.iter().enumerate() {
                    if item.equals(wanted, budget)? {
                        found.push(i);
                    }
                }
                match (name, found.first()) {
                    ("count", _) => Ok(Value::Int(found.len() as i64)),
                    (_, Some(&i)) => Ok(Value::Int(i as i64)),
                    _ => Err(fault("the list has no such item")),
                }
            }
            _ => Err(no_method(value, name)),
        },
        Value::Map(map) => match name {
            "get" => {
                let key = args.need(0, "key")?;
                budget.steps(map.entries.len() / 8)?;
                let found = map.entries.iter().find(|(k, _)| k.same_key(key)).map(|e| &e.1);
                Ok(found.or(args.find(1, "default")).cloned().unwrap_or(Value::None))
            }
            "keys" => Value::list(map.entries.iter().map(|e| e.0.clone()).collect(), budget),
            "values" => Value::list(map.entries.iter().map(|e| e.1.clone()).collect(), budget),
            "items" => pairs(value, budget),
            "copy" => Ok(value.clone()),
            _ => Err(no_method(value, name)),
        },
        Value::Loop(state) => loop_call(state, name, args, budget),
        _ => Err(no_method(value, name)),
    }
}

fn no_method(value: &Value, name: &str) -> Fault {
    let name: String = name.chars().take(40).collect();
    if CHANGING.contains(&&*name) {
        return fault(format!("'{name}' would change a {}, which is not allowed", value.kind()));
    }
    fault(format!("a {} has no method '{name}'", value.kind()))
}

/// The entries of a map as tuples.
pub(super) fn pairs(value: &Value, budget: &mut Budget) -> Result<Value, Fault> {
    let Value::Map(map) = value else {
        return Err(fault(format!("a {} has no items", value.kind())));
    };
    let mut items = Vec::with_capacity(map.entries.len());
    for (key, value) in &map.entries {
        items.push(Value::tuple(vec![key.clone(), value.clone()], budget)?);
    }
    Value::list(items, budget)
}

fn loop_attribute(state: &Loop, name: &str) -> Value {
    let items = &state.items.items;
    let (i, n) = (state.index, items.len());
    let int = |i: usize| Value::Int(i as i64);
    match name {
        "index" => int(i + 1),
        "index0" => int(i),
        "revindex" => int(n - i),
        "revindex0" => int(n - i - 1),
        "first" => Value::Bool(i == 0),
        "last" => Value::Bool(i + 1 == n),
        "length" => int(n),
        "depth" => int(1), // of recursive loops, which there are none of here
        "depth0" => int(0),
        "previtem" => i.checked_sub(1).and_then(|i| items.get(i)).cloned().unwrap_or(Value::Undefined),
        "nextitem" => items.get(i + 1).cloned().unwrap_or(Value::Undefined),
        "cycle" | "changed" => Value::Method,
        _ => Value::Undefined,
    }
}

fn loop_call(state: &Loop, name: &str, args: &CallArgs, budget: &mut Budget) -> Result<Value, Fault> {
    match name {
        "cycle" => {
            let n = args.positional.len();
            args.positional.get(state.index % n.max(1)).cloned().ok_or_else(|| fault("cycle takes arguments"))
        }
        "changed" => {
            let now = Value::list(args.positional.clone(), budget)?;
            let mut last = state.last.borrow_mut();
            let same = match &*last {
                Some(before) => before.equals(&now, budget)?,
                None => false,
            };
            *last = Some(now);
            Ok(Value::Bool(!same))
        }
        _ => Err(fault(format!("the loop has no method '{name}'"))),
    }
}

fn string(s: &str, name: &str, args: &CallArgs, budget: &mut Budget) -> Result<Value, Fault> {
    // Each of these reads the text a few times and makes at most about as much; what makes more pays for itself.
    budget.bytes(s.len())?;
    let all = |test: fn(char) -> bool| Value::Bool(!s.is_empty() && s.chars().all(test));
    let chars = |bytes: usize| s[..bytes].chars().count() as i64;
    Ok(match name {
        "strip" | "lstrip" | "rstrip" => Value::str(strip(s, name, args)?),
        "split" | "rsplit" => return split(s, name == "rsplit", args, budget),
        "splitlines" => {
            let keep = args.truth(0, "keepends", false);
            let lines =
                s.split_inclusive('\n').map(|l| if keep { l } else { l.strip_suffix('\n').unwrap_or(l) });
            return strings(lines, budget);
        }
        "startswith" | "endswith" => {
            let fits = |v: &Value| match v.as_str() {
                Some(part) if name == "startswith" => Ok(s.starts_with(part)),
                Some(part) => Ok(s.ends_with(part)),
                None => Err(fault(format!("{name} takes strings, not a {}", v.kind()))),
            };
            match args.need(0, "prefix")? {
                Value::List(list) => {
                    let mut any = false;
                    for part in &list.items {
                        any |= fits(part)?;
                    }
                    Value::Bool(any)
                }
                part => Value::Bool(fits(part)?),
            }
        }
        "replace" => {
            args.need(1, "new")?;
            return replace(
                s,
                args.str(0, "old", "")?,
                args.str(1, "new", "")?,
                args.int(2, "count", -1)?,
                budget,
            );
        }
        "format" => return format::braces(s, args, budget),
        "join" => return join(args.need(0, "iterable")?, s, true, budget),
        "upper" => Value::str(s.to_uppercase()),
        "lower" => Value::str(s.to_lowercase()),
        "title" => Value::str(title(s)),
        "capitalize" => Value::str(capitalize(s)),
        "find" => Value::Int(s.find(args.str(0, "sub", "")?).map_or(-1, chars)),
        "rfind" => Value::Int(s.rfind(args.str(0, "sub", "")?).map_or(-1, chars)),
        "index" => match s.find(args.str(0, "sub", "")?) {
            Some(at) => Value::Int(chars(at)),
            None => return Err(fault("the text has no such part")),
        },
        "count" => {
            let part = args.str(0, "sub", "")?;
            let n = if part.is_empty() { s.chars().count() + 1 } else { s.matches(part).count() };
            Value::Int(n as i64)
        }
        "isdigit" => all(char::is_numeric),
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isspace" => all(char::is_whitespace),
        "isupper" => Value::Bool(s.chars().any(char::is_uppercase) && !s.chars().any(char::is_lowercase)),
        "islower" => Value::Bool(s.chars().any(char::is_lowercase) && !s.chars().any(char::is_uppercase)),
        "removeprefix" => Value::str(s.strip_prefix(args.str(0, "prefix", "")?).unwrap_or(s)),
        "removesuffix" => Value::str(s.strip_suffix(args.str(0, "suffix", "")?).unwrap_or(s)),
        "partition" | "rpartition" => {
            let sep = args.str(0, "sep", "")?;
            if sep.is_empty() {
                return Err(fault("an empty separator"));
            }
            let parts = match if name == "partition" { s.split_once(sep) } else { s.rsplit_once(sep) } {
                Some((a, b)) => [a, sep, b],
                None if name == "partition" => [s, "", ""],
                None => ["", "", s],
            };
            return Value::tuple(parts.map(Value::str).into(), budget);
        }
        "zfill" | "ljust" => {
            let width = usize::try_from(args.int(0, "width", 0)?).unwrap_or(0);
            let missing = width.saturating_sub(s.chars().count());
            budget.bytes(missing)?;
            let (sign, digits) = if s.starts_with(['-', '+']) { s.split_at(1) } else { ("", s) };
            Value::str(match name {
                "zfill" => format!("{sign}{}{digits}", "0".repeat(missing)),
                _ => format!("{s}{}", " ".repeat(missing)),
            })
        }
        _ => return Err(fault(format!("a string has no method '{name}'"))),
    })
}

fn strip<'a>(s: &'a str, name: &str, args: &CallArgs) -> Result<&'a str, Fault> {
    let set: Option<Vec<char>> = match args.find(0, "chars") {
        None | Some(Value::None) => None,
        Some(v) => match v.as_str() {
            Some(set) => Some(set.chars().collect()),
            None => return Err(fault(format!("{name} takes a string, not a {}", v.kind()))),
        },
    };
    let cut = |c: char| set.as_ref().map_or(c.is_whitespace(), |set| set.contains(&c));
    let s = if name == "rstrip" { s } else { s.trim_start_matches(cut) };
    Ok(if name == "lstrip" { s } else { s.trim_end_matches(cut) })
}

/// A list of strings.
pub(super) fn strings<'a>(parts: impl Iterator<Item = &'a str>, budget: &mut Budget) -> Result<Value, Fault> {
    let mut items = Vec::new();
    for part in parts {
        budget.bytes(part.len() + size_of::<Value>())?;
        items.push(Value::str(part));
    }
    Value::list(items, budget)
}

fn split(s: &str, from_right: bool, args: &CallArgs, budget: &mut Budget) -> Result<Value, Fault> {
    let limit = usize::try_from(args.int(1, "maxsplit", -1)?).ok();
    let mut parts: Vec<&str> = Vec::new();
    budget.bytes(s.len() * size_of::<&str>())?;
    match args.find(0, "sep") {
        None | Some(Value::None) => {
            // Runs of white space separate; none is at either end.
            let mut rest = if from_right { s.trim_end() } else { s.trim_start() };
            while !rest.is_empty() {
                let at = if limit.is_some_and(|n| parts.len() >= n) {
                    None
                } else if from_right {
                    rest.char_indices()
                        .rev()
                        .find(|(_, c)| c.is_whitespace())
                        .map(|(i, c)| (i, i + c.len_utf8()))
                } else {
                    rest.char_indices().find(|(_, c)| c.is_whitespace()).map(|(i, c)| (i, i + c.len_utf8()))
                };
                let (part, next) = match at {
                    None => (rest, ""),
                    Some((start, end)) if from_right => (&rest[end..], rest[..start].trim_end()),
                    Some((start, end)) => (&rest[..start], rest[end..].trim_start()),
                };
                parts.push(part);
                rest = next;
            }
        }
        Some(sep) => {
            let Some(sep) = sep.as_str().filter(|s| !s.is_empty()) else {
                return Err(fault("the separator must be a string that is not empty"));
            };
            match (limit, from_right) {
                (None, _) => return strings(s.split(sep), budget),
                (Some(n), false) => parts.extend(s.splitn(n.saturating_add(1), sep)),
                (Some(n), true) => parts.extend(s.rsplitn(n.saturating_add(1), sep)),
            }
        }
    }
    if from_right {
        parts.reverse();
    }
    strings(parts.into_iter(), budget)
}

/// Replaces the first `count` occurrences, all for a negative count.
pub(super) fn replace(
    s: &str,
    old: &str,
    new: &str,
    count: i64,
    budget: &mut Budget,
) -> Result<Value, Fault> {
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    let found = if old.is_empty() { s.chars().count() + 1 } else { s.matches(old).count() };
    budget.bytes(s.len().saturating_add(found.min(limit).saturating_mul(new.len())))?;
    Ok(Value::str(s.replacen(old, new, limit)))
}

/// The items with `separator` between them; `strict` wants strings.
pub(super) fn join(
    items: &Value,
    separator: &str,
    strict: bool,
    budget: &mut Budget,
) -> Result<Value, Fault> {
    let mut out = String::new();
    for (i, item) in items.items(budget)?.items.iter().enumerate() {
        if i > 0 {
            budget.bytes(separator.len())?;
            out.push_str(separator);
        }
        if strict && item.as_str().is_none() {
            return Err(fault(format!("join takes strings, not a {}", item.kind())));
        }
        item.write(&mut out, budget)?;
    }
    Ok(Value::str(out))
}

pub(super) fn capitalize(s: &str) -> String {
    let mut chars = s.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars.as_str().to_lowercase().chars()).collect(),
        None => String::new(),
    }
}

pub(super) fn title(s: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(s.len());
    for c in s.chars() {
        match (c.is_alphabetic(), inside) {
            (true, false) => out.extend(c.to_uppercase()),
            (true, true) => out.extend(c.to_lowercase()),
            _ => out.push(c),
        }
        inside = c.is_alphabetic();
    }
    out
}
