//! Images on tiny random models: the same bits everywhere, refusals, images in a session.
#![allow(clippy::unwrap_used, reason = "a panic is a failure")]

mod common;

use common::seeing::{MODEL_WIDTH, POSITIONS, SIDE, WIDTH, seeing_file, tower_file};
use common::{Rng, prompt, tiny, tiny_file};
use siskin::engine::{Model, ModelOptions};
use siskin::gguf::GgufFile;
use siskin::kv_cache::KvType;
use siskin::session::{IMAGE_POSITION, SessionOptions};
use siskin::vision::{IMAGE_MARK, ImageFeatures, RgbImage, Vision, VisionTower};
use siskin::{CancelToken, ErrorKind};

fn tower(bytes: Vec<u8>) -> siskin::Result<VisionTower> {
    GgufFile::from_bytes(bytes).and_then(VisionTower::from_gguf)
}

/// The tiny Gemma 3 with marks of images in its vocabulary.
fn seeing(threads: usize, kernels: Option<&str>) -> Model {
    let options = ModelOptions {
        threads: Some(threads),
        kernels: kernels.map(str::to_owned),
        ..ModelOptions::default()
    };
    Model::from_gguf(GgufFile::from_bytes(seeing_file()).unwrap(), &options).unwrap()
}

fn vision(model: &Model) -> Vision {
    Vision::new(tower(tower_file(MODEL_WIDTH, false, &[])).unwrap(), model).unwrap()
}

fn picture() -> Vec<u8> {
    let mut rng = Rng(5);
    (0..64 * 48 * 3).map(|_| rng.next() as u8).collect()
}

fn features(model: &Model) -> ImageFeatures {
    let pixels = picture();
    vision(model).encode(&RgbImage::new(64, 48, &pixels).unwrap(), &CancelToken::default()).unwrap()
}

fn sizes(batch: usize) -> SessionOptions {
    SessionOptions { context: Some(512), batch, kv_type: KvType::F16, ..SessionOptions::default() }
}

/// Logits after a text, an image and a text.
fn logits(model: &Model, batch: usize, image: &ImageFeatures) -> Vec<f32> {
    let (text, mut session) = (prompt(90), model.session(&sizes(batch)).unwrap());
    session.prefill(&text[..70]).unwrap();
    session.prefill_image(image).unwrap();
    assert!(session.logits().is_empty());
    session.prefill(&text[70..]).unwrap();
    session.logits().to_vec()
}

#[test]
fn same_bits_for_any_threads_batch_and_kernels() {
    let model = seeing(1, None);
    let want = features(&model);
    assert_eq!((want.positions(), want.width()), (POSITIONS, MODEL_WIDTH));
    let want_logits = logits(&model, 256, &want);
    for (threads, kernels, batch) in [(3, None, 25), (2, Some("scalar"), 100), (8, None, 64)] {
        let model = seeing(threads, kernels);
        assert!(features(&model) == want, "{threads} threads, {kernels:?}");
        assert!(logits(&model, batch, &want) == want_logits, "{threads} threads, {kernels:?}, batch {batch}");
    }
}

#[test]
fn the_first_files_names_are_understood() {
    let model = seeing(2, None);
    let old = Vision::new(tower(tower_file(MODEL_WIDTH, true, &[])).unwrap(), &model).unwrap();
    let pixels = picture();
    let image = RgbImage::new(64, 48, &pixels).unwrap();
    assert!(old.encode(&image, &CancelToken::default()).unwrap() == features(&model));
    assert!(old.encode_bytes().unwrap() > 4 * SIDE * SIDE * WIDTH * 3 && old.heap_bytes() > 0);
}

#[test]
fn positions_of_an_image_see_each_other() {
    let model = seeing(2, None);
    let image = features(&model);
    let mut rows = image.rows().to_vec();
    rows[(POSITIONS - 1) * MODEL_WIDTH] += 1.0; // of its last position
    let other = ImageFeatures::new(rows, MODEL_WIDTH).unwrap();
    let first = |image: &ImageFeatures| {
        let mut all = Vec::new();
        model
            .session(&sizes(64))
            .unwrap()
            .prefill_image_tapped(image, &mut |tap| {
                if let siskin::model::Tap::Logits(0, x) = tap {
                    all.extend_from_slice(x);
                }
            })
            .unwrap();
        all
    };
    assert!(!first(&image).is_empty() && first(&image) != first(&other));
}

