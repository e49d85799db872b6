//! What the C ABI adds to each token: the same answer through the Rust API and through the C functions, in turn, in one
//! process, with events pushed and pulled.
//!
//! `cargo xtask script-model script.gguf && cargo bench -p siskin-ffi --bench overhead -- script.gguf [ROUNDS]`
//!
//! The model is a tiny one whose tokens take some microseconds, so that what is added shows. Each round runs all four
//! ways; what counts is the median over the rounds, and the median of the differences within a round.
#![allow(unsafe_code, reason = "it calls the C functions as C does")]
#![allow(non_camel_case_types, clippy::print_stdout, reason = "names of the header; it prints")]

use std::ffi::{c_char, c_void};
use std::time::Instant;

use siskin::tokenizer::TokenId;
use siskin::{
    Batch, Event, Flow, GenerateOptions, Model, ModelOptions, Prompt, SamplerConfig, SessionOptions,
    SharedSession,
};
use siskin_ffi as _; // the functions below

const TOKENS: usize = 512;

/// As in siskin.h.
#[repr(C)]
struct siskin_prompt {
    size: u32,
    parse_special: u32,
    text: *const c_char,
    text_len: usize,
    tokens: *const u32,
    token_count: usize,
    chat: *const c_void,
}

#[repr(C)]
struct siskin_generate_options {
    size: u32,
    limit_tokens: u32,
    max_tokens: u64,
    temperature: f32,
    between: [u32; 8], // top_k to penalty_last_n
    stop_at_end_of_turn: u32,
    rest: [u64; 8],
}

#[repr(C)]
struct siskin_event {
    size: u32,
    kind: u32,
    token: u32,
    logprob: f32,
    text: *const c_char,
    text_len: usize,
    rest: [u64; 3],
}

const TOKEN: u32 = 2;
const DONE: u32 = 4;

type Callback = unsafe extern "C" fn(*mut c_void, *const siskin_event) -> bool;

unsafe extern "C" {
    fn siskin_model_open_path(
        path: *const c_char,
        len: usize,
        options: *const c_void,
        out: *mut *mut c_void,
        error: *mut *mut c_void,
    ) -> u32;
    fn siskin_session_new(
        model: *const c_void,
        options: *const c_void,
        out: *mut *mut c_void,
        error: *mut *mut c_void,
    ) -> u32;
    fn siskin_session_truncate(session: *mut c_void, tokens: usize, left: *mut usize) -> u32;
    fn siskin_generate_options_init(options: *mut siskin_generate_options) -> u32;
    fn siskin_job_new(
        session: *mut c_void,
        prompt: *const siskin_prompt,
        options: *const siskin_generate_options,
        out: *mut *mut c_void,
        error: *mut *mut c_void,
    ) -> u32;
    fn siskin_job_run(
        job: *mut c_void,
        on_event: Callback,
        userdata: *mut c_void,
        outcome: *mut c_void,
        error: *mut *mut c_void,
    ) -> u32;
    fn siskin_job_next(
        job: *mut c_void,
        timeout: i64,
        events: *mut *const *const siskin_event,
        count: *mut usize,
        error: *mut *mut c_void,
    ) -> u32;
    fn siskin_job_free(job: *mut c_void) -> u32;
}

/// What a run heard: tokens and bytes of text, so that no way can leave something out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Heard {
    tokens: u64,
    ids: u64,
    text: u64,
}

impl Heard {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Token { id, .. } => {
                (self.tokens, self.ids) = (self.tokens + 1, self.ids + u64::from(id.0))
            }
            Event::Text(text) => self.text += text.len() as u64,
            Event::Prefill { .. } | Event::Reasoning(_) => {}
        }
    }

    fn raw(&mut self, event: &siskin_event) {
        if event.kind == TOKEN {
            (self.tokens, self.ids) = (self.tokens + 1, self.ids + u64::from(event.token));
        }
        self.text += event.text_len as u64;
    }
}

unsafe extern "C" fn on_event(userdata: *mut c_void, event: *const siskin_event) -> bool {
    // SAFETY: `c_run` hands over a `Heard`, the library an event.
    unsafe { (*userdata.cast::<Heard>()).raw(&*event) };
    true
}

fn rust_job(session: &SharedSession) -> siskin::Job {
    session.truncate(0).expect("idle");
    let options = GenerateOptions {
        max_tokens: Some(TOKENS),
        sampler: SamplerConfig::greedy(),
        stop_at_end_of_turn: false,
        ..GenerateOptions::default()
    };
    session.job(Prompt::Tokens(vec![TokenId(1)]), options).expect("makes sense")
}

fn rust_run(session: &SharedSession) -> (f64, Heard) {
    let (job, mut heard) = (rust_job(session), Heard::default());
    let started = Instant::now();
    let outcome = job.run(&mut |event| {
        heard.event(event);
        Flow::Continue
    });
    let took = started.elapsed().as_secs_f64();
    outcome.expect("runs");
    (took, heard)
}

