//! Embeddings of texts: what does not change them, what is refused, and how to cut and cancel. The values themselves are
//! compared with transformers' by `cargo xtask conformance`.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a panic is a failure; skips are shown")]

mod common;
#[path = "tokenizer_support/mod.rs"]
mod support;

use common::{Rng, tiny};
use siskin::kernels::Kernels;
use siskin::tokenizer::TokenId;
use siskin::{EmbedOptions, ErrorKind, Model, ModelOptions, Pooling, SessionOptions, SharedEmbedder};

const FAMILIES: [&str; 4] = ["embeddinggemma", "qwen3_embedding", "bert", "bge"];

/// A model of the reference set, on its threads and kernels.
fn open(family: &str, threads: usize, kernels: Option<&str>) -> Option<Model> {
    let file = support::reference(&format!("conformance/public/{family}/model.gguf"))?;
    let options = ModelOptions {
        threads: Some(threads),
        kernels: kernels.map(str::to_owned),
        ..ModelOptions::default()
    };
    Some(Model::open(file, &options).unwrap())
}

fn length(vector: &[f32]) -> f64 {
    vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn the_same_bits_on_every_tier_and_for_any_number_of_threads() {
    let text = "Alle Menschen sind frei und gleich an Würde und Rechten geboren. ".repeat(4);
    for family in FAMILIES {
        let Some(model) = open(family, 1, None) else { return };
        let want = model.embed(&text, &EmbedOptions::default()).unwrap();
        let here = Kernels::tiers().filter(|t| t.1).map(|t| t.0);
        for (threads, tier) in here.flat_map(|tier| [(1, tier), (3, tier)]) {
            let model = open(family, threads, Some(tier)).unwrap();
            let got = model.embed(&text, &EmbedOptions::default()).unwrap();
            assert!(got == want, "{family}: {threads} threads, {tier}");
        }
    }
}

#[test]
fn an_embedder_forgets_the_text_before() {
    for family in FAMILIES {
        let Some(model) = open(family, 2, None) else { return };
        let mut embedder = model.embedder(&EmbedOptions::default()).unwrap();
        for text in ["a", "The quick brown fox jumps over the lazy dog. The end.", "", "b", "a"] {
            let alone = model.embed(text, &EmbedOptions::default()).unwrap();
            assert!(embedder.embed(text).unwrap() == alone, "{family}: {text:?}");
            assert!((length(&alone) - 1.0).abs() < 1e-6 && alone.len() == embedder.dimensions());
        }
    }
}

/// A decoder's text goes through in batches; the states are the same as those of one pass after the other.
#[test]
fn a_text_of_many_batches_has_the_mean_of_all_its_states() {
    for arch in ["llama", "gemma3"] {
        let model = tiny(arch, 2);
        let mut rng = Rng(7);
        let tokens: Vec<TokenId> = (0..600).map(|_| TokenId(3 + rng.below(300) as u32)).collect();
        let mut states: Vec<Vec<f32>> = Vec::new();
        let kv_type = EmbedOptions::default().kv_type;
        let options = SessionOptions { context: Some(600), batch: 64, kv_type, logit_rows: 1 };
        model
            .session(&options)
            .unwrap()
            .prefill_tapped(&tokens, &mut |tap| {
                if let siskin::model::Tap::FinalNorm(_, state) = tap {
                    states.push(state.to_vec());
                }
            })
            .unwrap();
        let embed = |pooling| {
            let options =
                EmbedOptions { pooling: Some(pooling), normalize: false, ..EmbedOptions::default() };
            model.embedder(&options).unwrap().embed_tokens(&tokens).unwrap()
        };
        assert_eq!(embed(Pooling::Cls), states[0], "{arch}");
        assert_eq!(embed(Pooling::Last), states[599], "{arch}");
        let mut mean = vec![0.0f32; states[0].len()];
        states.iter().for_each(|state| mean.iter_mut().zip(state).for_each(|(m, x)| *m += x));
        mean.iter_mut().for_each(|m| *m *= 1.0 / 600.0);
        assert_eq!(embed(Pooling::Mean), mean, "{arch}");
    }
}

#[test]
fn shorter_vectors_are_the_first_part_with_a_length_of_their_own() {
    let Some(model) = open("embeddinggemma", 2, None) else { return };
    let embed = |normalize, dimensions| {
        let options = EmbedOptions { normalize, dimensions, ..EmbedOptions::default() };
        model.embed("hello", &options).unwrap()
    };
    let (whole, short) = (embed(false, None), embed(true, Some(16)));
    assert_eq!((whole.len(), embed(false, Some(16))), (64, whole[..16].to_vec()));
    let scale = length(&whole[..16]);
    assert!(short.iter().zip(&whole).all(|(s, w)| (f64::from(*s) - f64::from(*w) / scale).abs() < 1e-7));
    for dimensions in [0, 65, usize::MAX] {
        let options = EmbedOptions { dimensions: Some(dimensions), ..EmbedOptions::default() };
        assert_eq!(model.embedder(&options).unwrap_err().kind(), ErrorKind::Argument, "{dimensions}");
    }
}

#[test]
fn texts_that_are_too_long_are_refused_or_cut() {
    let Some(model) = open("bert", 2, None) else { return };
    let text = "hello ".repeat(600);
    let mut embedder = model.embedder(&EmbedOptions::default()).unwrap();
    assert_eq!(embedder.max_tokens(), 512);
    let e = embedder.embed(&text).unwrap_err();
    assert!(e.kind() == ErrorKind::ContextFull && e.message().contains("512"), "{e}");
    let options = EmbedOptions { truncate: true, ..EmbedOptions::default() };
    let cut = model.embed(&text, &options).unwrap();
    // The first tokens and the one that ends a text.
    let special = siskin::tokenizer::Special { add: true, parse: false };
    let mut tokens = model.tokenizer().encode(&text, special).unwrap();
    let end = *tokens.last().unwrap();
    tokens.truncate(511);
    tokens.push(end);
    assert!(embedder.embed_tokens(&tokens).unwrap() == cut);
    assert_eq!(embedder.embed_tokens(&[]).unwrap_err().kind(), ErrorKind::Argument);
    assert_eq!(embedder.embed_tokens(&[TokenId(640)]).unwrap_err().kind(), ErrorKind::Argument);
}

#[test]
fn encoders_do_not_generate_and_decoders_embed_only_when_told_how() {
    for family in ["bert", "embeddinggemma"] {
        let Some(model) = open(family, 2, None) else { return };
        assert!(!model.info().generates && model.info().pooling == Some(Pooling::Mean));
        let e = model.session(&SessionOptions::default()).unwrap_err();
        assert!(e.kind() == ErrorKind::Unsupported && e.message().contains("embeds texts"), "{e}");
    }
    let model = tiny("llama", 2);
    assert!(model.info().generates && model.info().pooling.is_none());
    let e = model.embedder(&EmbedOptions::default()).unwrap_err();
    assert!(e.kind() == ErrorKind::Unsupported && e.key() == Some("llama.pooling_type"), "{e}");
    let Some(model) = open("qwen3_embedding", 2, None) else { return };
    assert!(model.info().generates, "it is a decoder all the same");
    assert_eq!(model.embedder(&EmbedOptions::default()).unwrap().pooling(), Pooling::Last);
}

#[test]
fn cancelling_ends_a_text_and_not_the_embedder() {
    let model = tiny("llama", 2);
    let options = EmbedOptions { pooling: Some(Pooling::Last), ..EmbedOptions::default() };
    let mut embedder = model.embedder(&options).unwrap();
    let want = embedder.embed("some words").unwrap();
    let cancel = embedder.cancel_token();
    cancel.cancel();
    assert_eq!(embedder.embed("some words").unwrap_err().kind(), ErrorKind::Cancelled);
    cancel.reset();
    assert_eq!(embedder.embed("some words").unwrap(), want);

    // In the middle of a long text, from another thread; a second call meanwhile is told so.
    let shared = SharedEmbedder::new(&model, &options).unwrap();
    let text = "some words and more ".repeat(250);
    let running = {
        let (shared, text) = (shared.clone(), text.clone());
        std::thread::spawn(move || {
            loop {
                match shared.embed(&text) {
                    Err(e) if e.kind() == ErrorKind::Busy => {} // the other thread was first
                    result => return result,
                }
            }
        })
    };
    while !matches!(shared.embed("x"), Err(e) if e.kind() == ErrorKind::Busy) {
        std::thread::yield_now();
    }
    while !running.is_finished() {
        shared.cancel();
        std::thread::yield_now();
    }
    assert_eq!(running.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(shared.embed("some words").unwrap(), want, "the next call is not touched");
}

/// EmbeddingGemma itself, with the example of its model card: put the checkpoint's folder `embeddinggemma-300m` among the
/// models.
#[test]
fn embeddinggemma_as_its_card_says() {
    let Some(folder) = support::models("embeddinggemma-300m") else { return };
    let model = match Model::open(&folder, &ModelOptions::default()) {
        Ok(model) => model,
        Err(e) if matches!(e.kind(), ErrorKind::Io | ErrorKind::Format) => {
            eprintln!("skipped: this version does not open such a folder ({e})");
            return;
        }
        Err(e) => panic!("{e}"),
    };
    let mut embedder = model.embedder(&EmbedOptions::default()).unwrap();
    assert_eq!(embedder.dimensions(), 768);
    let query = "task: search result | query: Which planet is known as the Red Planet?";
    let query = embedder.embed(query).unwrap();
    for (document, want) in [
        ("Venus is often called Earth's twin because of its similar size and proximity.", 0.3011),
        ("Mars, known for its reddish appearance, is often referred to as the Red Planet.", 0.6359),
        ("Jupiter, the largest planet in our solar system, has a prominent red spot.", 0.4930),
        ("Saturn, famous for its rings, is sometimes mistaken for the Red Planet.", 0.4889),
    ] {
        let vector = embedder.embed(&format!("title: none | text: {document}")).unwrap();
        let cosine: f64 = query.iter().zip(&vector).map(|(a, b)| f64::from(a * b)).sum();
        assert!((cosine - want).abs() < 2e-3, "{document}: {cosine:.4}, not {want}");
    }
}
