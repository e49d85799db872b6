//! Jinja's filters: `value | name(arguments)`.

use super::args::CallArgs;
use super::budget::Budget;
use super::value::Value;
use super::{Fault, fault, format, json, methods, ops, predicates};
use std::cmp::Ordering;

pub(super) type Filter = fn(&Value, &CallArgs, &mut Budget) -> Result<Value, Fault>;

/// The filter of this name.
pub(super) fn find(name: &str) -> Option<Filter> {
    Some(match name {
        "tojson" => json::tojson,
        "safe" | "string" => |v, _, b| v.text(b).map(Value::Str),
        "trim" => trim,
        "upper" => |v, _, b| on_text(v, b, str::to_uppercase),
        "lower" => |v, _, b| on_text(v, b, str::to_lowercase),
        "capitalize" => |v, _, b| on_text(v, b, methods::capitalize),
        "title" => |v, _, b| on_text(v, b, methods::title),
        "escape" | "e" => escape,
        "replace" => |v, args, b| {
            let text = v.text(b)?;
            args.need(1, "new")?;
            methods::replace(
                &text,
                args.str(0, "old", "")?,
                args.str(1, "new", "")?,
                args.int(2, "count", -1)?,
                b,
            )
        },
        "indent" => indent,
        "format" => |v, args, b| {
            let text = v.text(b)?;
            let values = Value::list(args.positional.clone(), b)?;
            format::percent(&text, &values, b)
        },
        "join" => join,
        "default" | "d" => |v, args, _| {
            let absent = matches!(v, Value::Undefined) || (args.truth(1, "boolean", false) && !v.is_true());
            let default = || args.find(0, "default_value").cloned().unwrap_or_else(|| Value::str(""));
            Ok(if absent { default() } else { v.clone() })
        },
        "length" | "count" => |v, _, b| {
            b.steps(v.as_str().map_or(0, str::len) / 64)?;
            let length = v.len().ok_or_else(|| fault(format!("a {} has no length", v.kind())))?;
            Ok(Value::Int(length as i64))
        },
        "first" => |v, _, b| Ok(v.items(b)?.items.first().cloned().unwrap_or(Value::Undefined)),
        "last" => |v, _, b| Ok(v.items(b)?.items.last().cloned().unwrap_or(Value::Undefined)),
        "list" => |v, _, b| Ok(Value::List(v.items(b)?)),
        "items" => |v, _, b| match v {
            Value::Undefined => Value::list(Vec::new(), b),
            _ => methods::pairs(v, b),
        },
        "reverse" => |v, _, b| match v {
            Value::Str(s) => on_text(&Value::Str(s.clone()), b, |s| s.chars().rev().collect()),
            _ => {
                let items = v.items(b)?.items.iter().rev().cloned().collect();
                Value::list(items, b)
            }
        },
        "sort" => |v, args, b| {
            let items = v.items(b)?.items.clone();
            let items = sorted(items, args.find(2, "attribute"), args.truth(1, "case_sensitive", false), b)?;
            Value::list(
                if args.truth(0, "reverse", false) { items.into_iter().rev().collect() } else { items },
                b,
            )
        },
        "dictsort" => dictsort,
        "unique" => unique,
        "min" => |v, args, b| extreme(v, args, Ordering::Less, b),
        "max" => |v, args, b| extreme(v, args, Ordering::Greater, b),
        "sum" => sum,
        "map" => map,
        "select" => |v, args, b| choose(v, args, None, true, b),
        "reject" => |v, args, b| choose(v, args, None, false, b),
        "selectattr" => |v, args, b| choose(v, args, Some(args.need(0, "attribute")?), true, b),
        "rejectattr" => |v, args, b| choose(v, args, Some(args.need(0, "attribute")?), false, b),
        "groupby" => groupby,
        "batch" => batch,
        "attr" => |v, args, _| Ok(methods::attribute(v, args.str(0, "name", "")?)),
        "abs" => |v, _, _| match v {
            Value::Float(f) => Ok(Value::Float(f.abs())),
            _ => match v.as_int().and_then(i64::checked_abs) {
                Some(i) => Ok(Value::Int(i)),
                None => Err(fault(format!("a {} has no absolute value", v.kind()))),
            },
        },
        "int" => int,
        "float" => |v, args, b| {
            let default = args.find(0, "default").cloned().unwrap_or(Value::Float(0.0));
            Ok(match v {
                Value::Str(s) => {
                    b.bytes(s.len())?;
                    s.trim().parse().map(Value::Float).unwrap_or(default)
                }
                _ => v.as_float().map_or(default, Value::Float),
            })
        },
        "round" => round,
        "wordcount" => |v, _, b| Ok(Value::Int(v.text(b)?.split_whitespace().count() as i64)),
        "truncate" => truncate,
        "center" => |v, args, b| {
            let text = v.text(b)?;
            let width = usize::try_from(args.int(0, "width", 80)?).unwrap_or(0);
            let missing = width.saturating_sub(text.chars().count());
            b.bytes(text.len() + missing)?;
            let left = missing / 2 + (missing & width & 1);
            Ok(Value::str(format!("{}{text}{}", " ".repeat(left), " ".repeat(missing - left))))
        },
        _ => return None,
    })
}

