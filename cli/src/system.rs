//! What the machine has and does: memory, and how fast memory can be read.

use siskin::gguf::GgufFile;
use siskin::governor::kib_field;
use std::time::{Duration, Instant};

/// A field of this process's status, in bytes: `VmHWM:` (peak resident) or `RssAnon:` (dirty).
pub(crate) fn process_memory(field: &str) -> Option<u64> {
    kib_field(&std::fs::read_to_string("/proc/self/status").ok()?, field)
}

/// The most bytes that a measurement reads in one pass.
const MOST_READ: usize = 1 << 30;

/// Bytes per second at which `threads` threads together read the weights where they are mapped: the best of several
/// passes within `time`, after one that brings the file into memory.
pub(crate) fn read_bandwidth(file: &GgufFile, threads: usize, time: Duration) -> f64 {
    let mut left = MOST_READ;
    let tensors: Vec<&[u8]> = file
        .tensors()
        .iter()
        .map(|t| {
            let bytes: &[u8] = t.bytes();
            let taken = bytes.len().min(left);
            left -= taken;
            &bytes[..taken]
        })
        .collect();
    let total: usize = tensors.iter().map(|t| t.len()).sum();
    // Each thread gets a contiguous share.
    let share = total.div_ceil(threads.max(1)).max(1);
    let mut shares: Vec<Vec<&[u8]>> = vec![Vec::new()];
    let mut room = share;
    for mut tensor in tensors {
        while !tensor.is_empty() {
            let (now, rest) = tensor.split_at(tensor.len().min(room));
            if let Some(last) = shares.last_mut() {
                last.push(now);
            }
            tensor = rest;
            room -= now.len();
            if room == 0 {
                shares.push(Vec::new());
                room = share;
            }
        }
    }
    let pass = || {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for share in shares.iter().filter(|s| !s.is_empty()) {
                scope.spawn(|| {
                    std::hint::black_box(share.iter().map(|bytes| sum(bytes)).fold(0, u64::wrapping_add))
                });
            }
        });
        total as f64 / start.elapsed().as_secs_f64()
    };
    pass();
    let start = Instant::now();
    let mut best = 0.0f64;
    let mut passes = 0;
    while passes < 3 || start.elapsed() < time {
        best = best.max(pass());
        passes += 1;
        if start.elapsed() > time * 4 {
            break;
        }
    }
    best
}

fn sum(bytes: &[u8]) -> u64 {
    let mut lanes = [0u64; 8];
    let (chunks, _) = bytes.as_chunks::<64>();
    for chunk in chunks {
        let (words, _) = chunk.as_chunks::<8>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane = lane.wrapping_add(u64::from_le_bytes(*word));
        }
    }
    lanes.iter().fold(0, |a, &b| a.wrapping_add(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_in_kibibytes() {
        assert_eq!(kib_field("A: 1 kB\nRssAnon:\t     564 kB\n", "RssAnon:"), Some(564 * 1024));
        assert_eq!(kib_field("A: 1 kB\n", "B:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_says_all() {
        assert!(process_memory("VmHWM:").is_some_and(|n| n > 1 << 16));
        assert!(process_memory("RssAnon:").is_some());
    }
}
