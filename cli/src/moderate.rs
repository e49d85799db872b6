//! `siskin moderate`: how probable it is that a text violates policies.

use crate::Result;
use crate::args::{Kv, ModelArgs};
use crate::interrupt::Interrupt;
use crate::output::{Failure, Table, print, print_json};
use crate::prompt::stdin_text;
use clap::Args;
use serde_json::json;
use siskin::{ModerateOptions, Policy};
use std::io::IsTerminal;
use std::time::Instant;

#[derive(Args, Debug)]
pub(crate) struct ModerateArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// What a user wrote; from standard input if absent or "-"
    text: Option<String>,
    /// What a chatbot answered to it; "-" for standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    response: Option<String>,
    /// A policy; may be given several times [default: all known ones]
    #[arg(long, value_name = "NAME[=WORDS]")]
    policy: Vec<String>,
    /// Use a model that does not say it is a classifier of this kind
    #[arg(long)]
    any_model: bool,
    /// How keys and values of past tokens are stored
    #[arg(long, value_enum, value_name = "TYPE", default_value_t = Kv::F16)]
    kv: Kv,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ModerateArgs) -> Result {
    let policies = policies(&args.policy)?;
    let (text, response) = texts(args)?;
    let interrupt = Interrupt::install()?;
    let model = args.model.open()?;
    let kv_type = args.kv.into();
    let mut moderator = model.moderator(&ModerateOptions { any_model: args.any_model, kv_type })?;
    interrupt.watch(Some(moderator.cancel_token()));
    let started = Instant::now();
    let scores = moderator.moderate(&text, response.as_deref(), &policies)?;
    let time = started.elapsed();
    if args.json {
        let list: Vec<_> = scores
            .iter()
            .map(|score| json!({ "policy": score.policy, "probability": score.probability }))
            .collect();
        print_json(&json!({
            "judged": if response.is_some() { "response" } else { "prompt" },
            "scores": list,
            "computed_tokens": moderator.computed_tokens(),
            "ms": time.as_secs_f64() * 1e3,
            "kernels": model.kernels().name(),
            "threads": model.threads(),
        }))?;
    } else {
        let mut table = Table::new(&["policy", "probability"]);
        for score in &scores {
            table.row([score.policy.clone(), format!("{:.4}", score.probability)]);
        }
        print(&table.render())?;
    }
    Ok(())
}

fn policies(given: &[String]) -> Result<Vec<Policy>> {
    if given.is_empty() {
        return Ok(Policy::all());
    }
    let policies: Vec<Policy> = given
        .iter()
        .map(|policy| match policy.split_once('=') {
            Some((name, words)) => Policy::custom(name, words),
            None => Policy::known(policy),
        })
        .collect();
    // Before a large model is opened.
    policies.iter().try_for_each(|policy| policy.words(false).map(drop))?;
    Ok(policies)
}

/// What a user wrote, and what was answered.
fn texts(args: &ModerateArgs) -> Result<(String, Option<String>)> {
    let from_stdin = |text: &str| if text == "-" { stdin_text() } else { Ok(text.to_owned()) };
    let response = args.response.as_deref();
    let text = match args.text.as_deref() {
        Some("-") | None if response == Some("-") => {
            return Err(Failure::Usage("standard input can be one of the texts only".to_owned()));
        }
        Some(text) => from_stdin(text)?,
        None if std::io::stdin().is_terminal() => {
            return Err(Failure::Usage("no text: give one, or pipe it in".to_owned()));
        }
        None => stdin_text()?,
    };
    let response = response.map(from_stdin).transpose()?;
    if text.is_empty() && response.is_none() {
        return Err(Failure::Usage("the text is empty".to_owned()));
    }
    Ok((text, response))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_by_name_and_in_words() {
        let given = ["harassment".to_owned(), "own=\"No X\": a = b.".to_owned()];
        let want = [Policy::known("harassment"), Policy::custom("own", "\"No X\": a = b.")];
        assert_eq!(policies(&given).ok(), Some(want.into()));
        assert_eq!(policies(&[]).map(|all| all.len()).ok(), Some(4));
        assert!(policies(&["spam".to_owned()]).is_err() && policies(&["spam=".to_owned()]).is_err());
    }
}
