//! The command line.

use crate::about::{EMBED, FIM, MODERATE, PACK};
use crate::fim::FimArgs;
use crate::imatrix::ImatrixArgs;
use crate::moderate::ModerateArgs;
use crate::quantize::QuantizeArgs;
use clap::{Args, Parser, Subcommand, ValueEnum};
use siskin::sampler::SamplerConfig;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Exit codes:
  0    done
  1    failed for another reason
  2    the command line, or a setting in it, makes no sense
  3    the model is refused: malformed, unsupported, incomplete, beyond limits
  4    a file cannot be read
  5    the model file changed while it was in use
  6    `fit`: it does not fit
  74   a mapped file vanished and that could not be handled
  130  cancelled with Ctrl-C

Examples:
  siskin run model.gguf \"Why is the sky blue?\"
  siskin run model.gguf --raw -n 32 --temp 0 < start-of-a-story.txt
  siskin run gemma.gguf --mmproj mmproj.gguf --image photo.jpg \"What is this?\"
  siskin chat model.gguf --system \"Answer in one sentence.\"
  siskin fit model.gguf --ctx 8192
  siskin info model.gguf --json
  siskin embed embedding-model.gguf --similarity --text \"Why is the sky blue?\" --text - < answers.txt
  siskin fim coder-model.gguf main.rs --at 12:5
  siskin moderate shieldgemma.gguf --policy hate_speech < text.txt
  siskin quantize folder model.gguf --type Q4_K_M
";

/// Runs language models on this machine: memory-mapped GGUF files and Hugging Face folders in, text out.
#[derive(Debug, Parser)]
#[command(name = "siskin", version, after_help = AFTER_HELP, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

// One paragraph of documentation on a variant would take the place of these texts, and so would that of what a
// subcommand's arguments have in common with others'.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answer one prompt
    Run(RunArgs),
    /// Talk with a model
    Chat(ChatArgs),
    /// Show what is in a model file
    Info(InfoArgs),
    /// Say whether a model fits this machine
    Fit(FitArgs),
    #[command(about = "Turn texts into vectors", long_about = EMBED)]
    Embed(EmbedArgs),
    #[command(about = "Complete a text in the middle: code, in an editor", long_about = FIM)]
    Fim(FimArgs),
    #[command(about = "Say how probable it is that a text violates policies", long_about = MODERATE)]
    Moderate(ModerateArgs),
    /// Turn text into tokens, or tokens into text
    Tokenize(TokenizeArgs),
    /// Measure how well a model predicts a text
    Perplexity(PerplexityArgs),
    /// Check a file up to a stage of its use
    Check(CheckArgs),
    #[command(about = "Copy a model file and add what makes it faster", long_about = PACK)]
    Pack(PackArgs),
    /// Write a model with smaller weights
    Quantize(QuantizeArgs),
    /// Measure how much each input of a model's products matters, for `quantize`
    Imatrix(ImatrixArgs),
    /// Measure speed and memory
    Bench(BenchArgs),
}

/// Which model, and on what.
#[derive(Args, Clone, Debug)]
pub(crate) struct ModelArgs {
    /// A GGUF file (of a split model, any part), or a folder with config.json and safetensors files
    pub(crate) model: PathBuf,
    /// Threads [default: one for each fast core]
    #[arg(long, short = 't', value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Kernels by name instead of the fastest that the processor runs, such as "scalar"
    #[arg(long, value_name = "TIER")]
    pub(crate) kernels: Option<String>,
    /// How the experts of a model that has some come into memory
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub(crate) experts: Experts,
}

/// How experts come into memory.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default)]
pub(crate) enum Experts {
    /// "stream" if the file is larger than the memory that is left, else "map"
    #[default]
    Auto,
    /// Like everything else: the system reads around what is touched
    Map,
    /// One by one: the system is told which come next, and reads nothing else of them
    Stream,
}

/// Sizes of a session.
#[derive(Args, Clone, Debug)]
pub(crate) struct ContextArgs {
    /// Tokens that prompt and answer may take together [default: 4096, or what the model was trained for if less]
    #[arg(long, short = 'c', value_name = "N")]
    pub(crate) ctx: Option<usize>,
    #[command(flatten)]
    pub(crate) pass: PassArgs,
}

/// What a session computes in, and on.
#[derive(Args, Clone, Debug)]
pub(crate) struct PassArgs {
    /// Prompt tokens in one pass
    #[arg(long, short = 'b', value_name = "N")]
    pub(crate) batch: Option<usize>,
    /// How keys and values of past tokens are stored
    #[arg(long, value_enum, value_name = "TYPE", default_value_t = Kv::F16)]
    pub(crate) kv: Kv,
}