fn on_text(value: &Value, budget: &mut Budget, f: fn(&str) -> String) -> Result<Value, Fault> {
    let text = value.text(budget)?;
    budget.bytes(text.len().saturating_mul(3))?; // a capital may be three times as long
    Ok(Value::str(f(&text)))
}

fn trim(value: &Value, args: &CallArgs, budget: &mut Budget) -> Result<Value, Fault> {
    let text = value.text(budget)?;
    budget.bytes(text.len())?;
    Ok(Value::str(match args.find(0, "chars") {
        None | Some(Value::None) => text.trim(),
        Some(chars) => {
            let set: Vec<char> = chars.text(budget)?.chars().collect();
            text.trim_matches(|c| set.contains(&c))
        }
    }))
}

fn escape(value: &Value, _: &CallArgs, budget: &mut Budget) -> Result<Value, Fault> {
    let text = value.text(budget)?;
    budget.bytes(text.len().saturating_mul(5))?;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    Ok(Value::str(out))
}

fn indent(value: &Value, args: &CallArgs, budget: &mut Budget) -> Result<Value, Fault> {
    let text = value.text(budget)?;
    let pad = match args.find(0, "width") {
        Some(Value::Str(s)) => s.to_string(),
        _ => {
            let width = usize::try_from(args.int(0, "width", 4)?).unwrap_or(0);
            budget.bytes(width)?;
            " ".repeat(width)
        }
    };
    let (first, blank) = (args.truth(1, "first", false), args.truth(2, "blank", false));
    let mut out = String::new();
    for (i, line) in text.split('\n').enumerate() {
        budget.bytes(line.len().saturating_add(pad.len()))?;
        if i > 0 {
            out.push('\n');
        }
        if if i == 0 { first } else { blank || !line.is_empty() } {
            out.push_str(&pad);
        }
        out.push_str(line);
    }
    Ok(Value::str(out))
}

fn join(value: &Value, args: &CallArgs, budget: &mut Budget) -> Result<Value, Fault> {
    let separator = match args.find(0, "d") {
        Some(d) => d.text(budget)?,
        None => "".into(),
    };
    match args.find(1, "attribute") {
        None => methods::join(value, &separator, false, budget),
        Some(attribute) => {
            let mut items = Vec::new();
            for item in &value.items(budget)?.items {
                items.push(path(item, attribute, budget)?);
            }
            methods::join(&Value::list(items, budget)?, &separator, false, budget)
        }
    }
}

/// `item.a.b` for the attribute "a.b"; an integer is an index.
fn path(item: &Value, attribute: &Value, budget: &mut Budget) -> Result<Value, Fault> {
    budget.steps(1)?;
    let Some(names) = attribute.as_str() else { return ops::index(item, attribute, budget) };
    let mut value = item.clone();
    for name in names.split('.') {
        budget.steps(1)?;
        value = match name.parse() {
            Ok(i) => ops::index(&value, &Value::Int(i), budget)?,
            Err(_) => ops::index(&value, &Value::str(name), budget)?,
        };
    }
    Ok(value)
}

/// Sorts stably; strings without regard to case unless `case_sensitive`.
fn sorted(
    items: Vec<Value>,
    attribute: Option<&Value>,
    case_sensitive: bool,
    budget: &mut Budget,
) -> Result<Vec<Value>, Fault> {
    let mut keyed = Vec::with_capacity(items.len());
    for item in items {
        let key = match attribute {
            None | Some(Value::None) => item.clone(),
            Some(attribute) => path(&item, attribute, budget)?,
        };
        keyed.push((if case_sensitive { key } else { folded(key, budget)? }, item));
    }
    let mut failure = None;
    keyed.sort_by(|a, b| {
        if failure.is_some() {
            return Ordering::Equal;
        }
        a.0.compare(&b.0, budget).unwrap_or_else(|e| {
            failure = Some(e);
            Ordering::Equal
        })
    });
    match failure {
        Some(e) => Err(e),
        None => Ok(keyed.into_iter().map(|k| k.1).collect()),
    }
}

