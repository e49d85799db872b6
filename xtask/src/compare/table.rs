//! Results as Markdown tables.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::load;
use super::record::{Record, Results};

/// Ours, whose figures the ratios are of.
const OURS: &str = "siskin";

/// The table called `name`, with a line on how it was measured.
pub(super) fn render(results: &Results, name: &str) -> String {
    let records = results.table(name);
    if records.is_empty() {
        return String::from("Not measured yet.");
    }
    let runs: BTreeSet<&str> = records.iter().map(|r| r.run.as_str()).collect();
    let runs = runs.into_iter().collect::<Vec<_>>().join("; ");
    let body = match name {
        "load" => loads(&records),
        _ => plain(&records),
    };
    format!("{}; {runs}; medians of runs in turn (lowest to highest).\n\n{body}", results.machine)
}

/// A row per test, a column per side, and ours as a multiple of each.
fn plain(records: &[&Record]) -> String {
    let mut sides: Vec<&str> = Vec::new();
    for (name, _) in records.iter().flat_map(|r| &r.sides) {
        if !sides.contains(&name.as_str()) {
            sides.push(name);
        }
    }
    let peers: Vec<&str> = sides.iter().copied().filter(|s| !s.starts_with(OURS)).collect();
    let limited = records.iter().any(|r| r.limit > 0.0);
    let mut head = vec!["model".to_string(), "test".into(), "threads".into(), "runs".into()];
    head.extend(sides.iter().map(|s| (*s).to_string()));
    head.extend(peers.iter().map(|p| format!("{OURS} / {p}")));
    if limited {
        head.push("of the limit".into());
    }
    let mut out = row(&head) + &row(&rule(head.len(), 2));
    for r in records {
        let ours = r.side(OURS);
        let runs = r.sides.iter().map(|s| s.1.len()).max().unwrap_or(0);
        let mut cells = vec![r.model.clone(), r.test.clone(), r.threads.to_string(), runs.to_string()];
        cells.extend(sides.iter().map(|s| or_dash(r.side(s).map(|s| s.to_string()))));
        cells.extend(peers.iter().map(|p| {
            or_dash(ours.zip(r.side(p)).map(|(ours, theirs)| format!("{:.2}", ours.median / theirs.median)))
        }));
        if limited {
            let share = ours.and_then(|o| r.share(o.median));
            cells.push(or_dash(share.map(|s| format!("{:.0} %", s * 100.0))));
        }
        out += &row(&cells);
    }
    out
}

/// Alone and under load, side by side.
fn loads(records: &[&Record]) -> String {
    let head = ["model", "threads", "side", "alone, tokens/s", "loaded, tokens/s", "of alone"];
    let cpu = ["processor ms per token alone", "loaded", "loaded / alone"];
    let head: Vec<String> = head.into_iter().chain(cpu).map(String::from).collect();
    let mut out = row(&head) + &row(&rule(head.len(), 3));
    for r in load::rows(records) {
        out += &row(&[
            r.model,
            r.threads.to_string(),
            r.side,
            r.alone.to_string(),
            r.loaded.to_string(),
            format!("{:.0} %", r.loaded.median / r.alone.median * 100.0),
            format!("{:.2}", r.cpu.0),
            format!("{:.2}", r.cpu.1),
            format!("{:.2}", r.cpu.1 / r.cpu.0),
        ]);
    }
    out
}

fn row(cells: &[String]) -> String {
    let mut out = String::from("|");
    for cell in cells {
        let _ = write!(out, " {cell} |");
    }
    out + "\n"
}

/// The line below the head: the first `left` columns are text.
fn rule(columns: usize, left: usize) -> Vec<String> {
    (0..columns).map(|i| if i < left { "---".into() } else { "--:".into() }).collect()
}

fn or_dash(cell: Option<String>) -> String {
    cell.unwrap_or_else(|| "-".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_ratios_shares_and_gaps() {
        let record = |test: &str, sides: &[(&str, f64)], limit| Record {
            table: "speed".into(),
            model: "m".into(),
            test: test.into(),
            threads: 2,
            sides: sides.iter().map(|(s, v)| ((*s).to_string(), vec![*v])).collect(),
            ops: 1.0,
            bytes: 2.0,
            limit,
            run: "2026-01-01, normal priority".into(),
        };
        let records = vec![
            record(
                "prefill 512",
                &[("siskin", 300.0), ("siskin (AVX2)", 250.0), ("llama.cpp", 100.0)],
                600.0,
            ),
            record("decode 64", &[("siskin", 30.0), ("candle", 10.0)], 0.0),
        ];
        let results = Results { machine: "cpu".into(), records };
        let lines: Vec<String> = render(&results, "speed").lines().map(String::from).collect();
        assert_eq!(
            lines[0],
            "cpu; 2026-01-01, normal priority; medians of runs in turn (lowest to highest)."
        );
        assert!(
            lines[2].ends_with("| candle | siskin / llama.cpp | siskin / candle | of the limit |"),
            "{}",
            lines[2]
        );
        assert!(lines[4].ends_with("| - | 3.00 | - | 50 % |"), "{}", lines[4]);
        assert!(lines[5].ends_with("| - | - | 10.0 (10.0 to 10.0) | - | 3.00 | - |"), "{}", lines[5]);
        assert_eq!(render(&results, "load"), "Not measured yet.");
    }
}