/// How keys and values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kv {
    /// 16-bit floats
    F16,
    /// 32-bit floats: twice the memory, to compare with
    F32,
    /// 8 bits: about half the memory, and faster behind long texts; the answers differ a little
    Q8,
}

/// How tokens are chosen.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingArgs {
    /// Temperature; 0 always takes the most probable token
    #[arg(long, value_name = "T", default_value_t = SamplerConfig::default().temperature, allow_negative_numbers = true)]
    pub(crate) temp: f32,
    /// Keep the K most probable tokens; 0 keeps all
    #[arg(long, value_name = "K", default_value_t = SamplerConfig::default().top_k)]
    pub(crate) top_k: usize,
    /// Keep the most probable tokens that together reach P
    #[arg(long, value_name = "P", default_value_t = SamplerConfig::default().top_p, allow_negative_numbers = true)]
    pub(crate) top_p: f32,
    /// Keep tokens at least P times as probable as the best
    #[arg(long, value_name = "P", default_value_t = SamplerConfig::default().min_p, allow_negative_numbers = true)]
    pub(crate) min_p: f32,
    /// Keep the most typical tokens that together reach P
    #[arg(long, value_name = "P", default_value_t = SamplerConfig::default().typical_p, allow_negative_numbers = true)]
    pub(crate) typical: f32,
    /// Make tokens of the last 64 less probable; 1 does nothing
    #[arg(long, value_name = "R", default_value_t = SamplerConfig::default().repeat_penalty, allow_negative_numbers = true)]
    pub(crate) repeat_penalty: f32,
    /// Take this from a token's logit for each time it occurred
    #[arg(long, value_name = "F", default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) frequency_penalty: f32,
    /// Take this from a token's logit if it occurred
    #[arg(long, value_name = "F", default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) presence_penalty: f32,
    /// How many tokens the penalties look back on
    #[arg(long, value_name = "N", default_value_t = SamplerConfig::default().penalty_last_n)]
    pub(crate) repeat_last_n: usize,
    /// Where the random numbers start: the same seed gives the same answer [default: from the clock]
    #[arg(long, value_name = "SEED")]
    pub(crate) seed: Option<u64>,
}

/// What becomes of reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reasoning {
    /// Shown on standard error if that is a terminal; with --json, a field of its own
    #[default]
    Auto,
    /// Shown on standard error; with --json, a field of its own
    Show,
    /// Left out
    Hide,
}

/// A number of tokens to generate: none would look like an empty answer.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1 token must be asked for".to_owned()),
        Ok(n) => Ok(n),
        Err(e) => Err(format!("{e}")),
    }
}

/// What the model is to see.
#[derive(Args, Clone, Debug)]
pub(crate) struct ImageArgs {
    /// The vision tower of the model: a GGUF file ("mmproj"), or a folder [default: the model itself if it is a folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) mmproj: Option<PathBuf>,
    /// A picture to be seen before the prompt (PNG or JPEG), or where it has "<start_of_image>"; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) image: Vec<PathBuf>,
    /// Show parts of long pictures, too: what is small in them is lost when the whole becomes a square ("pan and scan"). Each
    /// part takes as much time and context as a picture
    #[arg(long)]
    pub(crate) pan_and_scan: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// The prompt; from standard input if absent or "-"
    pub(crate) prompt: Option<String>,
    /// Continue the prompt as it is, without the model's chat template
    #[arg(long)]
    pub(crate) raw: bool,
    /// A system message for the chat template
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    pub(crate) system: Option<String>,
    /// A chat template (Jinja) to use instead of the model's
    #[arg(long, value_name = "FILE", conflicts_with = "raw")]
    pub(crate) template: Option<PathBuf>,
    /// What becomes of what the model thinks before it answers, where its format keeps that apart
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub(crate) reasoning: Reasoning,
    /// Most tokens to generate [default: what the context holds]
    #[arg(short = 'n', long, value_name = "N", value_parser = at_least_one)]
    pub(crate) max_tokens: Option<usize>,
    /// End the answer before this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,
    /// Go on past the model's end-of-turn tokens
    #[arg(long)]
    pub(crate) ignore_eos: bool,
    /// Print one JSON object with text, tokens, reason and times instead of streaming text
    #[arg(long)]
    pub(crate) json: bool,
    /// Say on standard error how fast it went
    #[arg(long)]
    pub(crate) stats: bool,
    #[command(flatten)]
    pub(crate) images: ImageArgs,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ChatArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// A system message
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// A chat template (Jinja) to use instead of the model's
    #[arg(long, value_name = "FILE")]
    pub(crate) template: Option<PathBuf>,
    /// What becomes of what the model thinks before it answers, where its format keeps that apart
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub(crate) reasoning: Reasoning,
    /// Most tokens in one answer [default: what the context holds]
    #[arg(short = 'n', long, value_name = "N", value_parser = at_least_one)]
    pub(crate) max_tokens: Option<usize>,
    /// End an answer before this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,
    /// Print one line of JSON with text, tokens and reason for each answer instead of streaming text
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) images: ImageArgs,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}

