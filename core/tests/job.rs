//! Jobs and shared sessions on tiny models: pushed and pulled, busy, cancelled, dropped.
#![allow(clippy::unwrap_used, reason = "a panic is a failure")]

mod common;

use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use common::{prompt, tiny};
use siskin::chat::{Message, RenderOptions};
use siskin::sampler::SamplerConfig;
use siskin::tokenizer::TokenId;
use siskin::{
    Batch, CancelToken, ErrorKind, Event, Flow, GenerateOptions, Job, Log, LogLevel, Model, ModelOptions,
    Outcome, Pressure, Prompt, SessionOptions, SharedSession, StopReason, Thermal,
};

fn options(max_tokens: usize) -> GenerateOptions {
    GenerateOptions {
        max_tokens: Some(max_tokens),
        sampler: SamplerConfig::greedy(),
        stop_at_end_of_turn: false,
        ..GenerateOptions::default()
    }
}

fn session(model: &Model, context: usize) -> SharedSession {
    let sizes = SessionOptions { context: Some(context), batch: 64, ..SessionOptions::default() };
    SharedSession::new(model, &sizes).unwrap()
}

fn tokens(n: usize) -> Prompt {
    Prompt::Tokens(prompt(n))
}

/// The tokens, the text and the end of a job.
type Answer = (Vec<u32>, String, Outcome);

fn note(event: Event<'_>, ids: &mut Vec<u32>, text: &mut String) {
    match event {
        Event::Token { id, .. } => ids.push(id.0),
        Event::Text(piece) => text.push_str(piece),
        Event::Prefill { done, total } => assert!(done <= total),
        Event::Reasoning(_) => panic!("it was not asked for"),
    }
}

fn run(job: &Job) -> Answer {
    let (mut ids, mut text) = Default::default();
    let outcome = job.run(&mut |event| {
        note(event, &mut ids, &mut text);
        Flow::Continue
    });
    (ids, text, outcome.unwrap())
}

fn pull(job: &Job, pause: Duration) -> Answer {
    let (mut ids, mut text, mut batch) = Default::default();
    loop {
        let end = job.next(&mut batch, None).unwrap();
        batch.events().for_each(|event| note(event, &mut ids, &mut text));
        if let Some(outcome) = end {
            assert!(batch.is_empty());
            return (ids, text, outcome);
        }
        assert!(!batch.is_empty(), "waits until there is something");
        std::thread::sleep(pause);
    }
}

fn without_times((ids, text, outcome): Answer) -> (Vec<u32>, String, StopReason, usize) {
    (ids, text, outcome.reason, outcome.stats.generated_tokens)
}

#[test]
fn pushed_and_pulled_are_the_same() {
    let model = tiny("gemma3", 2);
    let want = without_times(run(&session(&model, 256).job(tokens(40), options(60)).unwrap()));
    assert_eq!((want.0.len(), want.2), (60, StopReason::MaxTokens));
    for pause in [0, 2] {
        let job = session(&model, 256).job(tokens(40), options(60));
        // The session's last owner is gone before the job starts.
        assert_eq!(job.unwrap().next(&mut Batch::default(), None).unwrap_err().kind(), ErrorKind::Argument);
        let shared = session(&model, 256);
        let job = shared.job(tokens(40), options(60)).unwrap();
        assert_eq!(without_times(pull(&job, Duration::from_millis(pause))), want);
        let again = job.next(&mut Batch::default(), None).unwrap().unwrap();
        assert_eq!((again.reason, job.outcome().unwrap().unwrap().reason), (want.2, want.2));
        assert_eq!(shared.position().unwrap(), 40 + 59, "the session is free when the end is known");
    }
}

#[test]
fn who_does_not_pull_stops_the_computation_and_nothing_is_lost() {
    let model = tiny("llama", 1);
    let shared = session(&model, 2048);
    let want = without_times(run(&shared.job(tokens(9), options(1200)).unwrap()));
    shared.truncate(0).unwrap();
    let job = shared.job(tokens(9), options(1200)).unwrap();
    job.start().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    assert!(job.outcome().is_none(), "1200 tokens and their text do not fit the queue");
    assert_eq!(without_times(pull(&job, Duration::ZERO)), want);
}