fn folded(value: Value, budget: &mut Budget) -> Result<Value, Fault> {
    match &value {
        Value::Str(_) => on_text(&value, budget, str::to_lowercase),
        _ => Ok(value),
    }
}

fn dictsort(value: &Value, args: &CallArgs, budget: &mut Budget) -> Result<Value, Fault> {
    let Value::List(list) = methods::pairs(value, budget)? else { return Err(fault("not a mapping")) };
    let by = match args.str(1, "by", "key")? {
        "key" => 0,
        "value" => 1,
        _ => return Err(fault("dictsort sorts by 'key' or 'value'")),
    };
    let sensitive = args.truth(0, "case_sensitive", false);
    let mut items = sorted(list.items.clone(), Some(&Value::Int(by)), sensitive, budget)?;
    if args.truth(2, "reverse", false) {
        items.reverse();
    }
    Value::list(items, budget)
}

fn unique(value: &Value, args: &CallArgs, budget: &mut Budget) -> Result<Value, Fault> {
    let (mut kept, mut keys) = (Vec::new(), Vec::<Value>::new());
    for item in &value.items(budget)?.items {
        let mut key = match args.find(1, "attribute") {
            None | Some(Value::None) => item.clone(),
            Some(attribute) => path(item, attribute, budget)?,
        };
        if !args.truth(0, "case_sensitive", false) {
            key = folded(key, budget)?;
        }
        let mut seen = false;
        for k in &keys {
            seen |= k.equals(&key, budget)?;
        }
        if !seen {
            keys.push(key);
            kept.push(item.clone());
        }
    }
    Value::list(kept, budget)
}

