//! What the device says about itself, and what follows from it. The system's scales come in, one of ours goes on.
//!
//! Nothing here changes a result: fewer threads give the same tokens, and pages that are given back are read again.

/// How hot the device is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Thermal {
    /// Cool: all threads.
    #[default]
    Nominal,
    /// Warm: all threads still; the system has not slowed anything down.
    Fair,
    /// Hot, the system slows down: half the threads.
    Serious,
    /// About to shut things off: one thread.
    Critical,
}

impl Thermal {
    /// From Android's `PowerManager.getCurrentThermalStatus()`: 0 none, 1 light, 2 moderate, 3 severe, 4 critical, 5
    /// emergency, 6 shutdown.
    pub fn from_android(status: i32) -> Self {
        match status {
            ..=0 => Self::Nominal,
            1 | 2 => Self::Fair,
            3 => Self::Serious,
            4.. => Self::Critical,
        }
    }

    /// From Apple's `ProcessInfo.thermalState`: 0 nominal, 1 fair, 2 serious, 3 critical.
    pub fn from_apple(state: i32) -> Self {
        match state {
            ..=0 => Self::Nominal,
            1 => Self::Fair,
            2 => Self::Serious,
            3.. => Self::Critical,
        }
    }

    /// How many of `threads` work.
    pub(crate) fn threads(self, threads: usize) -> usize {
        match self {
            Self::Nominal | Self::Fair => threads,
            Self::Serious => threads.div_ceil(2),
            Self::Critical => 1,
        }
    }
}

/// How short of memory the device is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pressure {
    /// It is not.
    #[default]
    None,
    /// Memory is getting short.
    Moderate,
    /// The system is about to end processes.
    Critical,
}

impl Pressure {
    /// From the level of Android's `onTrimMemory`. `TRIM_MEMORY_UI_HIDDEN` (20) says that the screen shows something
    /// else, not that memory is short.
    pub fn from_android(level: i32) -> Self {
        match level {
            5 | 10 | 40 | 60 => Self::Moderate, // running moderate, running low, background, moderate
            15 | 80 => Self::Critical,          // running critical, complete
            _ => Self::None,
        }
    }
}

/// Memory that programs can still take, in bytes; `None` where the system doesn't say. In a container, what is left
/// of its limit.
pub fn available_memory() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let machine = kib_field(&meminfo, "MemAvailable:")?;
    let left = std::fs::read_to_string("/proc/self/cgroup").ok().and_then(|groups| container(&groups));
    Some(left.map_or(machine, |left| left.min(machine)))
}

/// Bytes that the control group in `/proc/self/cgroup` may still take, where it has a limit: version 2 or 1.
fn container(groups: &str) -> Option<u64> {
    let number = |path: String| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    groups.lines().find_map(|line| {
        let (folder, max, now) = match line.splitn(3, ':').collect::<Vec<_>>()[..] {
            ["0", "", path] => (format!("/sys/fs/cgroup{path}"), "memory.max", "memory.current"),
            [_, "memory", path] => {
                let folder = format!("/sys/fs/cgroup/memory{path}");
                (folder, "memory.limit_in_bytes", "memory.usage_in_bytes")
            }
            _ => return None,
        };
        let (max, now) = (number(format!("{folder}/{max}"))?, number(format!("{folder}/{now}"))?);
        Some(max.saturating_sub(now))
    })
}

/// A field such as `MemAvailable: 12 kB` in a text of the system's (`/proc/meminfo`, `/proc/PID/status`), in bytes.
pub fn kib_field(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scales_of_the_systems() {
        let android: Vec<_> = (-1..=7).map(Thermal::from_android).collect();
        let (n, f, s, c) = (Thermal::Nominal, Thermal::Fair, Thermal::Serious, Thermal::Critical);
        assert_eq!(android, [n, n, f, f, s, c, c, c, c]);
        assert_eq!((0..4).map(Thermal::from_apple).collect::<Vec<_>>(), [n, f, s, c]);
        let trim: Vec<_> = [0, 5, 10, 15, 20, 40, 60, 80].into_iter().map(Pressure::from_android).collect();
        let (none, m, c) = (Pressure::None, Pressure::Moderate, Pressure::Critical);
        assert_eq!(trim, [none, m, m, c, none, m, m, c]);
    }

    #[test]
    fn heat_takes_threads_away_but_never_the_last() {
        let left = |threads| [Thermal::Fair, Thermal::Serious, Thermal::Critical].map(|t| t.threads(threads));
        assert_eq!([left(1), left(2), left(5)], [[1, 1, 1], [2, 1, 1], [5, 3, 1]]);
    }
}
