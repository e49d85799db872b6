//! `siskin check`: uses a file up to a stage and says whether that worked. For test suites and for suspicious files.

use crate::Result;
use crate::args::{CheckArgs, Stage};
use crate::output::{FAILED, Failure, print};
use siskin::chat::{Message, RenderOptions};
use siskin::gguf::{Adapter, GgufFile};
use siskin::sampler::SamplerConfig;
use siskin::tokenizer::{Special, TokenId};
use siskin::{
    EmbedOptions, Error, ErrorKind, Flow, GenerateOptions, Model, ModelOptions, Pooling, SessionOptions,
};

/// Tokens that the last stage generates, and the context it does that in.
const TOKENS: usize = 4;
const CONTEXT: usize = 128;

pub(crate) fn run(args: &CheckArgs) -> Result {
    let file = siskin::hf::open_any(&args.file)?;
    let named = |e: Error| e.with_file(&args.file);
    if let Some(base) = &args.base {
        let adapter = Adapter::new(&file, &GgufFile::open(base)?).map_err(named)?;
        print(&format!("load: ok, an adapter of {} tensors\n", adapter.targets().len()))?;
        if args.stage != Stage::Load {
            return Err(Error::new(ErrorKind::Unsupported, "adapters cannot be applied yet").into());
        }
        return Ok(());
    }
    let model = Model::from_gguf(file, &ModelOptions::default()).map_err(named)?;
    let (spec, tensors) = (model.spec(), model.file().tensors().len());
    print(&format!("load: ok, {}, {} layers, {tensors} tensors\n", spec.architecture, spec.layers.len()))?;
    if args.stage == Stage::Load {
        return Ok(());
    }
    let tokenizer = model.tokenizer();
    let text = "Hello, world! 123 äöü 你好 👋\n";
    let tokens = tokenizer.encode(text, Special { add: true, parse: true })?;
    tokenizer.decode(&tokens, true)?;
    let all = (0..tokenizer.len()).map(|id| TokenId(id as u32));
    let mut bytes = Vec::new();
    for id in all {
        bytes.clear();
        tokenizer.append_token_bytes(id, &mut bytes, true)?;
    }
    print(&format!("tokenize: ok, {} tokens known, {} for the sample\n", tokenizer.len(), tokens.len()))?;
    if args.stage == Stage::Tokenize {
        return Ok(());
    }
    match model.chat_template() {
        Err(e) if e.kind() == ErrorKind::Missing => print("render: ok, no chat template\n")?,
        Err(e) => return Err(named(e).into()),
        Ok(template) => {
            let messages =
                [Message::new("user", "Hello"), Message::new("assistant", "Hi"), Message::new("user", "?")];
            let options = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
            let text = template.render(&messages, &options).map_err(named)?;
            print(&format!("render: ok, {} bytes\n", text.len()))?;
        }
    }
    if args.stage == Stage::Render {
        return Ok(());
    }
    if !model.spec().generates {
        let options = EmbedOptions {
            pooling: model.spec().embedding.pooling.or(Some(Pooling::Mean)),
            truncate: true,
            ..EmbedOptions::default()
        };
        let vector = model.embed(text, &options).map_err(named)?;
        print(&format!("generate: ok, it embeds: {} dimensions\n", vector.len()))?;
        return Ok(());
    }
    let context = CONTEXT.min(model.spec().context.max(1));
    let mut session =
        model.session(&SessionOptions { context: Some(context), ..SessionOptions::default() })?;
    let prompt: Vec<TokenId> = tokens.into_iter().take(context.saturating_sub(TOKENS).max(1)).collect();
    let options = GenerateOptions {
        max_tokens: Some(TOKENS),
        sampler: SamplerConfig::greedy(),
        stop_at_end_of_turn: false,
        ..GenerateOptions::default()
    };
    let outcome = session.generate(&prompt, &options, &mut |_| Flow::Continue).map_err(named)?;
    if outcome.stats.generated_tokens == 0 {
        return Err(Failure::Other("nothing was generated".to_owned(), FAILED));
    }
    print(&format!("generate: ok, {} tokens\n", outcome.stats.generated_tokens))?;
    Ok(())
}
