//! The hand-over of one job to the workers.
//!
//! `state` holds, in one word: whether a job is open, its number, and how many workers are inside. A worker may enter
//! only while the job is open, and the caller returns only after it has closed the job and everyone inside has left;
//! so the borrowed closure outlives every use of it, and workers that sleep through a job never touch it.
//!
//! Tasks are claimed from shares, one for each thread: a contiguous run of tasks with a counter of its own. A thread
//! works through its share in order, so it reads the weights as one stream, and its counter stays in its core's cache;
//! then it helps with the next share, and so on around. Nobody needs to come: whoever is there does all shares.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A task function whose lifetime the hand-over guards.
type Task = *const (dyn Fn(usize, usize) + Sync);

const OPEN: u64 = 1 << 32;
const INSIDE: u64 = OPEN - 1; // low half: workers inside
const NUMBER: u64 = 1 << 33; // upper bits: the job's number

/// How long a worker looks for the next job before it sleeps: longer than the serial stretch between two jobs of a
/// step, far shorter than a scheduler's slice.
const WORKER_SPIN: Duration = Duration::from_micros(60);
/// How long the caller looks for the last tasks to end: longer than a task. Whoever takes longer was descheduled, and
/// sleeping gives him room.
const CALLER_SPIN: Duration = Duration::from_micros(100);
/// Looks between two looks at the clock.
const LOOKS: u32 = 32;

/// Something that other cores write, alone in its cache lines (of 128 bytes where lines come in pairs).
#[repr(align(128))]
struct Apart<T>(T);

pub(super) struct Shared {
    state: Apart<AtomicU64>,
    /// `[threads]`: the next task of each share.
    next: Box<[Apart<AtomicUsize>]>,
    job: UnsafeCell<Job>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    stopping: AtomicBool,
    /// Threads that may work, the caller included; the others are parked.
    limit: AtomicUsize,
    /// Of these, how many the pace leaves out.
    left_out: AtomicUsize,
    /// Nanoseconds that the caller waited for workers; only the caller writes it.
    waited: AtomicU64,
    sleepers: AtomicUsize,
    caller_sleeps: AtomicBool,
    lock: Mutex<()>,
    work: Condvar,
    parked: Condvar,
    done: Condvar,
}

/// A job as the workers see it.
#[derive(Clone, Copy)]
struct Job {
    task: Option<Task>,
    tasks: usize,
    shares: usize,
}

impl Job {
    /// First task of a share; that of the share after the last is the end.
    fn first(&self, share: usize) -> usize {
        self.tasks / self.shares * share + (self.tasks % self.shares).min(share)
    }
}

// SAFETY: `job` is written only by the caller of `run` while no job is open and nobody is inside, and read only by
// workers inside; the task it points to is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer is never used after `run` returns.
unsafe impl Send for Shared {}

