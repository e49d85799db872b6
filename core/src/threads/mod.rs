//! An explicit pool of threads. Kernels never see it; the decoder cuts work into tasks and hands them here.
//!
//! - Each thread has a share of the tasks, claims them one by one, and then claims those that the others have not come
//!   to; so a slow or descheduled core simply does fewer of them.
//! - A worker that did not wake in time is not waited for: it finds the job closed and goes back to sleep.
//! - Workers spin for some microseconds between the jobs of one step, because the next job follows at once, and sleep
//!   in the kernel otherwise. An idle pool uses no processor time.
//! - Passes of one token are timed: when other programs keep a core busy so that one thread fewer is faster, one is
//!   left out for a while (`pace`).
//! - A panic in a task is carried to the caller; the pool stays usable.
//!
//! Results cannot depend on the number of threads: a task's output is fixed by the task alone.
#![allow(unsafe_code, reason = "hands a borrowed closure and disjoint parts of its output to other threads")]

mod cores;
mod job;
mod pace;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use self::job::Shared;
use self::pace::Pace;
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::{SplitRows, Stripe, StripeSource};

pub use self::cores::default_threads;

/// Most threads a pool may have.
pub const MAX_THREADS: usize = 256;

/// A fixed set of threads; the caller of a job is one of them.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// One job at a time: sessions that share a model take turns, job by job.
    turn: Mutex<()>,
    pace: Mutex<Pace>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish()
    }
}

/// An output matrix that a job fills: row-major `[rows, cols]`, cut into tiles.
#[derive(Debug)]
pub struct Grid<'a> {
    /// `[rows, cols]`.
    pub out: &'a mut [f32],
    /// Rows (tokens).
    pub rows: usize,
    /// Columns (outputs).
    pub cols: usize,
    /// Rows of a tile, at least 1.
    pub tile_rows: usize,
    /// Columns of a tile, at least 1.
    pub tile_cols: usize,
}

/// One task of a job over grids.
#[derive(Debug)]
pub struct Tile<'a> {
    /// Which grid.
    pub grid: usize,
    /// Rows of the grid.
    pub rows: Range<usize>,
    /// Columns of the grid.
    pub cols: Range<usize>,
    /// The tile's memory, `[rows.len(), cols.len()]`.
    pub out: Stripe<'a>,
}

/// Most grids in one job.
pub const MAX_GRIDS: usize = 4;

