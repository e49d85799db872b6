//! Text from formats: `'%s' % x`, `'{}'.format(x)`, `strftime_now`.

use super::args::CallArgs;
use super::budget::Budget;
use super::value::{Value, float};
use super::{Fault, fault};
use crate::chat::Date;
use std::fmt::Write;

/// How one value is to be written.
#[derive(Default)]
struct Spec {
    left: bool,
    center: bool,
    right: bool,
    plus: bool,
    zero: bool,
    fill: Option<char>,
    width: usize,
    precision: Option<usize>,
    kind: char,
}

impl Spec {
    fn write(&self, value: &Value, out: &mut String, budget: &mut Budget) -> Result<(), Fault> {
        let precision = self.precision.unwrap_or(6);
        if precision > 100 {
            return Err(fault("a precision above 100"));
        }
        let number = || value.as_float().ok_or_else(|| fault(format!("a {} is not a number", value.kind())));
        let mut text = match self.kind {
            'd' | 'i' | 'x' | 'X' => {
                let whole = match value {
                    Value::Float(f) if f.is_finite() && self.kind != 'x' && self.kind != 'X' => *f as i64,
                    _ => value
                        .as_int()
                        .ok_or_else(|| fault(format!("a {} is not an integer", value.kind())))?,
                };
                match self.kind {
                    'x' if whole < 0 => format!("-{:x}", whole.unsigned_abs()),
                    'x' => format!("{whole:x}"),
                    'X' if whole < 0 => format!("-{:X}", whole.unsigned_abs()),
                    'X' => format!("{whole:X}"),
                    _ => whole.to_string(),
                }
            }
            'f' | 'F' => format!("{:.precision$}", number()?),
            'e' => {
                let text = format!("{:.precision$e}", number()?);
                let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let exponent: i32 = exponent.parse().unwrap_or(0);
                let sign = if exponent < 0 { '-' } else { '+' };
                format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
            }
            'g' => float(number()?).trim_end_matches(".0").to_owned(),
            'r' => {
                let text = Value::list(vec![value.clone()], budget)?.text(budget)?;
                text[1..text.len() - 1].to_owned()
            }
            _ => {
                let text = value.text(budget)?;
                match self.precision {
                    Some(n) => text.chars().take(n).collect(),
                    None => text.to_string(),
                }
            }
        };
        let numeric = !matches!(self.kind, 's' | 'r' | 'a');
        if self.plus && numeric && !text.starts_with('-') {
            text.insert(0, '+');
        }
        let missing = self.width.saturating_sub(text.chars().count());
        budget.bytes(text.len().saturating_add(missing.saturating_mul(4)))?;
        let fill = self.fill.unwrap_or(' ');
        let pad = |out: &mut String, n: usize| out.extend(std::iter::repeat_n(fill, n));
        if self.zero && numeric && !self.left {
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+'])));
            out.push_str(sign);
            out.extend(std::iter::repeat_n('0', missing));
            out.push_str(digits);
            return Ok(());
        }
        let before = if self.left {
            0
        } else if self.center {
            missing / 2
        } else {
            missing
        };
        pad(out, before);
        out.push_str(&text);
        pad(out, missing - before);
        Ok(())
    }
}

/// Reads digits; an error beyond what a width can sensibly be (the budget bounds the rest).
fn number(text: &mut &str) -> Result<Option<usize>, Fault> {
    let length = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(length);
    *text = rest;
    if digits.is_empty() {
        return Ok(None);
    }
    digits.parse().map(Some).map_err(|_| fault("a number too large in a format"))
}