#[derive(Args, Debug)]
pub(crate) struct InfoArgs {
    /// A GGUF file, also one that cannot be run, or a folder
    pub(crate) file: PathBuf,
    /// List every tensor
    #[arg(long)]
    pub(crate) tensors: bool,
    /// List every metadata key
    #[arg(long)]
    pub(crate) metadata: bool,
    /// Print JSON, with all metadata (long arrays by their length) and tensors
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct FitArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct EmbedArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// A text, or "-" for the lines of standard input; may be given several times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) text: Vec<String>,
    /// Put this before every text
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    pub(crate) prefix: String,
    /// How the states of the tokens become one [default: what the file says]
    #[arg(long, value_enum)]
    pub(crate) pooling: Option<PoolingArg>,
    /// Whether vectors have length 1
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) normalize: bool,
    /// Only the first N numbers of each vector, for models that were trained for that
    #[arg(long, value_name = "N")]
    pub(crate) dimensions: Option<usize>,
    /// Cut texts that are too long instead of refusing them
    #[arg(long)]
    pub(crate) truncate: bool,
    /// Print how much each text is like the first (the cosine) instead of its vector
    #[arg(long)]
    pub(crate) similarity: bool,
    /// Print a JSON object for each text, on a line of its own
    #[arg(long)]
    pub(crate) json: bool,
}

/// How the states of the tokens become one.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PoolingArg {
    /// Their mean
    Mean,
    /// The first token's
    Cls,
    /// The last token's
    Last,
}

#[derive(Args, Debug)]
pub(crate) struct TokenizeArgs {
    /// A GGUF file, or a folder with config.json and tokenizer.json
    pub(crate) model: PathBuf,
    /// The text (with --decode: token ids, separated by spaces or commas); from standard input if absent or "-"
    #[arg(allow_hyphen_values = true)]
    pub(crate) text: Option<String>,
    /// Add no begin or end token, and take the text of special tokens literally
    #[arg(long)]
    pub(crate) no_special: bool,
    /// Turn ids into text
    #[arg(long)]
    pub(crate) decode: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct PerplexityArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// A text file in UTF-8; "-" for standard input
    pub(crate) text: PathBuf,
    /// Tokens in a window
    #[arg(long, short = 'c', value_name = "N", default_value_t = 512)]
    pub(crate) ctx: usize,
    #[command(flatten)]
    pub(crate) pass: PassArgs,
    /// Only the first windows
    #[arg(long, value_name = "N")]
    pub(crate) chunks: Option<usize>,
    /// Only the first bytes of the text (cut at a character)
    #[arg(long, value_name = "N")]
    pub(crate) bytes: Option<usize>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How far `check` goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Stage {
    /// Open the model: file, specification, weights, tokenizer, template
    Load,
    /// And use the tokenizer
    Tokenize,
    /// And render the chat template
    Render,
    /// And generate some tokens
    Generate,
}

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// A GGUF file (a model, or an adapter together with --base), or a folder
    pub(crate) file: PathBuf,
    /// How far to go
    #[arg(long, value_enum, default_value_t = Stage::Generate)]
    pub(crate) stage: Stage,
    /// The model that the adapter belongs to
    #[arg(long, value_name = "FILE")]
    pub(crate) base: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct PackArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// The file to write
    pub(crate) out: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) force: bool,
    /// Measure on this text, in UTF-8, instead of the model's own
    #[arg(long, value_name = "FILE")]
    pub(crate) text: Option<PathBuf>,
    /// Positions to measure
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub(crate) tokens: usize,
}

#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Prompt lengths to measure
    #[arg(short = 'p', long, value_name = "N,N…", value_delimiter = ',', default_values_t = [128, 512])]
    pub(crate) prompt: Vec<usize>,
    /// Tokens to generate at each depth
    #[arg(short = 'n', long, value_name = "N", default_value_t = 32)]
    pub(crate) tokens: usize,
    /// Tokens before the ones generated
    #[arg(long, value_name = "N,N…", value_delimiter = ',', default_values_t = [0, 512, 2048])]
    pub(crate) depths: Vec<usize>,
    /// Also measure passes over so many tokens that give the logits of each, as when guesses are checked
    #[arg(long, value_name = "N,N…", value_delimiter = ',')]
    pub(crate) rows: Vec<usize>,
    /// Repeats of each measurement; the median counts
    #[arg(short = 'r', long, value_name = "N", default_value_t = 5)]
    pub(crate) repeats: usize,
    #[command(flatten)]
    pub(crate) pass: PassArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
