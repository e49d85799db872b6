//! Prefill and decode allocate nothing, and what a session allocates is what the plan says.
#![allow(unsafe_code, clippy::unwrap_used, reason = "a counting allocator; a panic is a failure")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::SeqCst};

use siskin::kv_cache::KvType;
use siskin::session::SessionOptions;

static CALLS: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicIsize = AtomicIsize::new(0);

struct Counting;

// SAFETY: hands every call to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, SeqCst);
        LIVE.fetch_add(layout.size() as isize, SeqCst);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, SeqCst);
        LIVE.fetch_add(layout.size() as isize, SeqCst);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, SeqCst);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test, so that nothing else allocates meanwhile.
#[test]
fn passes_allocate_nothing_and_the_plan_is_true() {
    let archs = ["llama", "qwen2", "gemma3", "deepseek2", "qwen35", "qwen2moe", "gemma3n"];
    let kinds = [KvType::F16, KvType::Q8];
    for (arch, kv_type) in archs.into_iter().flat_map(|arch| kinds.map(|kv| (arch, kv))) {
        let model = common::tiny(arch, 2);
        let options = SessionOptions { context: Some(2048), batch: 128, kv_type, logit_rows: 8 };
        let fit = model.fit(&options).unwrap();
        let before = LIVE.load(SeqCst);
        let mut session = model.session(&options).unwrap();
        let took = (LIVE.load(SeqCst) - before) as f64;
        let planned = (fit.kv_cache + fit.buffers) as f64;
        assert!((took / planned - 1.0).abs() < 0.03, "{arch}: took {took} bytes, planned {planned}");

        let prompt = common::prompt(700);
        session.prefill(&prompt[..10]).unwrap(); // locks and lazy parts of the standard library
        wait_until_others_sleep();
        let calls = CALLS.load(SeqCst);
        session.prefill(&prompt[10..]).unwrap();
        for &token in &prompt[..40] {
            session.prefill(&[token]).unwrap();
        }
        for n in 1..=8 {
            let at = session.position();
            session.decode_rows(&prompt[..n]).unwrap();
            session.truncate(at + 1);
        }
        assert_eq!(CALLS.load(SeqCst) - calls, 0, "{arch}: the forward pass allocated");
    }
}

/// On a busy machine other threads (the worker, the test harness) may not have begun by now, and a thread allocates when
/// it does. Once they sleep they have.
fn wait_until_others_sleep() {
    let own = std::fs::read_link("/proc/thread-self").ok();
    let own = own.as_ref().and_then(|link| link.file_name());
    let sleeps = |id: &std::ffi::OsStr| {
        let stat = std::fs::read_to_string(std::path::Path::new("/proc/self/task").join(id).join("stat"));
        stat.is_ok_and(|s| s.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S')))
    };
    let mut quiet = 0;
    for _ in 0..1000 {
        std::thread::sleep(std::time::Duration::from_millis(10));
        let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return };
        let others: Vec<_> =
            tasks.filter_map(|t| Some(t.ok()?.file_name())).filter(|id| Some(&**id) != own).collect();
        quiet = if others.len() >= 2 && others.iter().all(|id| sleeps(id)) { quiet + 1 } else { 0 };
        if quiet == 3 {
            return;
        }
    }
    panic!("the other threads never slept");
}
