//! Whether one thread fewer is faster, which it is when other programs keep a core busy: found by trying.
//!
//! Passes of one token take about equally long. As long as they do and nobody waits, all threads work. When the caller
//! waits much for the others, or passes differ much in length, somebody is being descheduled: then one thread is left
//! out for a window of time, and stays out for a while if passes got shorter. Afterwards all threads are tried again.

use std::time::Duration;

/// Time over which passes are compared: several slices of a scheduler.
const WINDOW: Duration = Duration::from_millis(40);
/// Passes of a window at least.
const PASSES: u32 = 2;
/// Share of the time that the caller may wait for the others before something is tried.
const WAITING: f64 = 0.1;
/// How much longer than the shortest the longest pass of a window may be before something is tried.
const SPREAD: f64 = 1.25;
/// A thread is left out if that makes passes shorter than this share.
const GAIN: f64 = 0.95;
/// How long the answer of a trial stands at first, and at most: it doubles with each.
const HOLD: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// All threads work; no trial before this much time.
    All(Duration),
    /// One is left out on trial; with all threads a pass took this many seconds.
    Trial(f64),
    /// One is left out.
    Fewer,
}

#[derive(Debug)]
pub(super) struct Pace {
    phase: Phase,
    hold: Duration,
    window: Window,
}

/// The passes since the phase or the window began.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    passes: u32,
    spent: Duration,
    waited: Duration,
    shortest: Duration,
    longest: Duration,
}

impl Window {
    fn add(&mut self, took: Duration, waited: Duration) {
        self.shortest = if self.passes == 0 { took } else { self.shortest.min(took) };
        self.longest = self.longest.max(took);
        self.passes += 1;
        self.spent += took;
        self.waited += waited;
    }

    fn is_full(&self) -> bool {
        self.passes >= PASSES && self.spent >= WINDOW
    }

    fn seconds_per_pass(&self) -> f64 {
        self.spent.as_secs_f64() / f64::from(self.passes)
    }

    fn is_disturbed(&self) -> bool {
        self.waited.as_secs_f64() > self.spent.as_secs_f64() * WAITING
            || self.longest.as_secs_f64() > self.shortest.as_secs_f64() * SPREAD
    }
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { phase: Phase::All(Duration::ZERO), hold: HOLD.0, window: Window::default() }
    }

    /// Takes in one pass and how long the caller waited in it; says whether the next one leaves a thread out.
    pub(super) fn pass(&mut self, took: Duration, waited: Duration) -> bool {
        self.window.add(took, waited);
        let window = self.window;
        let next = match self.phase {
            Phase::Fewer => (window.spent >= self.hold).then_some(Phase::All(Duration::ZERO)),
            _ if !window.is_full() => None,
            Phase::All(rest) if window.is_disturbed() => Some(match rest.saturating_sub(window.spent) {
                Duration::ZERO => Phase::Trial(window.seconds_per_pass()),
                rest => Phase::All(rest),
            }),
            Phase::All(_) => {
                self.hold = HOLD.0;
                Some(Phase::All(Duration::ZERO))
            }
            Phase::Trial(all) => {
                self.hold = (self.hold * 2).min(HOLD.1);
                let better = window.seconds_per_pass() < all * GAIN;
                Some(if better { Phase::Fewer } else { Phase::All(self.hold) })
            }
        };
        if let Some(phase) = next {
            self.phase = phase;
            self.window = Window::default();
        }
        !matches!(self.phase, Phase::All(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Share of passes with a thread left out in ten seconds, if a pass takes `all` or `fewer` milliseconds.
    fn share(all: u64, fewer: u64, waited: u64) -> f64 {
        let (mut pace, mut without) = (Pace::new(), false);
        let (mut spent, mut left_out) = (Duration::ZERO, Duration::ZERO);
        while spent < Duration::from_secs(10) {
            let took = Duration::from_millis(if without { fewer } else { all });
            spent += took;
            left_out += if without { took } else { Duration::ZERO };
            without = pace.pass(took, Duration::from_millis(if without { 0 } else { waited }));
        }
        left_out.as_secs_f64() / spent.as_secs_f64()
    }

    #[test]
    fn undisturbed_passes_keep_all_threads() {
        assert_eq!(share(5, 8, 0), 0.0);
        assert_eq!(share(60, 110, 1), 0.0);
    }

    #[test]
    fn waits_without_a_gain_cost_a_trial_now_and_then() {
        let share = share(11, 14, 4);
        assert!(share > 0.0 && share < 0.06, "{share}");
    }

    #[test]
    fn a_thread_that_slows_the_others_down_is_left_out() {
        assert!(share(11, 7, 4) > 0.85);
        assert!(share(64, 50, 20) > 0.85);
    }

    #[test]
    fn when_the_machine_is_free_again_all_threads_come_back() {
        let (mut pace, mut without) = (Pace::new(), false);
        let ms = Duration::from_millis;
        for _ in 0..1000 {
            without = pace.pass(ms(if without { 7 } else { 11 }), ms(if without { 0 } else { 4 }));
        }
        let late: Vec<bool> = (0..1000).map(|_| pace.pass(ms(5), ms(0))).collect();
        assert!(late[500..].iter().all(|&without| !without));
    }
}
