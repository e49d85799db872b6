//! The hand-over of one job to the workers.
//!
//! `state` holds, in one word: whether a job is open, its number, and how many workers are inside. A worker may enter
//! only while the job is open, and the caller returns only after it has closed the job and everyone inside has left;
//! so the borrowed closure outlives every use of it, and workers that sleep through a job never touch it.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, PoisonError};

/// A task function whose lifetime the hand-over guards.
type Task = *const (dyn Fn(usize, usize) + Sync);

const OPEN: u64 = 1 << 32;
const INSIDE: u64 = OPEN - 1; // low half: workers inside
const NUMBER: u64 = 1 << 33; // upper bits: the job's number

/// Turns of the waiting loop before a worker sleeps: some tens of microseconds, longer than the serial stretch
/// between two jobs of a step, far shorter than a scheduler's slice.
const WORKER_SPINS: u32 = 4_000;
/// The same for the caller, who waits for the last tasks to end.
const CALLER_SPINS: u32 = 20_000;

pub(super) struct Shared {
    state: AtomicU64,
    next: AtomicUsize,
    job: UnsafeCell<(Option<Task>, usize)>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    stopping: AtomicBool,
    /// Threads that may work, the caller included; the others are parked.
    limit: AtomicUsize,
    sleepers: AtomicUsize,
    caller_sleeps: AtomicBool,
    lock: Mutex<()>,
    work: Condvar,
    parked: Condvar,
    done: Condvar,
}

// SAFETY: `job` is written only by the caller of `run` while no job is open and nobody is inside, and read only by
// workers inside; the task it points to is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer is never used after `run` returns.
unsafe impl Send for Shared {}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            state: AtomicU64::new(0),
            next: AtomicUsize::new(0),
            job: UnsafeCell::new((None, 0)),
            panic: Mutex::new(None),
            stopping: AtomicBool::new(false),
            limit: AtomicUsize::new(usize::MAX),
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
        // SAFETY: no job is open and nobody is inside: the previous `run` waited for that.
        unsafe { *self.job.get() = (Some(task), tasks) };
        self.next.store(0, SeqCst);
        let number = self.state.load(SeqCst) & !(NUMBER - 1);
        self.state.store(number.wrapping_add(NUMBER) | OPEN, SeqCst);
        if self.sleepers.load(SeqCst) > 0 {
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.work.notify_all();
        }
        self.claim(f, tasks, 0);
        self.state.fetch_and(!OPEN, SeqCst);
        self.wait_until_empty();
        let panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Takes tasks until there are none; a panic ends the job and is kept for the caller.
    fn claim(&self, f: &(dyn Fn(usize, usize) + Sync), tasks: usize, thread: usize) {
        let result = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let task = self.next.fetch_add(1, SeqCst);
                if task >= tasks {
                    break;
                }
                f(task, thread);
            }
        }));
        if let Err(panic) = result {
            self.next.store(tasks, SeqCst);
            *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
        }
    }

    fn wait_until_empty(&self) {
        for _ in 0..CALLER_SPINS {
            if self.state.load(SeqCst) & INSIDE == 0 {
                return;
            }
            std::hint::spin_loop();
        }
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.caller_sleeps.store(true, SeqCst);
        while self.state.load(SeqCst) & INSIDE != 0 {
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
            let (task, tasks) = unsafe { *self.job.get() };
            if let Some(task) = task {
                // SAFETY: as above.
                self.claim(unsafe { &*task }, tasks, thread);
            }
            let before = self.state.fetch_sub(1, SeqCst);
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
            let state = self.state.load(SeqCst);
            let number = state & !(NUMBER - 1);
            (state & OPEN != 0 && number != seen).then_some(Some(number))
        };
        for _ in 0..WORKER_SPINS {
            if let Some(answer) = ready() {
                return answer;
            }
            std::hint::spin_loop();
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
        if thread < self.limit() {
            return;
        }
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while thread >= self.limit() && !self.stopping.load(SeqCst) {
            guard = self.parked.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Threads that may work, the caller included.
    pub(super) fn limit(&self) -> usize {
        self.limit.load(SeqCst)
    }

    pub(super) fn set_limit(&self, threads: usize) {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.limit.store(threads, SeqCst);
        self.parked.notify_all();
    }

    /// Enters the job `number` if it is still open.
    fn enter(&self, number: u64) -> bool {
        self.state
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