fn rust_next(session: &SharedSession) -> (f64, Heard) {
    let (job, mut heard, mut batch) = (rust_job(session), Heard::default(), Batch::default());
    let started = Instant::now();
    while job.next(&mut batch, None).expect("runs").is_none() {
        batch.events().for_each(|event| heard.event(event));
    }
    (started.elapsed().as_secs_f64(), heard)
}

fn c_job(session: *mut c_void) -> *mut c_void {
    let begin = 1u32;
    let prompt = siskin_prompt {
        size: size_of::<siskin_prompt>() as u32,
        parse_special: 0,
        text: std::ptr::null(),
        text_len: 0,
        tokens: &raw const begin,
        token_count: 1,
        chat: std::ptr::null(),
    };
    let mut job = std::ptr::null_mut();
    // SAFETY: numbers and pointers only; as the header says.
    unsafe {
        let mut options: siskin_generate_options = std::mem::zeroed();
        options.size = size_of::<siskin_generate_options>() as u32;
        let mut left = 0;
        assert_eq!(siskin_session_truncate(session, 0, &raw mut left), 0);
        assert_eq!(siskin_generate_options_init(&raw mut options), 0);
        (options.temperature, options.stop_at_end_of_turn) = (0.0, 0);
        (options.limit_tokens, options.max_tokens) = (1, TOKENS as u64);
        let error = std::ptr::null_mut();
        assert_eq!(siskin_job_new(session, &raw const prompt, &raw const options, &raw mut job, error), 0);
    }
    job
}

fn c_run(session: *mut c_void) -> (f64, Heard) {
    let (job, mut heard) = (c_job(session), Heard::default());
    let started = Instant::now();
    // SAFETY: as the header says.
    unsafe {
        let result = siskin_job_run(
            job,
            on_event,
            (&raw mut heard).cast(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        );
        let took = started.elapsed().as_secs_f64();
        assert_eq!(result, 0);
        siskin_job_free(job);
        (took, heard)
    }
}

fn c_next(session: *mut c_void) -> (f64, Heard) {
    let (job, mut heard) = (c_job(session), Heard::default());
    let started = Instant::now();
    let (mut events, mut count, mut done) = (std::ptr::null(), 0, false);
    while !done {
        // SAFETY: as the header says.
        let batch = unsafe {
            assert_eq!(siskin_job_next(job, -1, &raw mut events, &raw mut count, std::ptr::null_mut()), 0);
            std::slice::from_raw_parts(events, count)
        };
        for &event in batch {
            // SAFETY: valid until the next call.
            let event = unsafe { &*event };
            done |= event.kind == DONE;
            heard.raw(event);
        }
    }
    let took = started.elapsed().as_secs_f64();
    // SAFETY: as the header says.
    unsafe { siskin_job_free(job) };
    (took, heard)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    let Some(path) = args.next() else {
        println!("skipped: no model; see the head of ffi/benches/overhead.rs");
        return;
    };
    let rounds = args.next().map_or(300, |n| n.parse().expect("a number of rounds"));
    let model =
        Model::open(&path, &ModelOptions { threads: Some(1), ..ModelOptions::default() }).expect("opens");
    let rust = SharedSession::new(&model, &SessionOptions::default()).expect("fits");
    let (mut handle, mut session) = (std::ptr::null_mut(), std::ptr::null_mut());
    // One thread here too: siskin_model_options that say no more than size and threads.
    let threads: [u32; 2] = [8, 1];
    // SAFETY: as the header says.
    unsafe {
        let error = std::ptr::null_mut();
        let options = (&raw const threads).cast();
        assert_eq!(
            siskin_model_open_path(path.as_ptr().cast(), path.len(), options, &raw mut handle, error),
            0
        );
        assert_eq!(siskin_session_new(handle, std::ptr::null(), &raw mut session, error), 0);
    }
    let mut times: [Vec<f64>; 4] = Default::default();
    let mut expected = None;
    for round in 0..rounds + 10 {
        // Whoever comes after a wait is treated better by the scheduler: each takes each place.
        for place in 0..4 {
            let way = (place + round) % 4;
            let (took, heard) = match way {
                0 => rust_run(&rust),
                1 => c_run(session),
                2 => rust_next(&rust),
                _ => c_next(session),
            };
            assert_eq!(*expected.get_or_insert(heard), heard, "every way tells the same");
            assert_eq!(heard.tokens, TOKENS as u64);
            if round >= 10 {
                times[way].push(took * 1e6 / TOKENS as f64);
            }
        }
    }
    let added =
        |c: usize, rust: usize| median(times[c].iter().zip(&times[rust]).map(|(c, rust)| c - rust).collect());
    println!("microseconds per token, medians of {rounds} rounds of {TOKENS} tokens:");
    for (name, i) in [("pushed", 0), ("pulled", 2)] {
        let [rust, c] = [i, i + 1].map(|i| median(times[i].clone()));
        println!("{name}: Rust {rust:.3}, C {c:.3}, added {:.3}", added(i + 1, i));
    }
}
