use super::*;
use crate::tensor::Rows;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

#[test]
fn every_task_runs_once() {
    for threads in [1, 2, 3, 8] {
        let pool = Pool::new(threads).expect("threads start");
        for tasks in [0, 1, 2, 7, 1000] {
            let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            pool.run(tasks, &|task, thread| {
                assert!(thread < threads);
                counts[task].fetch_add(1, SeqCst);
            });
            assert!(counts.iter().all(|c| c.load(SeqCst) == 1), "{threads} threads, {tasks} tasks");
        }
    }
}

#[test]
fn jobs_in_quick_succession_and_after_a_pause() {
    let pool = Pool::new(3).expect("threads start");
    let total = AtomicUsize::new(0);
    for round in 0..3000 {
        pool.run(5, &|task, _| {
            total.fetch_add(task, SeqCst);
        });
        if round % 1000 == 999 {
            std::thread::sleep(std::time::Duration::from_millis(5)); // long enough for workers to sleep
        }
    }
    assert_eq!(total.load(SeqCst), 3000 * 10);
}

#[test]
fn grids_are_filled_exactly() {
    let pool = Pool::new(2).expect("threads start");
    let mut locals = [0usize; 2];
    let (mut a, mut b) = (vec![0.0f32; 5 * 7], vec![0.0f32; 2 * 33]);
    let grids = [
        Grid { out: &mut a, rows: 5, cols: 7, tile_rows: 2, tile_cols: 3 },
        Grid { out: &mut b, rows: 2, cols: 33, tile_rows: 2, tile_cols: 16 },
    ];
    pool.tiles(&mut locals, grids, |local, mut tile| {
        *local += 1;
        for t in 0..tile.rows.len() {
            for (c, x) in tile.out.row(t).iter_mut().enumerate() {
                *x += (tile.grid * 1000 + (tile.rows.start + t) * 100 + tile.cols.start + c) as f32;
            }
        }
    });
    assert_eq!(locals.iter().sum::<usize>(), 3 * 3 + 3);
    assert!(a.iter().enumerate().all(|(i, &x)| x == (i / 7 * 100 + i % 7) as f32));
    assert!(b.iter().enumerate().all(|(i, &x)| x == (1000 + i / 33 * 100 + i % 33) as f32));
}

#[test]
fn rows_of_several_buffers_go_together() {
    let pool = Pool::new(2).expect("threads start");
    let (mut a, mut b) = (vec![0.0f32; 40], vec![0u16; 30]);
    let parts = (Rows::new(&mut a, 4), Rows::ring(&mut b, 3, 8));
    pool.rows(&mut [(), ()], 10, parts, |(), i, (a, b)| {
        a.fill(i as f32);
        b.fill(i as u16);
    });
    assert!(a.iter().enumerate().all(|(j, &x)| x == (j / 4) as f32));
    assert!(b.iter().enumerate().all(|(j, &x)| x == ((j / 3 + 2) % 10) as u16));
}

#[test]
fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
    let pool = Pool::new(2).expect("threads start");
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pool.run(100, &|task, _| assert_ne!(task, 50, "task 50 fails"));
    }));
    assert!(result.is_err());
    let ran = AtomicUsize::new(0);
    pool.run(100, &|_, _| {
        ran.fetch_add(1, SeqCst);
    });
    assert_eq!(ran.load(SeqCst), 100);
}

#[test]
fn silly_sizes_are_refused() {
    assert_eq!(Pool::new(0).expect_err("refused").kind(), ErrorKind::Argument);
    assert_eq!(Pool::new(MAX_THREADS + 1).expect_err("refused").kind(), ErrorKind::Argument);
}

/// Processor time in clock ticks (`utime + stime`) of this process's thread called `name`, Linux only.
#[cfg(target_os = "linux")]
fn thread_ticks(name: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("proc is mounted");
    let stat = tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok())
        .find(|stat| stat.contains(&format!("({name})")))
        .expect("the thread exists");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a name").split_whitespace().collect();
    fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime")
}

#[cfg(target_os = "linux")]
#[test]
fn an_idle_pool_uses_no_processor_time() {
    // No other test has as many threads, so the last one's name is this pool's.
    let pool = Pool::new(11).expect("threads start");
    pool.run(22, &|_, _| {});
    std::thread::sleep(std::time::Duration::from_millis(100));
    let before = thread_ticks("siskin-10");
    std::thread::sleep(std::time::Duration::from_millis(300));
    // A spinning worker would use 30 ticks of 10 ms, or its share of a busy machine.
    assert_eq!(thread_ticks("siskin-10"), before);
}

#[test]
fn a_throttled_worker_is_given_little() {
    let pool = Pool::new(2).expect("threads start");
    let start = Instant::now();
    pool.run(200, &|_, thread| {
        std::thread::sleep(if thread == 0 { Duration::from_micros(100) } else { Duration::from_millis(20) });
    });
    // Half of the tasks on the slow thread would take 2 seconds at least.
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn a_preempted_worker_holds_back_one_task() {
    let pool = Pool::new(3).expect("threads start");
    let (mut stops, limit) = (0, Duration::from_secs(20));
    for _ in 0..50 {
        let (stopped, ran) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let start = Instant::now();
        pool.run(90, &|_, thread| {
            // One worker is stopped in the middle of its first task until all other tasks have run, for 20 ms at least.
            if thread == 1 && stopped.fetch_add(1, SeqCst) == 0 {
                while ran.load(SeqCst) < 89 && start.elapsed() < limit {
                    std::thread::sleep(Duration::from_millis(20));
                }
            } else {
                std::thread::sleep(Duration::from_micros(50));
            }
            ran.fetch_add(1, SeqCst);
        });
        stops += stopped.load(SeqCst).min(1);
        assert!(start.elapsed() < limit, "somebody waited for the stopped worker's tasks");
        assert_eq!(ran.load(SeqCst), 90);
    }
    assert!(stops > 0, "the worker never came");
}