/// `format % values`
pub(super) fn percent(format: &str, values: &Value, budget: &mut Budget) -> Result<Value, Fault> {
    let list = match values {
        Value::List(list) => list.items.clone(),
        other => vec![other.clone()],
    };
    let mut values_left = list.into_iter();
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        budget.bytes(at)?;
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let mut spec = Spec::default();
        let mut named = None;
        if let Some(inner) = rest.strip_prefix('(') {
            let end = inner.find(')').ok_or_else(|| fault("a format name without ')'"))?;
            named = Some(&inner[..end]);
            rest = &inner[end + 1..];
        }
        while let Some(flag) = rest.chars().next().filter(|c| "-+0 #".contains(*c)) {
            spec.left |= flag == '-';
            spec.plus |= flag == '+';
            spec.zero |= flag == '0';
            rest = &rest[1..];
        }
        spec.width = number(&mut rest)?.unwrap_or(0);
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            spec.precision = Some(number(&mut rest)?.unwrap_or(0));
        }
        let mut chars = rest.chars();
        spec.kind = chars.next().ok_or_else(|| fault("a format that ends with '%'"))?;
        rest = chars.as_str();
        match spec.kind {
            '%' => out.push('%'),
            's' | 'r' | 'a' | 'd' | 'i' | 'x' | 'X' | 'f' | 'F' | 'e' | 'g' => {
                let value = match named {
                    Some(name) => values.entry(name).cloned(),
                    None => values_left.next(),
                };
                spec.write(&value.ok_or_else(|| fault("too few values for a format"))?, &mut out, budget)?;
            }
            kind => return Err(fault(format!("the format '%{}' is not supported", kind.escape_default()))),
        }
    }
    budget.bytes(rest.len())?;
    out.push_str(rest);
    Ok(Value::str(out))
}

/// `format.format(args)`: `{}`, `{0}`, `{name}`, and `:[[fill]align][+][0][width][.precision][kind]`.
pub(super) fn braces(format: &str, args: &CallArgs, budget: &mut Budget) -> Result<Value, Fault> {
    let mut out = String::new();
    let mut next = 0;
    let mut rest = format;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let open = rest.as_bytes()[at] == b'{';
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(if open { '{' } else { '}' }) {
            out.push(if open { '{' } else { '}' });
            rest = after;
            continue;
        }
        let end = rest.find('}').filter(|_| open).ok_or_else(|| fault("a single brace in a format"))?;
        let field = &rest[..end];
        rest = &rest[end + 1..];
        let (name, spec) = field.split_once(':').unwrap_or((field, ""));
        let value = match (name.is_empty(), name.parse::<usize>()) {
            (true, _) => {
                next += 1;
                args.positional.get(next - 1)
            }
            (_, Ok(position)) => args.positional.get(position),
            _ => args.named.iter().find(|(n, _)| **n == *name).map(|a| &a.1),
        };
        let value = value.ok_or_else(|| fault("too few values for a format"))?;
        brace_spec(spec, value)?.write(value, &mut out, budget)?;
    }
    out.push_str(rest);
    Ok(Value::str(out))
}

fn brace_spec(text: &str, value: &Value) -> Result<Spec, Fault> {
    let mut spec = Spec::default();
    let mut rest = text;
    let align = |c: char| "<>^".contains(c);
    let mut chars = text.chars();
    let (first, second) = (chars.next(), chars.next());
    let alignment = match (first, second) {
        (Some(fill), Some(a)) if align(a) => {
            spec.fill = Some(fill);
            rest = chars.as_str();
            Some(a)
        }
        (Some(a), _) if align(a) => {
            rest = &text[1..];
            Some(a)
        }
        _ => None,
    };
    if let Some(after) = rest.strip_prefix('+') {
        spec.plus = true;
        rest = after;
    }
    if let Some(after) = rest.strip_prefix('0') {
        spec.zero = alignment.is_none();
        rest = after;
    }
    spec.width = number(&mut rest)?.unwrap_or(0);
    if let Some(after) = rest.strip_prefix('.') {
        rest = after;
        spec.precision = Some(number(&mut rest)?.unwrap_or(0));
    }
    let numeric = value.as_float().is_some();
    spec.kind = match rest {
        "" if matches!(value, Value::Float(_)) && spec.precision.is_some() => 'f',
        "" if matches!(value, Value::Int(_)) => 'd',
        "" => 's',
        "s" | "d" | "x" | "X" | "f" | "F" | "e" | "g" => rest.chars().next().unwrap_or('s'),
        _ => return Err(fault("a format that is not supported")),
    };
    spec.left = alignment == Some('<') || (alignment.is_none() && !numeric);
    spec.center = alignment == Some('^');
    spec.right = !spec.left && !spec.center;
    Ok(spec)
}

