//! The sections of `docs/PERFORMANCE.md` that follow from results, and the plots beside it.
//!
//! A section stands between `<!-- results: NAME -->` and `<!-- end -->`; all other text is left as it is.

use std::fs;

use super::plot::{Axis, Plot, Series};
use super::record::{Record, Results};
use super::{load, table};
use crate::{Failure, workspace_root};

const SECTIONS: [&str; 5] = ["speed", "load", "start", "memory", "encode"];
const OURS: &str = "siskin";

pub(super) fn run(results: &Results) -> Result<(), Failure> {
    if results.records.is_empty() {
        return Err("no results: give the file that `compare --json FILE` wrote".into());
    }
    let docs = workspace_root().join("docs");
    let page = docs.join("PERFORMANCE.md");
    let mut text = fs::read_to_string(&page)?;
    for name in SECTIONS {
        text = replace(&text, name, &table::render(results, name))?;
    }
    fs::write(&page, text)?;
    let plots = docs.join("plots");
    fs::create_dir_all(&plots)?;
    for (name, plot) in [
        ("roofline", roofline(&results.table("speed"))),
        ("depth", depth(&results.table("speed"))),
        ("load", under_load(&results.table("load"))),
    ] {
        fs::write(plots.join(format!("{name}.svg")), plot.svg())?;
    }
    println!("wrote {} and {}", page.display(), plots.display());
    Ok(())
}

/// `text` with what stands between the marks of section `name` replaced by `body`.
fn replace(text: &str, name: &str, body: &str) -> Result<String, Failure> {
    let mark = format!("<!-- results: {name} -->");
    let (before, rest) = text.split_once(&mark).ok_or_else(|| format!("{mark} is not in the page"))?;
    let (_, after) = rest.split_once("<!-- end -->").ok_or_else(|| format!("{mark} has no end"))?;
    Ok(format!("{before}{mark}\n{}\n<!-- end -->{after}", body.trim_end()))
}

/// The most threads that were measured: what the plots show.
fn most_threads(records: &[&Record]) -> usize {
    records.iter().map(|r| r.threads).max().unwrap_or(0)
}

/// Billions of operations per second over operations per byte read, below the two limits.
fn roofline(records: &[&Record]) -> Plot {
    let threads = most_threads(records);
    let these: Vec<_> = records.iter().filter(|r| r.threads == threads && r.bytes > 0.0).collect();
    let limit = |prefill: bool| {
        let fits = these.iter().filter(|r| r.test.starts_with("prefill") == prefill);
        fits.map(|r| r.limit / 1e9).fold(0.0, f64::max)
    };
    let (peak, bandwidth) = (limit(true), limit(false));
    let (left, right) = (1.0, 10_000.0);
    let mut series = Vec::new();
    if peak > 0.0 && bandwidth > 0.0 {
        let roof = vec![(left, bandwidth * left), (peak / bandwidth, peak), (right, peak)];
        series.push(Series::line("limit", roof));
    }
    for side in names(records) {
        let point = |r: &&&Record| {
            let gops = r.side(&side)?.median * r.ops / 1e9;
            Some((r.ops / r.bytes, gops))
        };
        let points = these.iter().filter(|r| !r.test.contains(" at ")).filter_map(point).collect();
        series.push(Series::points(&side, points));
    }
    Plot {
        title: format!("Prefill of 512 tokens (right) and decode (left) below the limits, {threads} threads"),
        x: Axis::log("operations per byte read", left, right),
        y: Axis::log("billions of operations per second", 10.0, 2000.0),
        groups: vec![(String::new(), series)],
    }
}

