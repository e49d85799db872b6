//! How many threads to use when nobody says: one per fast core that the process may run on.
//!
//! Linux and Android publish each core's relative speed (`cpu_capacity`) or its highest frequency, and the affinity
//! mask of the process. Elsewhere the standard library's count is used.

use std::path::Path;

/// A core counts as fast if its speed is at least this share of the fastest one's. Middle cores of three-cluster
/// phones (around 0.7 to 0.8) count, little ones (0.15 to 0.5) do not.
const FAST_SHARE: f64 = 0.6;

/// The number of fast cores in the process's affinity mask, at least 1; never more than the system's own count of
/// usable processors (which knows about container quotas).
pub fn default_threads() -> usize {
    let usable = std::thread::available_parallelism().map_or(1, usize::from);
    let fast = std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| allowed_cores(&status))
        .map(|cores| count_fast(&cores, |core| core_speed(Path::new("/sys/devices/system/cpu"), core)));
    fast.unwrap_or(usable).clamp(1, usable).min(super::MAX_THREADS)
}

/// The cores named by `Cpus_allowed_list` in the text of `/proc/self/status`.
fn allowed_cores(status: &str) -> Option<Vec<u32>> {
    let list = status.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:"))?.trim();
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        cores.extend(first..=last.min(first.saturating_add(4095)));
    }
    Some(cores)
}

fn core_speed(cpus: &Path, core: u32) -> Option<f64> {
    let folder = cpus.join(format!("cpu{core}"));
    ["cpu_capacity", "cpufreq/cpuinfo_max_freq"]
        .iter()
        .find_map(|name| std::fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok())
}

fn count_fast(cores: &[u32], speed: impl Fn(u32) -> Option<f64>) -> usize {
    let speeds: Vec<f64> = cores.iter().filter_map(|&core| speed(core)).collect();
    if speeds.len() != cores.len() {
        return cores.len(); // unknown speeds: all are taken to be equal
    }
    let fastest = speeds.iter().copied().fold(0.0, f64::max);
    speeds.iter().filter(|&&s| s >= fastest * FAST_SHARE).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_parse() {
        let status = "Name:\tx\nCpus_allowed_list:\t0-1,4,6-7\nMems_allowed:\t1\n";
        assert_eq!(allowed_cores(status), Some(vec![0, 1, 4, 6, 7]));
        assert_eq!(allowed_cores("Cpus_allowed_list:\tx\n"), None);
        assert_eq!(allowed_cores(""), None);
    }

    #[test]
    fn little_cores_are_left_out() {
        // A phone: 4 little, 3 middle, 1 big.
        let capacity = [250.0, 250.0, 250.0, 250.0, 760.0, 760.0, 760.0, 1024.0];
        let cores: Vec<u32> = (0..8).collect();
        assert_eq!(count_fast(&cores, |c| Some(capacity[c as usize])), 4);
        assert_eq!(count_fast(&[0, 1, 4], |c| Some(capacity[c as usize])), 1);
        assert_eq!(count_fast(&cores, |c| (c > 0).then_some(1.0)), 8);
    }

    #[test]
    fn the_default_is_usable() {
        assert!((1..=super::super::MAX_THREADS).contains(&default_threads()));
    }
}
