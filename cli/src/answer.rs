//! One answer on its way to standard output, or collected for JSON.

use crate::Result;
use crate::args::Reasoning;
use crate::aside::Aside;
use crate::output::print;
use crate::progress::Progress;
use crate::prompt::rate;
use siskin::{Event, Flow, Job, Outcome};

/// What was answered, and how it ended.
pub(crate) struct Answer {
    /// The text, if it was not printed.
    pub(crate) text: String,
    /// What the model thought, if that was asked for.
    pub(crate) reasoning: String,
    pub(crate) tokens: Vec<u32>,
    /// If they were asked for.
    pub(crate) logprobs: Vec<f32>,
    pub(crate) outcome: Outcome,
    /// Whether the output is at the start of a line.
    pub(crate) at_line_start: bool,
}

impl Answer {
    /// Runs the job; text is printed as it comes, unless it is to be collected.
    pub(crate) fn of(job: &Job, collect: bool, reasoning: Reasoning) -> Result<Self> {
        let mut aside = Aside::new(reasoning, collect);
        let mut progress = Progress::new();
        let (mut text, mut tokens, mut logprobs) = (String::new(), Vec::new(), Vec::new());
        let (mut broken, mut at_line_start) = (None, true);
        let outcome = job.run(&mut |event| {
            match event {
                Event::Prefill { done, total } => progress.show("reading", done, total),
                Event::Token { id, logprob } => {
                    progress.clear();
                    tokens.push(id.0);
                    logprobs.extend(logprob);
                }
                Event::Reasoning(piece) => aside.push(piece),
                Event::Text(piece) => {
                    aside.close();
                    if collect {
                        text.push_str(piece);
                    } else if let Err(e) = print(piece) {
                        broken = Some(e);
                        return Flow::Stop;
                    } else {
                        at_line_start = piece.ends_with('\n');
                    }
                }
            }
            Flow::Continue
        });
        drop(progress);
        if let Some(e) = broken {
            return Err(e.into());
        }
        if outcome.is_err() && !at_line_start {
            print("\n")?;
        }
        Ok(Self { text, reasoning: aside.into_text(), tokens, logprobs, outcome: outcome?, at_line_start })
    }

    /// Tokens generated per second, the first one left out: it belongs to the prompt.
    pub(crate) fn decode_rate(&self) -> f64 {
        let stats = self.outcome.stats;
        rate(stats.generated_tokens.saturating_sub(1), stats.decode_time)
    }
}