fn extreme(value: &Value, args: &CallArgs, wanted: Ordering, budget: &mut Budget) -> Result<Value, Fault> {
    let attribute = args.find(1, "attribute").cloned();
    let key = |item: &Value, budget: &mut Budget| match &attribute {
        None | Some(Value::None) => Ok(item.clone()),
        Some(attribute) => path(item, attribute, budget),
    };
    let list = value.items(budget)?;
    let mut best: Option<(Value, &Value)> = None;
    for item in &list.items {
        let key = key(item, budget)?;
        let better = match &best {
            Some((b, _)) => key.compare(b, budget)? == wanted,
            None => true,
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(best.map_or(Value::Undefined, |b| b.1.clone()))
}

fn sum(value: &Value, args: &CallArgs, budget: &mut Budget) -> Result<Value, Fault> {
    let mut total = args.find(1, "start").cloned().unwrap_or(Value::Int(0));
    for item in &value.items(budget)?.items {
        let item = match args.find(0, "attribute") {
            None | Some(Value::None) => item.clone(),
            Some(attribute) => path(item, attribute, budget)?,
        };
        total = ops::binary(super::ast::BinaryOp::Add, &total, &item, budget)?;
    }
    Ok(total)
}

fn map(value: &Value, args: &CallArgs, budget: &mut Budget) -> Result<Value, Fault> {
    let mut items = Vec::new();
    if let Some((_, attribute)) = args.named.iter().find(|(n, _)| &**n == "attribute") {
        let default = args.named.iter().find(|(n, _)| &**n == "default").map(|a| &a.1);
        for item in &value.items(budget)?.items {
            let found = path(item, attribute, budget)?;
            items.push(match (&found, default) {
                (Value::Undefined, Some(default)) => default.clone(),
                _ => found,
            });
        }
        return Value::list(items, budget);
    }
    let name = args.str(0, "filter", "")?;
    let filter = find(name).ok_or_else(|| fault(format!("unknown filter '{name}'")))?;
    let rest =
        CallArgs { positional: args.positional.iter().skip(1).cloned().collect(), named: args.named.clone() };
    for item in &value.items(budget)?.items {
        budget.steps(1)?;
        items.push(filter(item, &rest, budget)?);
    }
    Value::list(items, budget)
}

/// The items (or those whose attribute) for which a test holds, or does not; without a test, the true ones.
fn choose(
    value: &Value,
    args: &CallArgs,
    attribute: Option<&Value>,
    wanted: bool,
    budget: &mut Budget,
) -> Result<Value, Fault> {
    let skip = usize::from(attribute.is_some());
    let test = match args.positional.get(skip) {
        None => None,
        Some(name) => {
            let name = name.as_str().unwrap_or("");
            Some(predicates::find(name).ok_or_else(|| fault(format!("unknown test '{name}'")))?)
        }
    };
    let rest =
        CallArgs { positional: args.positional.iter().skip(skip + 1).cloned().collect(), named: Vec::new() };
    let mut kept = Vec::new();
    for item in &value.items(budget)?.items {
        let subject = match attribute {
            Some(attribute) => path(item, attribute, budget)?,
            None => item.clone(),
        };
        budget.steps(1)?;
        let holds = match test {
            Some(test) => test(&subject, &rest, budget)?,
            None => subject.is_true(),
        };
        if holds == wanted {
            kept.push(item.clone());
        }
    }
    Value::list(kept, budget)
}

/// Pairs of a value of the attribute and the items that have it, in the order of the values.
fn groupby(value: &Value, args: &CallArgs, budget: &mut Budget) -> Result<Value, Fault> {
    let attribute = args.need(0, "attribute")?;
    let items = sorted(value.items(budget)?.items.clone(), Some(attribute), false, budget)?;
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for item in items {
        let key = path(&item, attribute, budget)?;
        match groups.last_mut() {
            Some((k, group)) if k.equals(&key, budget)? => group.push(item),
            _ => groups.push((key, vec![item])),
        }
    }
    let mut out = Vec::new();
    for (key, group) in groups {
        let group = Value::list(group, budget)?;
        out.push(Value::tuple(vec![key, group], budget)?);
    }
    Value::list(out, budget)
}

fn batch(value: &Value, args: &CallArgs, budget: &mut Budget) -> Result<Value, Fault> {
    let size = usize::try_from(args.int(0, "linecount", 0)?).ok().filter(|&n| n > 0);
    let size = size.ok_or_else(|| fault("batch takes a number above 0"))?;
    let mut rows = Vec::new();
    for chunk in value.items(budget)?.items.chunks(size) {
        let mut row = chunk.to_vec();
        if let Some(fill) = args.find(1, "fill_with").filter(|f| !matches!(f, Value::None)) {
            budget.bytes((size - row.len()).saturating_mul(size_of::<Value>()))?;
            row.resize(size, fill.clone());
        }
        rows.push(Value::list(row, budget)?);
    }
    Value::list(rows, budget)
}

fn int(value: &Value, args: &CallArgs, budget: &mut Budget) -> Result<Value, Fault> {
    let whole = |f: f64| (f.abs() < 9.2e18).then_some(f as i64);
    let found = match value {
        Value::Str(s) => {
            budget.bytes(s.len())?;
            let s = s.trim();
            let base = u32::try_from(args.int(1, "base", 10)?).ok().filter(|b| (2..=36).contains(b));
            i64::from_str_radix(s, base.unwrap_or(10)).ok().or_else(|| s.parse().ok().and_then(whole))
        }
        Value::Float(f) => whole(*f),
        _ => value.as_int(),
    };
    Ok(found.map_or_else(|| args.find(0, "default").cloned().unwrap_or(Value::Int(0)), Value::Int))
}

fn round(value: &Value, args: &CallArgs, _: &mut Budget) -> Result<Value, Fault> {
    if matches!(value, Value::Int(_)) && args.str(1, "method", "common")? == "common" {
        return Ok(value.clone());
    }
    let number = value.as_float().ok_or_else(|| fault(format!("a {} cannot be rounded", value.kind())))?;
    let precision = args.int(0, "precision", 0)?.clamp(-300, 300);
    let scale = libm::pow(10.0, precision as f64);
    let scaled = number * scale;
    let rounded = match args.str(1, "method", "common")? {
        "common" => libm::rint(scaled), // to even at halves, as Python's round
        "ceil" => libm::ceil(scaled),
        "floor" => libm::floor(scaled),
        _ => return Err(fault("round knows 'common', 'ceil' and 'floor'")),
    };
    Ok(Value::Float(rounded / scale))
}

fn truncate(value: &Value, args: &CallArgs, budget: &mut Budget) -> Result<Value, Fault> {
    let text = value.text(budget)?;
    let length = usize::try_from(args.int(0, "length", 255)?).unwrap_or(0);
    let leeway = usize::try_from(args.int(3, "leeway", 5)?).unwrap_or(0);
    let end = args.str(2, "end", "...")?;
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(Value::Str(text));
    }
    budget.bytes(text.len().saturating_add(end.len()))?;
    let kept: String = text.chars().take(length.saturating_sub(end.chars().count())).collect();
    let kept = if args.truth(1, "killwords", false) {
        kept.as_str()
    } else {
        kept.rsplit_once(' ').map_or(kept.as_str(), |(words, _)| words)
    };
    Ok(Value::str(format!("{kept}{end}")))
}
