//! Memory: a prompt that nearly fills a context of 2,048 tokens, and some tokens after it; f16 keys and values.

use std::fs;
use std::path::Path;

use super::process::{Usage, measure};
use super::record::Record;
use super::{Bench, scratch, short_name};
use crate::Failure;

const CONTEXT: &str = "2048";
/// Of English text: well below the context in every vocabulary.
const PROMPT_BYTES: usize = 7000;
const TOKENS: &str = "32";

pub(super) fn run(bench: &mut Bench, folder: &Path) -> Result<(), Failure> {
    let text = fs::read_to_string(folder.join("text/brown-corpus-detagged.txt"))?;
    let prompt = text.get(..text.floor_char_boundary(PROMPT_BYTES)).unwrap_or_default().to_string();
    let file = scratch("prompt.txt");
    fs::write(&file, &prompt)?;
    let threads = bench.peers.threads.clone();
    for model in &bench.models.clone() {
        let runs =
            bench.in_turn(&format!("{}, memory", short_name(model)), &["siskin", "llama.cpp"], |b, side| {
                let mut command = if side == "siskin" {
                    let mut c = b.peers.siskin("run", model);
                    c.args(["--raw", "--ignore-eos", "--ctx", CONTEXT, "-n", TOKENS, "--temp", "0", &prompt]);
                    c
                } else {
                    let mut c = b.peers.llama("llama-completion", model);
                    c.args([
                        "-c",
                        CONTEXT,
                        "-n",
                        TOKENS,
                        "--temp",
                        "0",
                        "--ignore-eos",
                        "-no-cnv",
                        "-fit",
                        "off",
                    ]);
                    c.args(["--no-escape", "--no-display-prompt", "-f"]).arg(&file);
                    c
                };
                measure(&mut command)
            });
        let size = fs::metadata(model)?.len() as f64;
        for (test, value) in [
            ("anonymous, MiB", &(|u: &Usage| u.anon) as &dyn Fn(&Usage) -> u64),
            ("peak resident, MiB", &|u| u.peak),
        ] {
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            let of = |runs: &Vec<Usage>| runs.iter().map(|u| mib(value(u))).collect();
            bench.put(Record {
                table: "memory".into(),
                model: short_name(model),
                test: test.into(),
                threads: threads.parse()?,
                sides: runs.iter().map(|(s, r)| ((*s).to_string(), of(r))).collect(),
                bytes: size,
                ..Record::default()
            })?;
        }
    }
    bench.print("memory");
    Ok(())
}