impl Shared {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            state: Apart(AtomicU64::new(0)),
            next: (0..threads).map(|_| Apart(AtomicUsize::new(0))).collect(),
            job: UnsafeCell::new(Job { task: None, tasks: 0, shares: 1 }),
            panic: Mutex::new(None),
            stopping: AtomicBool::new(false),
            limit: AtomicUsize::new(threads),
            left_out: AtomicUsize::new(0),
            waited: AtomicU64::new(0),
            sleepers: AtomicUsize::new(0),
            caller_sleeps: AtomicBool::new(false),
            lock: Mutex::new(()),
            work: Condvar::new(),
            parked: Condvar::new(),
            done: Condvar::new(),
        }
    }

    /// Runs all tasks, with whichever workers come. One caller at a time.
    pub(super) fn run(&self, tasks: usize, f: &(dyn Fn(usize, usize) + Sync)) {
        // SAFETY: only the lifetime changes; the pointer is not used after this function (see the module).
        let task: Task = unsafe { std::mem::transmute::<&(dyn Fn(usize, usize) + Sync), Task>(f) };
        let job = Job { task: Some(task), tasks, shares: self.active() };
        // SAFETY: no job is open and nobody is inside: the previous `run` waited for that.
        unsafe { *self.job.get() = job };
        for (share, next) in self.next[..job.shares].iter().enumerate() {
            next.0.store(job.first(share), SeqCst);
        }
        let number = self.state.0.load(SeqCst) & !(NUMBER - 1);
        self.state.0.store(number.wrapping_add(NUMBER) | OPEN, SeqCst);
        if self.sleepers.load(SeqCst) > 0 {
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.work.notify_all();
        }
        self.claim(f, job, 0);
        self.state.0.fetch_and(!OPEN, SeqCst);
        if self.state.0.load(SeqCst) & INSIDE != 0 {
            let start = Instant::now();
            self.wait_until_empty();
            self.waited.fetch_add(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX), SeqCst);
        }
        let panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Takes tasks until there are none; a panic ends the job and is kept for the caller.
    fn claim(&self, f: &(dyn Fn(usize, usize) + Sync), job: Job, thread: usize) {
        let result = catch_unwind(AssertUnwindSafe(|| {
            for i in 0..job.shares {
                let share = (thread + i) % job.shares;
                let (next, end) = (&self.next[share].0, job.first(share + 1));
                // Looking first leaves the line of a share that is done shared between the cores.
                while next.load(SeqCst) < end {
                    let task = next.fetch_add(1, SeqCst);
                    if task >= end {
                        break;
                    }
                    f(task, thread);
                }
            }
        }));
        if let Err(panic) = result {
            self.next[..job.shares].iter().for_each(|next| next.0.store(job.tasks, SeqCst));
            *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
        }
    }

    fn wait_until_empty(&self) {
        if spin(CALLER_SPIN, || (self.state.0.load(SeqCst) & INSIDE == 0).then_some(())).is_some() {
            return;
        }
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.caller_sleeps.store(true, SeqCst);
        while self.state.0.load(SeqCst) & INSIDE != 0 {
            guard = self.done.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.caller_sleeps.store(false, SeqCst);
    }

    /// A worker's life.
    pub(super) fn work(&self, thread: usize) {
        let mut seen = 0;
        while let Some(number) = self.next_job(seen, thread) {
            seen = number;
            if !self.enter(number) {
                continue;
            }
            // SAFETY: this worker is inside, so the caller keeps the job and its closure alive.
            let job = unsafe { *self.job.get() };
            if let Some(task) = job.task {
                // SAFETY: as above.
                self.claim(unsafe { &*task }, job, thread);
            }
            let before = self.state.0.fetch_sub(1, SeqCst);
            if before & INSIDE == 1 && self.caller_sleeps.load(SeqCst) {
                drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
                self.done.notify_all();
            }
        }
    }

    /// Waits for an open job other than `seen`; `None` when the pool stops.
    fn next_job(&self, seen: u64, thread: usize) -> Option<u64> {
        self.park(thread);
        let ready = || {
            if self.stopping.load(SeqCst) {
                return Some(None);
            }
            let state = self.state.0.load(SeqCst);
            let number = state & !(NUMBER - 1);
            (state & OPEN != 0 && number != seen).then_some(Some(number))
        };
        if let Some(answer) = spin(WORKER_SPIN, ready) {
            return answer;
        }
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, SeqCst);
        let answer = loop {
            if let Some(answer) = ready() {
                break answer;
            }
            guard = self.work.wait(guard).unwrap_or_else(PoisonError::into_inner);
        };
        self.sleepers.fetch_sub(1, SeqCst);
        answer
    }

    /// Waits, without being woken for jobs, while more threads than the limit would work.
    fn park(&self, thread: usize) {
        if thread < self.active() {
            return;
        }
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while thread >= self.active() && !self.stopping.load(SeqCst) {
            guard = self.parked.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Threads that may work, the caller included.
    pub(super) fn limit(&self) -> usize {
        self.limit.load(SeqCst)
    }

    /// Threads that work on the next job, the caller included.
    pub(super) fn active(&self) -> usize {
        self.limit().saturating_sub(self.left_out.load(SeqCst)).max(1)
    }

    pub(super) fn set_limit(&self, threads: usize) {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.limit.store(threads.clamp(1, self.next.len()), SeqCst);
        self.parked.notify_all();
    }

    pub(super) fn leave_out(&self, threads: usize) {
        if self.left_out.load(SeqCst) != threads {
            let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.left_out.store(threads, SeqCst);
            self.parked.notify_all();
        }
    }

    /// How long the caller has waited for workers since this was last asked.
    pub(super) fn take_waited(&self) -> Duration {
        Duration::from_nanos(self.waited.swap(0, SeqCst))
    }

    /// Enters the job `number` if it is still open.
    fn enter(&self, number: u64) -> bool {
        self.state
            .0
            .fetch_update(SeqCst, SeqCst, |state| {
                (state & OPEN != 0 && state & !(NUMBER - 1) == number).then_some(state + 1)
            })
            .is_ok()
    }

    pub(super) fn stop(&self) {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.stopping.store(true, SeqCst);
        self.work.notify_all();
        self.parked.notify_all();
    }
}

/// Looks until there is an answer, for at most about `time`.
fn spin<T>(time: Duration, look: impl Fn() -> Option<T>) -> Option<T> {
    let mut start = None;
    loop {
        for _ in 0..LOOKS {
            if let Some(answer) = look() {
                return Some(answer);
            }
            std::hint::spin_loop();
        }
        if start.get_or_insert_with(Instant::now).elapsed() >= time {
            return None;
        }
    }
}