#[test]
fn one_job_at_a_time() {
    let model = tiny("llama", 1);
    let shared = session(&model, 2048);
    let first = shared.job(tokens(9), options(2000)).unwrap();
    let second = shared.job(tokens(9), options(3)).unwrap();
    first.start().unwrap();
    let kind = |e: siskin::Error| e.kind();
    assert_eq!(kind(second.start().unwrap_err()), ErrorKind::Busy);
    assert_eq!(kind(shared.position().unwrap_err()), ErrorKind::Busy);
    assert_eq!(kind(shared.truncate(0).unwrap_err()), ErrorKind::Busy);
    assert_eq!(kind(first.start().unwrap_err()), ErrorKind::Argument);
    first.cancel();
    first.cancel();
    let (ids, _, outcome) = pull(&first, Duration::ZERO);
    assert_eq!(outcome.reason, StopReason::Cancelled);
    assert!(ids.len() < 2000);
    // Busy is no end: the same job runs now.
    assert_eq!(pull(&second, Duration::ZERO).2.reason, StopReason::MaxTokens);
}

#[test]
fn a_job_from_inside_a_job_is_refused_and_the_outer_one_goes_on() {
    let model = tiny("llama", 2);
    let shared = session(&model, 256);
    let job = shared.job(tokens(9), options(5)).unwrap();
    let mut refused = 0;
    let outcome = job.run(&mut |_| {
        let inner = shared.job(tokens(2), options(1)).unwrap();
        refused += usize::from(inner.run(&mut |_| Flow::Continue).unwrap_err().kind() == ErrorKind::Busy);
        refused += usize::from(job.run(&mut |_| Flow::Continue).unwrap_err().kind() == ErrorKind::Argument);
        Flow::Continue
    });
    assert_eq!(outcome.unwrap().stats.generated_tokens, 5);
    assert!(refused >= 12 && refused % 2 == 0);
}

#[test]
fn cancelling_counts_before_the_start_and_in_a_prefill() {
    let model = tiny("llama", 2);
    let shared = session(&model, 8192);
    let job = shared.job(tokens(9), options(5)).unwrap();
    job.cancel();
    assert_eq!(run(&job).2.reason, StopReason::Cancelled);
    assert_eq!(shared.position().unwrap(), 0);

    let job = shared.job(tokens(8000), options(5)).unwrap();
    let mut batch = Batch::default();
    assert!(job.next(&mut batch, None).unwrap().is_none(), "a batch of the prompt is done");
    let (token, cancelled) = (job.cancel_token(), Instant::now());
    token.cancel();
    let (ids, _, outcome) = pull(&job, Duration::ZERO);
    assert!(cancelled.elapsed() < Duration::from_millis(500), "{:?}", cancelled.elapsed());
    assert_eq!((ids.len(), outcome.reason), (0, StopReason::Cancelled));
    let done = shared.position().unwrap();
    assert!((64..8000).contains(&done), "{done} tokens were done");
    // The session goes on as if nothing had been.
    let rest = Prompt::Tokens(prompt(8000)[done..done + 20].to_vec());
    let answer = run(&shared.job(rest, options(5)).unwrap());
    let whole = Prompt::Tokens(prompt(8000)[..done + 20].to_vec());
    assert_eq!(answer.0, run(&session(&model, 8192).job(whole, options(5)).unwrap()).0);
}

