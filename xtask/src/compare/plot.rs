//! Plots as SVG: fields side by side with common axes, series of points or lines. No more than the report needs.

use std::fmt::Write as _;

/// Size of one field, in pixels, without its margins.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 70.0;
const BOTTOM: f64 = 50.0;
/// Fields in a row.
const COLUMNS: usize = 3;
/// Told apart also by those who see colours differently (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#009e73", "#cc79a7"];

/// A scale from `low` to `high`.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    label: String,
    low: f64,
    high: f64,
    log: bool,
}

impl Axis {
    pub(super) fn linear(label: &str, low: f64, high: f64) -> Self {
        Self { label: label.into(), low, high, log: false }
    }

    pub(super) fn log(label: &str, low: f64, high: f64) -> Self {
        Self { label: label.into(), low, high, log: true }
    }

    /// Where `value` lies: 0 at the low end, 1 at the high end.
    fn place(&self, value: f64) -> f64 {
        let scale = |x: f64| if self.log { x.ln() } else { x };
        ((scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))).clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        if self.log {
            let decades = (self.low.log10().ceil() as i32)..=(self.high.log10().floor() as i32);
            return decades.map(|d| 10f64.powi(d)).collect();
        }
        let span = self.high - self.low;
        let unit = 10f64.powf(span.log10().floor());
        let step =
            [0.2, 0.5, 1.0, 2.0].map(|f| f * unit).into_iter().find(|s| span / s <= 5.0).unwrap_or(unit);
        let count = (span / step + 1e-9) as usize;
        (0..=count).map(|i| self.low + i as f64 * step).collect()
    }
}

#[derive(Debug)]
pub(super) struct Series {
    name: String,
    pub(super) points: Vec<(f64, f64)>,
    line: bool,
}

impl Series {
    pub(super) fn points(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, line: false }
    }

    pub(super) fn line(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, line: true }
    }
}

#[derive(Debug)]
pub(super) struct Plot {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// A title and the series of each field.
    pub(super) groups: Vec<(String, Vec<Series>)>,
}

impl Plot {
    pub(super) fn svg(&self) -> String {
        // A single field is drawn large.
        let scale = if self.groups.len() == 1 { 2.0 } else { 1.0 };
        let (w, h) = (WIDTH * scale, HEIGHT * scale);
        let columns = self.groups.len().clamp(1, COLUMNS);
        let rows = self.groups.len().div_ceil(COLUMNS).max(1);
        let width = columns as f64 * (w + LEFT) + 20.0;
        let height = TOP + rows as f64 * (h + BOTTOM);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
             font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"12\" y=\"20\" font-size=\"14\">{}</text>\n",
            escape(&self.title)
        );
        self.legend(&mut out);
        for (i, (title, series)) in self.groups.iter().enumerate() {
            let x = LEFT + (i % COLUMNS) as f64 * (w + LEFT);
            let y = TOP + (i / COLUMNS) as f64 * (h + BOTTOM);
            let _ = writeln!(out, "<g transform=\"translate({x} {y})\">");
            self.field(&mut out, w, h, title);
            for s in series {
                self.series(&mut out, w, h, s);
            }
            out += "</g>\n";
        }
        out + "</svg>\n"
    }

    /// Every name once, with its colour.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for s in self.groups.iter().flat_map(|g| &g.1) {
            if !names.contains(&s.name.as_str()) && !s.points.is_empty() {
                names.push(&s.name);
            }
        }
        names
    }

    fn colour(&self, name: &str) -> &'static str {
        COLOURS[self.names().iter().position(|n| *n == name).unwrap_or(0) % COLOURS.len()]
    }

    fn legend(&self, out: &mut String) {
        let mut x = 12.0;
        for name in self.names() {
            let colour = self.colour(name);
            let _ = writeln!(
                out,
                "<circle cx=\"{}\" cy=\"38\" r=\"4\" fill=\"{colour}\"/><text x=\"{}\" y=\"42\">{}</text>",
                x + 4.0,
                x + 12.0,
                escape(name)
            );
            x += 30.0 + 6.5 * name.len() as f64;
        }
    }

    fn field(&self, out: &mut String, w: f64, h: f64, title: &str) {
        let _ = writeln!(out, "<rect width=\"{w}\" height=\"{h}\" fill=\"none\" stroke=\"#888\"/>");
        let _ = writeln!(out, "<text x=\"4\" y=\"-6\">{}</text>", escape(title));
        for tick in self.x.ticks() {
            let x = self.x.place(tick) * w;
            let _ = writeln!(out, "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y2=\"{h}\" stroke=\"#ddd\"/>");
            let y = h + 14.0;
            let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{tick}</text>");
        }
        for tick in self.y.ticks() {
            let y = h - self.y.place(tick) * h;
            let _ = writeln!(out, "<line y1=\"{y:.1}\" y2=\"{y:.1}\" x2=\"{w}\" stroke=\"#ddd\"/>");
            let _ = writeln!(out, "<text x=\"-6\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>", y + 4.0);
        }
        let (x, y) = (w / 2.0, h + 30.0);
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{}</text>",
            escape(&self.x.label)
        );
        let y = h / 2.0;
        let _ = writeln!(
            out,
            "<text x=\"-40\" y=\"{y}\" text-anchor=\"middle\" transform=\"rotate(-90 -40 {y})\">{}</text>",
            escape(&self.y.label)
        );
    }

    fn series(&self, out: &mut String, w: f64, h: f64, s: &Series) {
        let colour = self.colour(&s.name);
        let at = |p: &(f64, f64)| (self.x.place(p.0) * w, h - self.y.place(p.1) * h);
        if s.line {
            let path: Vec<String> = s.points.iter().map(at).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let path = path.join(" ");
            let _ = writeln!(
                out,
                "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            );
        }
        for p in &s.points {
            let (x, y) = at(p);
            let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>");
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes() {
        let log = Axis::log("", 1.0, 100.0);
        assert_eq!((log.place(1.0), log.place(10.0), log.place(100.0)), (0.0, 0.5, 1.0));
        assert_eq!(log.ticks(), [1.0, 10.0, 100.0]);
        let linear = Axis::linear("", 0.0, 8192.0);
        assert_eq!(linear.place(2048.0), 0.25);
        assert_eq!(linear.ticks(), [0.0, 2000.0, 4000.0, 6000.0, 8000.0]);
    }

    #[test]
    fn a_plot_is_well_formed() {
        let plot = Plot {
            title: "a < b".into(),
            x: Axis::linear("x", 0.0, 10.0),
            y: Axis::linear("y", 0.0, 10.0),
            groups: vec![
                ("one".into(), vec![Series::line("ours", vec![(0.0, 0.0), (10.0, 5.0)])]),
                (
                    "two".into(),
                    vec![Series::points("theirs", vec![(5.0, 10.0)]), Series::points("gone", vec![])],
                ),
            ],
        };
        let svg = plot.svg();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && svg.contains("a &lt; b"));
        assert!(svg.contains("points=\"0.0,220.0 300.0,110.0\"") && svg.contains("cx=\"150.0\" cy=\"0.0\""));
        assert_eq!(plot.names(), ["ours", "theirs"]);
        assert_eq!(svg.matches("<g ").count(), svg.matches("</g>").count());
    }
}
