//! Programs that are measured: run to the end, with what they took.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use siskin::governor::kib_field;
use wait4::Wait4;

use crate::Failure;

/// What a process took, with its children.
#[derive(Debug, Default)]
pub(super) struct Usage {
    pub(super) stdout: String,
    pub(super) stderr: String,
    /// From start to exit, seconds.
    pub(super) wall: f64,
    /// Processor time, seconds.
    pub(super) cpu: f64,
    /// Most anonymous memory that was seen resident, bytes: a lower bound, looked at every few milliseconds.
    pub(super) anon: u64,
    /// Most memory that was resident, bytes.
    pub(super) peak: u64,
}

/// Runs to the end; an error if that end is a failure.
pub(super) fn measure(command: &mut Command) -> Result<Usage, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = Instant::now();
    let mut child = command.spawn().map_err(|e| format!("{name}: {e}"))?;
    let stdout = child.stdout.take().map(reader);
    let stderr = child.stderr.take().map(reader);
    let status = format!("/proc/{}/status", child.id());
    let mut usage = Usage::default();
    let ended = AtomicBool::new(false);
    let end = thread::scope(|scope| {
        let sampler = scope.spawn(|| sample(&status, &ended));
        let end = child.wait4();
        usage.wall = start.elapsed().as_secs_f64();
        ended.store(true, Ordering::Relaxed);
        (usage.anon, usage.peak) = sampler.join().unwrap_or_default();
        end
    })?;
    usage.cpu = (end.rusage.utime + end.rusage.stime).as_secs_f64();
    let text =
        |thread: Option<thread::JoinHandle<String>>| thread.and_then(|t| t.join().ok()).unwrap_or_default();
    (usage.stdout, usage.stderr) = (text(stdout), text(stderr));
    if end.status.success() {
        Ok(usage)
    } else {
        Err(format!("{name} ended with {}:\n{}", end.status, usage.stderr).into())
    }
}

/// Most anonymous memory and most memory altogether that a process has until it has ended.
fn sample(status: &str, ended: &AtomicBool) -> (u64, u64) {
    let (mut anon, mut peak) = (0, 0);
    while !ended.load(Ordering::Relaxed) {
        let text = fs::read_to_string(status).unwrap_or_default();
        anon = anon.max(kib_field(&text, "RssAnon:").unwrap_or(0));
        peak = peak.max(kib_field(&text, "VmHWM:").unwrap_or(0));
        thread::sleep(Duration::from_millis(2));
    }
    (anon, peak)
}

fn reader(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes); // what came until then is what counts
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Programs that only burn time, one for each core, at normal priority; they end with this value.
pub(super) struct Load(Vec<std::process::Child>);

impl Load {
    pub(super) fn start(normal: &[&str]) -> Result<Self, Failure> {
        let program = std::env::current_exe()?;
        let mut load = Self(Vec::new());
        for _ in 0..thread::available_parallelism()?.get() {
            load.0.push(at(normal, &program).arg("busy-loop").stdin(Stdio::null()).spawn()?);
        }
        thread::sleep(Duration::from_millis(300)); // until they run
        Ok(load)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Nothing to be done about one that has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// `cargo xtask busy-loop`: one of them. Ends with its parent, whatever became of that.
pub(crate) fn busy_loop() {
    #[cfg(unix)]
    {
        let parent = std::os::unix::process::parent_id();
        let mut x = 1u64;
        while std::os::unix::process::parent_id() == parent {
            for _ in 0..10_000_000 {
                x = std::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
            }
        }
    }
}

/// `program`, run through the command `before` (which may be empty).
pub(super) fn at(before: &[&str], program: &Path) -> Command {
    match before {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    }
}

/// Whether this process, and so what it starts, runs at real-time priority (Linux).
pub(super) fn real_time() -> bool {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name in brackets: field 3 is the first, the policy is field 41.
    let policy = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(41 - 3));
    matches!(policy, Some("1" | "2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_is_measured() {
        let usage = measure(Command::new("sh").args(["-c", "echo out; echo err >&2; sleep 0.1"]))
            .expect("sh is there");
        assert_eq!((usage.stdout.as_str(), usage.stderr.as_str()), ("out\n", "err\n"));
        assert!(usage.wall >= 0.1 && usage.cpu < usage.wall, "{usage:?}");
        assert!(usage.peak > 100 << 10 && usage.anon <= usage.peak, "{usage:?}");
        let failed = measure(Command::new("sh").args(["-c", "echo why >&2; exit 3"]));
        assert!(failed.is_err_and(|e| e.to_string().contains("why")));
    }

    #[test]
    fn wrapped_commands_keep_their_order() {
        let command = at(&["chrt", "-f", "1"], Path::new("x"));
        assert_eq!(command.get_program(), "chrt");
        assert_eq!(command.get_args().collect::<Vec<_>>(), ["-f", "1", "x"]);
        assert_eq!(at(&[], Path::new("x")).get_program(), "x");
    }
}