#[test]
fn dropping_does_not_wait_and_ends_the_work() {
    for what in ["session", "job"] {
        let ended = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&ended);
        let with_log = ModelOptions {
            threads: Some(1),
            log: Some(Log::new(LogLevel::Info, move |_, text| sink.lock().unwrap().push_str(text))),
            ..ModelOptions::default()
        };
        let file = siskin::gguf::GgufFile::from_bytes(common::tiny_file("llama")).unwrap();
        let model = Model::from_gguf(file, &with_log).unwrap();
        assert!(ended.lock().unwrap().contains("opened: llama"));
        let shared = session(&model, 8192);
        let job = shared.job(tokens(8000), options(100)).unwrap();
        job.start().unwrap();
        let started = Instant::now();
        if what == "session" {
            drop(shared);
            assert!(started.elapsed() < Duration::from_millis(250));
            assert_eq!(pull(&job, Duration::ZERO).2.reason, StopReason::Cancelled);
        } else {
            drop(job);
            assert!(started.elapsed() < Duration::from_millis(250));
            while shared.position().is_err() {
                assert!(started.elapsed() < Duration::from_secs(5), "the job ends");
                std::thread::yield_now();
            }
        }
        assert!(ended.lock().unwrap().contains("job ended (Cancelled)"), "{}", ended.lock().unwrap());
    }
}

#[test]
fn a_panicking_listener_leaves_the_session_usable() {
    let model = tiny("llama", 2);
    let shared = session(&model, 256);
    let job = shared.job(tokens(9), options(5)).unwrap();
    let caught =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job.run(&mut |_| panic!("listener"))));
    assert!(caught.is_err());
    assert_eq!(job.next(&mut Batch::default(), None).unwrap_err().kind(), ErrorKind::Poisoned);
    shared.truncate(0).unwrap();
    let again = run(&shared.job(tokens(9), options(5)).unwrap());
    assert_eq!(again.0, run(&session(&model, 256).job(tokens(9), options(5)).unwrap()).0);
}

#[test]
fn an_answer_that_was_cut_off_goes_on() {
    let model = tiny("qwen2", 1);
    let want = run(&session(&model, 256).job(tokens(12), options(20)).unwrap());
    let shared = session(&model, 256);
    let first = run(&shared.job(tokens(12), options(8)).unwrap());
    let rest = run(&shared.job(Prompt::Tokens(Vec::new()), options(12)).unwrap());
    assert_eq!([first.0, rest.0].concat(), want.0);
    assert_eq!(first.1 + &rest.1, want.1);
    // A text behind an answer comes behind all of it, the last token included.
    let more = Prompt::Text { text: "more".to_owned(), parse_special: false, pictures: Vec::new() };
    run(&shared.job(more, options(0)).unwrap());
    let held: Vec<u32> = shared.tokens().unwrap().iter().map(|t| t.0).collect();
    assert_eq!(held[12..32], want.0);
    assert!(held.len() > 32 && held[32] != 1, "no second begin token");
}

#[test]
fn conversations_compute_only_what_is_new() {
    let model = tiny("llama", 1);
    let shared = session(&model, 1024);
    let ask = |messages: &[Message]| Prompt::Messages {
        messages: messages.to_vec(),
        options: RenderOptions { add_generation_prompt: true, ..RenderOptions::default() },
        pictures: Vec::new(),
    };
    let mut messages = vec![Message::new("user", "tell me something about finches")];
    let (_, text, first) = run(&shared.job(ask(&messages), options(6)).unwrap());
    messages.extend([Message::new("assistant", text), Message::new("user", "and more")]);
    let (ids, _, second) = run(&shared.job(ask(&messages), options(6)).unwrap());
    let (fresh, _, whole) = run(&session(&model, 1024).job(ask(&messages), options(6)).unwrap());
    assert_eq!(ids, fresh);
    assert!(first.stats.prompt_tokens > 30);
    assert!(second.stats.prompt_tokens + first.stats.prompt_tokens <= whole.stats.prompt_tokens + 2);
}

