//! How results and failures leave the program.

use siskin::{Error, ErrorKind};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

/// Anything that has no code of its own.
pub(crate) const FAILED: u8 = 1;
/// The command line, or a setting in it.
pub(crate) const USAGE: u8 = 2;
/// The model, template or adapter is refused: malformed, unsupported, incomplete, beyond limits.
pub(crate) const REFUSED: u8 = 3;
/// A file cannot be read.
pub(crate) const UNREADABLE: u8 = 4;
/// The model file changed while it was in use.
pub(crate) const CHANGED: u8 = 5;
/// `fit`: it does not fit.
pub(crate) const NO_FIT: u8 = 6;
/// Cancelled with Ctrl-C.
pub(crate) const CANCELLED: u8 = 130;

/// Why a subcommand ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// From the library.
    Library(Error),
    /// The command line asks for something that cannot be.
    Usage(String),
    /// Anything else, with its exit code.
    Other(String, u8),
    /// Ends with this code and without a word, all having been said.
    Quiet(u8),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Library(e)
    }
}

/// A failure to write to standard output.
impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            // The reader has seen enough, as `head` has.
            io::ErrorKind::BrokenPipe => Self::Quiet(0),
            _ => Self::Other(format!("cannot write: {e}"), FAILED),
        }
    }
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Library(e) => match e.kind() {
                ErrorKind::Argument => USAGE,
                ErrorKind::Io => UNREADABLE,
                ErrorKind::FileChanged => CHANGED,
                ErrorKind::Cancelled => CANCELLED,
                ErrorKind::Format
                | ErrorKind::Limit
                | ErrorKind::Unsupported
                | ErrorKind::Missing
                | ErrorKind::Shape
                | ErrorKind::Tokenizer
                | ErrorKind::Template => REFUSED,
                _ => FAILED,
            },
            Self::Usage(_) => USAGE,
            Self::Other(_, code) | Self::Quiet(code) => *code,
        }
    }

    /// Says what went wrong, in one line, and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let text = match &self {
            Self::Library(e) => e.to_string(),
            Self::Usage(text) | Self::Other(text, _) => text.clone(),
            Self::Quiet(_) => return ExitCode::from(self.code()),
        };
        let mut line = String::from("siskin: error: ");
        for c in text.chars() {
            if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
        }
        line.push('\n');
        let _ = io::stderr().write_all(line.as_bytes());
        ExitCode::from(self.code())
    }
}

/// Writes text to standard output and flushes it.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes a JSON value and a newline to standard output.
pub(crate) fn print_json(value: &serde_json::Value) -> io::Result<()> {
    print(&format!("{value:#}\n"))
}

/// Rows of cells in aligned columns; numbers (and what looks like them) to the right.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|&h| h.to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |c: usize| {
            self.rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        // A column whose body begins with digits is one of numbers.
        let numeric = |c: usize| {
            let mut cells =
                self.rows.iter().skip(1).filter_map(|r| r.get(c)).filter(|s| !s.is_empty()).peekable();
            cells.peek().is_some() && cells.all(|s| s.starts_with(|c: char| c.is_ascii_digit() || c == '-'))
        };
        let right: Vec<bool> = (0..columns).map(numeric).collect();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (c, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[c] - cell.chars().count());
                let gap = if c == 0 { "" } else { "  " };
                let (before, after) = if right[c] { (pad.as_str(), "") } else { ("", pad.as_str()) };
                let _ = write!(line, "{gap}{before}{cell}{after}");
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// A number of bytes as people read it.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A count with an SI letter: 134515008 is "134.5M".
pub(crate) fn count(n: u64) -> String {
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => format!("{:.1}k", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}M", n as f64 / 1e6),
        _ => format!("{:.2}B", n as f64 / 1e9),
    }
}

/// The middle of the values; 0 without any.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(98_362_432), "93.8 MiB");
        assert_eq!(count(134_515_008), "134.5M");
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn tables_align() {
        let mut t = Table::new(&["name", "n"]);
        t.row(["a".into(), "10".into()]);
        t.row(["long".into(), "9".into()]);
        assert_eq!(t.render(), "name   n\na     10\nlong   9\n");
    }

    #[test]
    fn exit_codes() {
        let code = |kind| Failure::from(Error::new(kind, "x")).code();
        assert_eq!(code(ErrorKind::Unsupported), REFUSED);
        assert_eq!(code(ErrorKind::Io), UNREADABLE);
        assert_eq!(code(ErrorKind::FileChanged), CHANGED);
        assert_eq!(code(ErrorKind::Numeric), FAILED);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).code(), 0);
    }
}