/// `now` in words, with C's format letters.
pub(super) fn strftime(format: &str, now: Date, budget: &mut Budget) -> Result<String, Fault> {
    const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    budget.bytes(format.len() * 16)?;
    let day = DAYS[now.weekday() as usize % 7];
    let month = MONTHS[(now.month as usize).saturating_sub(1) % 12];
    let hour12 = (now.hour + 11) % 12 + 1;
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut letter = chars.next();
        let bare = letter == Some('-'); // glibc: no padding
        if bare {
            letter = chars.next();
        }
        let mut two = |n: u32| if bare { write!(out, "{n}") } else { write!(out, "{n:02}") };
        let written = match letter {
            Some('d') => two(now.day.into()),
            Some('m') => two(now.month.into()),
            Some('H') => two(now.hour.into()),
            Some('I') => two(hour12.into()),
            Some('M') => two(now.minute.into()),
            Some('S') => two(now.second.into()),
            Some('y') => two((now.year.rem_euclid(100)) as u32),
            Some('j') if bare => write!(out, "{}", now.day_of_year()),
            Some('j') => write!(out, "{:03}", now.day_of_year()),
            Some('e') => write!(out, "{:2}", now.day),
            Some('Y') => write!(out, "{}", now.year),
            Some('F') => write!(out, "{}-{:02}-{:02}", now.year, now.month, now.day),
            Some('T') => write!(out, "{:02}:{:02}:{:02}", now.hour, now.minute, now.second),
            Some('A') => write!(out, "{day}"),
            Some('a') => write!(out, "{}", &day[..3]),
            Some('B') => write!(out, "{month}"),
            Some('b' | 'h') => write!(out, "{}", &month[..3]),
            Some('p') => write!(out, "{}", if now.hour < 12 { "AM" } else { "PM" }),
            Some('w') => write!(out, "{}", (now.weekday() + 1) % 7),
            Some('u') => write!(out, "{}", now.weekday() + 1),
            Some('%') => write!(out, "%"),
            Some('n') => writeln!(out),
            _ => return Err(fault("a date format that is not supported")),
        };
        written.map_err(|_| fault("the date cannot be written"))?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_formats() {
        let mut budget = Budget::new(10_000, 10_000);
        let mut fmt = |format: &str, values: Vec<Value>| {
            let values = Value::list(values, &mut budget)?;
            Ok::<_, Fault>(percent(format, &values, &mut budget)?.as_str().expect("a string").to_owned())
        };
        let text = fmt(
            "%s|%5d|%-4d|%05.1f|%x|%%|%r",
            vec![
                Value::str("a"),
                Value::Int(42),
                Value::Int(7),
                Value::Float(-2.25),
                Value::Int(255),
                Value::str("q"),
            ],
        );
        assert_eq!(text.expect("valid"), "a|   42|7   |-02.2|ff|%|'q'");
        assert!(fmt("%1000000000s", vec![Value::str("a")]).is_err());
        assert!(fmt("%99999999999999999999999s", vec![Value::str("a")]).is_err());
        assert!(fmt("%s %s", vec![Value::str("a")]).is_err());
        assert!(fmt("%", vec![]).is_err());
    }

    #[test]
    fn brace_formats() {
        let mut budget = Budget::new(10_000, 10_000);
        let args = CallArgs {
            positional: vec![Value::str("a"), Value::Int(42), Value::Float(2.5)],
            named: vec![("n".into(), Value::Int(-3))],
        };
        let mut fmt =
            |format: &str| braces(format, &args, &mut budget).map(|v| v.as_str().map(str::to_owned));
        assert_eq!(fmt("{} {} {{{}}}").expect("valid").as_deref(), Some("a 42 {2.5}"));
        assert_eq!(
            fmt("{1:>5}|{0:<3}|{0:*^5}|{2:.2f}|{n:04d}").expect("valid").as_deref(),
            Some("   42|a  |**a**|2.50|-003")
        );
        for bad in ["{", "}", "{9}", "{x}", "{0:?}", "{:999999999999}"] {
            assert!(fmt(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dates() {
        let mut budget = Budget::new(10_000, 10_000);
        let now = Date { year: 2026, month: 2, day: 3, hour: 14, minute: 5, second: 6 };
        let text = strftime("%A %a %d %-d %B %b %Y %y %H:%M:%S %I %p %j %F %%", now, &mut budget);
        assert_eq!(
            text.expect("valid"),
            "Tuesday Tue 03 3 February Feb 2026 26 14:05:06 02 PM 034 2026-02-03 %"
        );
        assert!(strftime("%Q", now, &mut budget).is_err());
    }
}