#[test]
fn options_are_looked_at_before_the_start() {
    let model = tiny("llama", 1);
    let shared = session(&model, 64);
    let bad = |f: &dyn Fn(&mut GenerateOptions)| {
        let mut options = options(1);
        f(&mut options);
        shared.job(tokens(3), options).unwrap_err().kind()
    };
    assert_eq!(bad(&|o| o.sampler.temperature = -1.0), ErrorKind::Argument);
    assert_eq!(bad(&|o| o.sampler.logit_bias = vec![(TokenId(u32::MAX), 1.0)]), ErrorKind::Argument);
    assert_eq!(bad(&|o| o.stop = vec![String::new()]), ErrorKind::Argument);
    // What needs the session is told by the job, each time it is asked.
    let job = shared.job(tokens(65), options(1)).unwrap();
    for _ in 0..2 {
        let error = job.next(&mut Batch::default(), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ContextFull);
    }
}

#[test]
fn a_timeout_comes_back_with_nothing() {
    let model = tiny("llama", 1);
    let shared = session(&model, 8192);
    let job = shared.job(tokens(8000), options(1)).unwrap();
    let mut batch = Batch::default();
    let (started, mut empty) = (Instant::now(), 0);
    while job.next(&mut batch, Some(Duration::ZERO)).unwrap().is_none() {
        empty += usize::from(batch.is_empty());
        assert!(started.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(empty > 0);
}

#[test]
fn heat_and_short_memory_change_no_token() {
    let path = std::env::temp_dir().join(format!("siskin-heat-{}.gguf", std::process::id()));
    std::fs::write(&path, common::tiny_file("gemma3")).unwrap();
    let options_of = |threads| ModelOptions { threads: Some(threads), ..ModelOptions::default() };
    let model = Model::open(&path, &options_of(4)).unwrap();
    let want = run(&session(&model, 512).job(tokens(99), options(80)).unwrap()).0;
    let shared = session(&model, 512);
    let job = shared.job(tokens(99), options(80)).unwrap();
    let mut got = Vec::new();
    let levels = [Thermal::Critical, Thermal::Nominal, Thermal::Serious, Thermal::Fair];
    job.run(&mut |event| {
        if let Event::Token { id, .. } = event {
            let level = levels[got.len() % levels.len()];
            model.set_thermal(level);
            let active = if level == Thermal::Critical {
                1
            } else if level == Thermal::Serious {
                2
            } else {
                4
            };
            assert_eq!(model.active_threads(), active);
            model.relieve([Pressure::Critical, Pressure::None, Pressure::Moderate][got.len() % 3]);
            got.push(id.0);
        }
        Flow::Continue
    })
    .unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(got, want);
}

#[test]
fn eight_threads_on_one_model() {
    let model = tiny("qwen2", 2);
    let want = run(&session(&model, 256).job(tokens(30), options(30)).unwrap()).0;
    std::thread::scope(|scope| {
        for i in 0..8 {
            let (model, want) = (&model, &want);
            scope.spawn(move || {
                let shared = session(model, 256);
                let job = shared.job(tokens(30), options(30)).unwrap();
                let got = if i % 2 == 0 { run(&job).0 } else { pull(&job, Duration::ZERO).0 };
                assert_eq!(got, *want);
            });
        }
    });
}

#[test]
fn threads_that_pull_from_one_job_share_its_events() {
    let model = tiny("llama", 1);
    let shared = session(&model, 64);
    for _ in 0..200 {
        shared.truncate(0).unwrap();
        let job = shared.job(tokens(3), options(4)).unwrap();
        let together = Barrier::new(4);
        let count = || {
            let (mut batch, mut ids) = (Batch::default(), 0);
            together.wait();
            while job.next(&mut batch, None).unwrap().is_none() {
                ids += batch.events().filter(|e| matches!(e, Event::Token { .. })).count();
            }
            ids
        };
        let ids: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(ids, 4);
    }
}

#[test]
fn a_job_that_is_run_cannot_be_pulled() {
    let model = tiny("llama", 1);
    let shared = session(&model, 64);
    let job = shared.job(tokens(3), options(2)).unwrap();
    let mut refused = 0;
    let outcome = job.run(&mut |_| {
        // Waiting here for what this function hears would be waiting for ever.
        let error = job.next(&mut Batch::default(), Some(Duration::from_secs(2))).unwrap_err();
        refused += usize::from(error.kind() == ErrorKind::Argument);
        Flow::Continue
    });
    assert_eq!(outcome.unwrap().reason, StopReason::MaxTokens);
    assert!(refused >= 3);
    let after = job.next(&mut Batch::default(), None).unwrap();
    assert_eq!(after.unwrap().reason, StopReason::MaxTokens);
}

#[test]
fn stopping_at_the_last_of_the_prompt_counts() {
    let model = tiny("llama", 1);
    let shared = session(&model, 64);
    let job = shared.job(tokens(3), options(5)).unwrap();
    let prompt_only = |e: Event<'_>| {
        if matches!(e, Event::Prefill { .. }) { Flow::Stop } else { panic!("more than the prompt") }
    };
    let outcome = job.run(&mut { prompt_only }).unwrap();
    assert_eq!((outcome.reason, outcome.stats.generated_tokens), (StopReason::Caller, 0));
    assert_eq!(shared.position().unwrap(), 3);
}

#[test]
fn a_cancelled_job_says_how_much_it_read() {
    let model = tiny("llama", 1);
    let shared = session(&model, 1024);
    let job = shared.job(tokens(800), options(5)).unwrap();
    let outcome = job.run(&mut |_| {
        job.cancel();
        Flow::Continue
    });
    assert_eq!(outcome.unwrap().stats.prompt_tokens, 64, "one batch of 800 tokens");
    assert_eq!(shared.position().unwrap(), 64);
}

#[test]
fn a_text_is_cancelled_while_it_is_encoded() {
    let model = tiny("llama", 1);
    let shared = session(&model, 128);
    // Many words, and one that is merged as a whole: seconds of work, and in the end more than the context holds.
    for text in ["a finch ".repeat(8 << 20), "finches".repeat(4 << 20)] {
        let job = shared
            .job(Prompt::Text { text, parse_special: false, pictures: Vec::new() }, options(5))
            .unwrap();
        let outcome = std::thread::scope(|scope| {
            let running = scope.spawn(|| job.run(&mut |_| Flow::Continue));
            std::thread::sleep(Duration::from_millis(30));
            job.cancel();
            running.join().unwrap()
        });
        assert_eq!(outcome.unwrap().reason, StopReason::Cancelled);
        assert_eq!(shared.position().unwrap(), 0);
    }
}

#[test]
fn a_conversation_that_does_not_start_forgets_nothing() {
    let model = tiny("llama", 1);
    let shared = session(&model, 128);
    let ask = |text: String| {
        let (messages, options) = (vec![Message::new("user", text)], RenderOptions::default());
        Prompt::Messages { messages, options, pictures: Vec::new() }
    };
    run(&shared.job(tokens(30), options(5)).unwrap());
    let held = shared.tokens().unwrap();
    let too_long = shared.job(ask("finches ".repeat(100)), options(5)).unwrap();
    assert_eq!(too_long.next(&mut Batch::default(), None).unwrap_err().kind(), ErrorKind::ContextFull);
    assert_eq!(shared.tokens().unwrap(), held);
    let cancelled = shared.job(ask("a".to_owned()), options(5)).unwrap();
    cancelled.cancel();
    assert_eq!(run(&cancelled).2.reason, StopReason::Cancelled);
    assert_eq!(shared.tokens().unwrap(), held);
}

#[test]
fn a_job_that_is_over_does_not_cancel_others_with_its_token() {
    let model = tiny("llama", 1);
    let shared = session(&model, 128);
    let token = CancelToken::default();
    let job = || shared.job_with(tokens(5), options(2), token.clone()).unwrap();
    let next = job();
    assert_eq!(run(&job()).2.reason, StopReason::MaxTokens);
    drop(job());
    assert!(!token.is_cancelled(), "nobody did");
    assert_eq!(run(&next).2.reason, StopReason::MaxTokens);
}
