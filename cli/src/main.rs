//! The `siskin` command: runs, chats with, inspects and measures local language models.
//!
//! One file per subcommand. Answers and tables go to standard output, everything else to standard error. Errors are
//! one line, `siskin: error: …`, with what and where; exit codes are listed in `siskin --help`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program prints")]

mod about;
mod answer;
mod args;
mod aside;
mod bench;
mod chat;
mod check;
mod embed;
mod fim;
mod fit;
mod image;
mod imatrix;
mod info;
mod interrupt;
mod moderate;
mod output;
mod pack;
mod part;
mod perplexity;
mod place;
mod progress;
mod prompt;
mod quantize;
mod run;
#[cfg(unix)]
mod sigbus;
mod system;
mod tokenize;

use args::{Cli, Command};
use clap::Parser;
use output::Failure;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are no errors; a closed pipe is nobody's.
            let _ = if e.use_stderr() { write!(io::stderr(), "siskin: {e}") } else { e.print() };
            return ExitCode::from(if e.use_stderr() { output::USAGE } else { 0 });
        }
    };
    #[cfg(unix)]
    sigbus::install();
    let result = match &cli.command {
        Command::Run(args) => run::run(args),
        Command::Chat(args) => chat::run(args),
        Command::Info(args) => info::run(args),
        Command::Fit(args) => fit::run(args),
        Command::Embed(args) => embed::run(args),
        Command::Fim(args) => fim::run(args),
        Command::Moderate(args) => moderate::run(args),
        Command::Tokenize(args) => tokenize::run(args),
        Command::Perplexity(args) => perplexity::run(args),
        Command::Check(args) => check::run(args),
        Command::Pack(args) => pack::run(args),
        Command::Quantize(args) => quantize::run(args),
        Command::Imatrix(args) => imatrix::run(args),
        Command::Bench(args) => bench::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// The result of a subcommand.
type Result<T = (), E = Failure> = std::result::Result<T, E>;