impl Pool {
    /// A pool in which `threads` threads work, the caller included.
    ///
    /// # Errors
    /// `Argument` if `threads` is 0 or above [`MAX_THREADS`]; `Io` if a thread cannot be started.
    pub fn new(threads: usize) -> Result<Self> {
        if threads == 0 || threads > MAX_THREADS {
            let message = format!("the number of threads must be 1 to {MAX_THREADS}, not {threads}");
            return Err(Error::new(ErrorKind::Argument, message));
        }
        let shared = Arc::new(Shared::new(threads));
        let mut pool = Self {
            shared,
            workers: Vec::with_capacity(threads - 1),
            turn: Mutex::new(()),
            pace: Mutex::new(Pace::new()),
        };
        for index in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let worker = std::thread::Builder::new()
                .name(format!("siskin-{index}"))
                .spawn(move || shared.work(index))
                .map_err(|e| Error::new(ErrorKind::Io, "cannot start a worker thread").with_source(e))?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    /// Threads that work on a job, the caller included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Threads that work on a job for now, at most [`threads`](Self::threads).
    pub fn active_threads(&self) -> usize {
        self.shared.limit()
    }

    /// Lets only `threads` of the threads work (at least 1, the caller), from the next job on; the others sleep. Results
    /// do not depend on it.
    pub fn set_active_threads(&self, threads: usize) {
        self.shared.set_limit(threads);
    }

    /// Learns how long a pass of one token took. If leaving one thread out makes them shorter, as when another program
    /// keeps its core busy, the pool does that for a while. Results do not depend on it.
    pub fn observe_pass(&self, took: Duration) {
        if self.shared.limit() > 1 {
            let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            self.shared.leave_out(usize::from(pace.pass(took, self.shared.take_waited())));
        }
    }

    /// What threads waited for each other in a pass of several tokens says nothing about those of one.
    pub fn forget_waiting(&self) {
        self.shared.take_waited();
    }

    /// Runs `f(task, thread)` once for each task in `0..tasks`, on any thread (`thread < threads()`); returns when all
    /// have run. One task runs on the caller without waking anybody.
    pub fn run(&self, tasks: usize, f: &(dyn Fn(usize, usize) + Sync)) {
        if self.shared.active() == 1 || tasks <= 1 {
            (0..tasks).for_each(|task| f(task, 0));
            return;
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.run(tasks, f);
    }

    /// Runs `f(local, task)` for each task; `locals`, `[threads()]`, gives each thread its own.
    pub fn run_with<L: Send>(&self, locals: &mut [L], tasks: usize, f: impl Fn(&mut L, usize) + Sync) {
        assert!(locals.len() >= self.threads(), "one local per thread");
        let source = StripeSource::new(locals, 1, locals.len());
        self.run(tasks, &|task, thread| {
            // SAFETY: `thread` is this thread's own index in this job, and a thread runs one task at a time.
            let mut local = unsafe { source.tile(0..1, thread..thread + 1) };
            f(&mut local.row(0)[0], task);
        });
    }

    /// Runs `f(local, tile)` for each tile of each grid (at most [`MAX_GRIDS`]).
    pub fn tiles<'g, L: Send>(
        &self,
        locals: &mut [L],
        grids: impl IntoIterator<Item = Grid<'g>>,
        f: impl Fn(&mut L, Tile<'_>) + Sync,
    ) {
        let mut grids = grids.into_iter();
        let plans: [Option<GridPlan<'_>>; MAX_GRIDS] =
            std::array::from_fn(|_| grids.next().map(GridPlan::new));
        assert!(grids.next().is_none(), "too many grids");
        let tasks = plans.iter().flatten().map(|p| p.tasks).sum();
        self.run_with(locals, tasks, |local, mut task| {
            for (grid, plan) in plans.iter().flatten().enumerate() {
                if task < plan.tasks {
                    let (rows, cols) = plan.tile(task);
                    // SAFETY: tiles of a grid do not overlap and each task runs once.
                    let out = unsafe { plan.source.tile(rows.clone(), cols.clone()) };
                    return f(local, Tile { grid, rows, cols, out });
                }
                task -= plan.tasks;
            }
        });
    }

    /// Runs `f(local, i, row i of parts)` for each `i` in `0..n`, some rows per task.
    pub fn rows<L: Send, P: SplitRows>(
        &self,
        locals: &mut [L],
        n: usize,
        parts: P,
        f: impl Fn(&mut L, usize, P::Row) + Sync,
    ) {
        assert!(n <= parts.capacity(), "a row for every task");
        // Several tasks per thread, so that a slow one does not hold the job up; not so many that claiming costs.
        let per_task = (n / (self.threads() * 4)).max(1);
        self.run_with(locals, n.div_ceil(per_task), |local, task| {
            for i in task * per_task..n.min((task + 1) * per_task) {
                // SAFETY: `i < n <= capacity`, and each belongs to one task, which runs once.
                f(local, i, unsafe { parts.row(i) });
            }
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop();
        for worker in self.workers.drain(..) {
            // A worker catches its tasks' panics, so it cannot have died of one; nothing to report either way.
            let _ = worker.join();
        }
    }
}

/// How one grid is cut.
struct GridPlan<'a> {
    source: StripeSource<'a>,
    tile_rows: usize,
    tile_cols: usize,
    across: usize,
    tasks: usize,
}

impl<'a> GridPlan<'a> {
    fn new(grid: Grid<'a>) -> Self {
        let (tile_rows, tile_cols) = (grid.tile_rows.max(1), grid.tile_cols.max(1));
        let across = grid.cols.div_ceil(tile_cols);
        let tasks = across * grid.rows.div_ceil(tile_rows);
        let source = StripeSource::new(grid.out, grid.rows, grid.cols);
        Self { source, tile_rows, tile_cols, across, tasks }
    }

    fn tile(&self, task: usize) -> (Range<usize>, Range<usize>) {
        let (down, across) = (task / self.across, task % self.across);
        let (row, col) = (down * self.tile_rows, across * self.tile_cols);
        (
            row..(row + self.tile_rows).min(self.source.n()),
            col..(col + self.tile_cols).min(self.source.stride()),
        )
    }
}

#[cfg(test)]
mod tests;