#[test]
fn what_does_not_fit_is_refused() {
    let bytes = || tower_file(MODEL_WIDTH, false, &[]);
    let error = |tower: Vec<u8>, model: &Model| Vision::new(self::tower(tower).unwrap(), model).unwrap_err();
    let e = error(bytes(), &tiny("llama", 1));
    assert!(e.kind() == ErrorKind::Unsupported && e.to_string().contains("llama"), "{e}");
    let e = error(tower_file(128, false, &[]), &seeing(1, None));
    assert!(e.kind() == ErrorKind::Shape && e.to_string().contains("128"), "{e}");
    let e = error(bytes(), &tiny("gemma3", 1));
    assert!(e.kind() == ErrorKind::Missing && e.to_string().contains(IMAGE_MARK), "{e}");

    // As a model, a tower is refused by name, and a model as a tower.
    let e = Model::from_gguf(GgufFile::from_bytes(bytes()).unwrap(), &ModelOptions::default()).unwrap_err();
    assert!(e.to_string().contains("vision tower"), "{e}");
    let e = tower(tiny_file("gemma3")).unwrap_err();
    assert_eq!((e.kind(), e.key()), (ErrorKind::Unsupported, Some("general.architecture")));

    let set = |key: &str, value: u32| tower(tower_file(MODEL_WIDTH, false, &[(key, value)])).unwrap_err();
    for (key, value) in [
        ("image_size", 41),
        ("image_size", 0),
        ("patch_size", u32::MAX),
        ("attention.head_count", 5),
        ("projector.scale_factor", 3),
        ("block_count", 100_000),
    ] {
        let e = set(key, value);
        assert!(e.key().is_some_and(|k| k.starts_with("clip.vision.")), "{key} {value}: {e}");
    }
    assert!(set("block_count", 3).tensor().unwrap().starts_with("v.blk.2."));
    assert!(set("block_count", 1).tensor().unwrap().starts_with("v.blk.1."));
    assert_eq!(set("embedding_length", 64).kind(), ErrorKind::Shape);
    let mut other = bytes();
    let at = other.windows(6).position(|w| w == b"gemma3").unwrap();
    other[at..at + 6].copy_from_slice(b"gemma9");
    assert!(tower(other).unwrap_err().to_string().contains("\"gemma9\""));
}

#[test]
fn images_in_a_session() {
    let model = seeing(2, None);
    let (image, text) = (features(&model), prompt(40));
    let mut session = model.session(&sizes(24)).unwrap();
    let e = session.prefill_image(&image).unwrap_err();
    assert!(e.kind() == ErrorKind::Argument && e.to_string().contains("batch"), "{e}");
    let wide = ImageFeatures::new(vec![0.0; 2 * 300], 300).unwrap();
    assert_eq!(session.prefill_image(&wide).unwrap_err().kind(), ErrorKind::Argument);
    assert_eq!(ImageFeatures::new(vec![f32::NAN; 4], 4).unwrap_err().kind(), ErrorKind::Argument);

    let mut session = model.session(&sizes(64)).unwrap();
    session.prefill(&text[..10]).unwrap();
    session.prefill_image(&image).unwrap();
    session.prefill(&text[10..]).unwrap();
    assert_eq!(session.position(), 40 + POSITIONS);
    assert_eq!(session.tokens()[9..11], [text[9], IMAGE_POSITION]);
    let (want, mut tokens) = (session.logits().to_vec(), session.tokens().to_vec());
    // Back behind the image, and on.
    assert_eq!(session.truncate(10 + POSITIONS), 10 + POSITIONS);
    session.prefill(&text[10..]).unwrap();
    assert!(session.logits() == want);
    // Into the image: it goes as a whole. Tokens cannot vouch for it.
    assert_eq!(session.truncate(12), 10);
    session.prefill_image(&image).unwrap();
    tokens.truncate(20);
    assert_eq!(session.reuse_prefix(&tokens), 10);
    session.prefill_image(&image).unwrap();
    session.prefill(&text[10..]).unwrap();
    assert!(session.logits() == want);

    // Cancelled: nothing of the image is there.
    session.truncate(10);
    session.cancel_token().cancel();
    assert_eq!(session.prefill_image(&image).unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(session.position(), 10);

    let mut recurrent = tiny("qwen35", 1).session(&sizes(64)).unwrap();
    assert_eq!(recurrent.prefill_image(&image).unwrap_err().kind(), ErrorKind::Unsupported);
    let mut full = model.session(&SessionOptions { context: Some(20), ..sizes(64) }).unwrap();
    assert_ne!(full.prefill_image(&image).unwrap_err().kind(), ErrorKind::Poisoned);
}

#[test]
fn prompts_are_cut_at_their_marks() {
    let model = seeing(1, None);
    let (vision, tokenizer) = (vision(&model), model.tokenizer());
    let mark = |text: &str| tokenizer.token_id(text.as_bytes()).unwrap();
    let prompt = format!("ab{IMAGE_MARK}cd{IMAGE_MARK}");
    let runs = vision.tokens(&prompt, 2).unwrap();
    let shown: Vec<String> = runs.iter().map(|run| tokenizer.decode(run, true).unwrap()).collect();
    assert_eq!(runs.len(), 3);
    assert_eq!((runs[0].first(), runs[0].last()), (tokenizer.bos().as_ref(), Some(&mark(IMAGE_MARK))));
    assert_eq!((runs[1].first(), runs[1].last()), (Some(&mark("<end_of_image>")), Some(&mark(IMAGE_MARK))));
    assert_eq!(runs[2].first(), Some(&mark("<end_of_image>")));
    assert!(
        shown[0].contains("ab\n\n") && shown[1].contains("\n\ncd\n\n") && shown[2].ends_with("\n\n"),
        "{shown:?}"
    );
    assert_eq!(vision.tokens(&prompt, 1).unwrap_err().kind(), ErrorKind::Argument);
    assert_eq!(vision.tokens("no image", 0).unwrap().len(), 1);
}

#[test]
fn encoding_can_be_cancelled() {
    let model = seeing(2, None);
    let (pixels, cancel) = (picture(), CancelToken::default());
    cancel.cancel();
    let e = vision(&model).encode(&RgbImage::new(64, 48, &pixels).unwrap(), &cancel).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Cancelled);
}