/// Decode over the number of tokens before; one field per model.
fn depth(records: &[&Record]) -> Plot {
    let threads = most_threads(records);
    let decode: Vec<_> =
        records.iter().filter(|r| r.threads == threads && r.test.starts_with("decode")).collect();
    let at = |r: &Record| r.test.rsplit_once(" at ").map_or(Some(0.0), |(_, d)| d.parse::<f64>().ok());
    let models = distinct(decode.iter().map(|r| r.model.as_str()));
    let groups = models.into_iter().map(|model| {
        let series = names(records).into_iter().map(|side| {
            let of = decode.iter().filter(|r| r.model == model);
            // As a share of our speed at depth 0, so that one scale serves all models.
            let whole =
                decode.iter().find(|r| r.model == model && at(r) == Some(0.0)).and_then(|r| r.side(OURS));
            let point = |r: &&&Record| Some((at(r)?, r.side(&side)?.median / whole?.median * 100.0));
            let mut points: Vec<_> = of.filter_map(point).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            Series::line(&side, points)
        });
        (model.to_string(), series.collect())
    });
    let groups: Vec<_> = groups.collect();
    let deepest = decode.iter().filter_map(|r| at(r)).fold(1.0, f64::max);
    Plot {
        title: format!("Decode over depth, {threads} threads: percent of siskin's speed at depth 0"),
        x: Axis::linear("tokens before", 0.0, deepest),
        y: Axis::linear("%", 0.0, 110.0),
        groups,
    }
}

/// Speed under load as a share of the speed alone, at each number of threads; one field per model.
fn under_load(records: &[&Record]) -> Plot {
    let rows = load::rows(records);
    let groups = distinct(rows.iter().map(|r| r.model.as_str())).into_iter().map(|model| {
        let sides = distinct(rows.iter().map(|r| r.side.as_str())).into_iter().map(|side| {
            let of = rows.iter().filter(|r| r.model == model && r.side == side);
            let points = of.map(|r| (r.threads as f64, r.loaded.median / r.alone.median * 100.0));
            Series::line(side, points.collect())
        });
        (model.to_string(), sides.collect())
    });
    Plot {
        title: "Decode with a busy program on each core: percent of the speed alone".into(),
        groups: groups.collect(),
        x: Axis::linear("threads", 0.0, most_threads(records) as f64 + 1.0),
        y: Axis::linear("%", 0.0, 100.0),
    }
}

fn names(records: &[&Record]) -> Vec<String> {
    distinct(records.iter().flat_map(|r| r.sides.iter().map(|s| s.0.as_str())))
        .into_iter()
        .map(String::from)
        .collect()
}

fn distinct<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut out = Vec::new();
    all.for_each(|x| {
        if !out.contains(&x) {
            out.push(x);
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marked_section_is_rewritten() {
        let page = "a\n<!-- results: x -->\nold\n<!-- end -->\nb\n<!-- results: y -->\nkept\n<!-- end -->\n";
        let got = replace(page, "x", "new\n").expect("marked");
        assert_eq!(
            got,
            "a\n<!-- results: x -->\nnew\n<!-- end -->\nb\n<!-- results: y -->\nkept\n<!-- end -->\n"
        );
        assert_eq!(replace(&got, "x", "new").expect("marked"), got, "twice is once");
        assert!(replace(page, "z", "").is_err());
        assert!(replace("<!-- results: x -->", "x", "").is_err());
    }

    #[test]
    fn a_point_of_the_roofline_is_operations_over_operations_per_byte() {
        let record = |test: &str, ops, bytes, limit| Record {
            model: "m".into(),
            test: test.into(),
            threads: 2,
            sides: vec![("siskin".into(), vec![100.0])],
            ops,
            bytes,
            limit,
            ..Record::default()
        };
        let all = [record("prefill 512", 2e9, 2e6, 8e11), record("decode 64", 4e8, 1e8, 4e10)];
        let plot = roofline(&all.iter().collect::<Vec<_>>());
        let [limit, ours] = plot.groups[0].1.as_slice() else { panic!("two series") };
        assert_eq!(limit.points, [(1.0, 40.0), (20.0, 800.0), (10_000.0, 800.0)]);
        assert_eq!(ours.points, [(1000.0, 200.0), (4.0, 40.0)]);
    }
}
