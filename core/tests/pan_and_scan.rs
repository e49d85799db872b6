//! Crops of long pictures: what a picture with crops becomes is what the same images become that are shown one by one, with
//! the same words around them. On a tiny random model, and on the reference set's Gemma 3 if it is here.
#![allow(clippy::unwrap_used, reason = "a panic is a failure")]

mod common;
#[path = "tokenizer_support/mod.rs"]
mod support;

use common::Rng;
use common::seeing::{MODEL_WIDTH, seeing_file, tower_file};
use siskin::chat::{Message, RenderOptions};
use siskin::gguf::GgufFile;
use siskin::tokenizer::{Special, TokenId};
use siskin::vision::{IMAGE_MARK, mark_images};
use siskin::{
    CancelToken, ErrorKind, Flow, GenerateOptions, ImageFeatures, Model, ModelOptions, PanAndScan, Picture,
    PictureOptions, Prompt, RgbImage, Session, SessionOptions, SharedSession, Vision, VisionTower,
};
use std::path::Path;

/// What Gemma 3's processor in Hugging Face transformers (5.24.0) writes for a picture with three crops, with the mark where
/// an image and what is around it go.
const EXPANDED: &str = "Here is the original image <start_of_image> and here are some crops to help you see better \
                        <start_of_image> <start_of_image> <start_of_image>";
const BEFORE: &str = "Look: ";
const AFTER: &str = "what is this?";

/// Long enough for three crops with the usual numbers: 344, 344 and 342 columns.
const SIZE: (usize, usize) = (1030, 300);

struct Eyes {
    name: &'static str,
    model: Model,
    vision: Vision,
}

/// What the tests are about: the tiny model, and that of the reference set.
fn all_eyes() -> Vec<Eyes> {
    let options = ModelOptions { threads: Some(2), ..ModelOptions::default() };
    let model = Model::from_gguf(GgufFile::from_bytes(seeing_file()).unwrap(), &options).unwrap();
    let tower = GgufFile::from_bytes(tower_file(MODEL_WIDTH, false, &[])).unwrap();
    let vision = Vision::from_gguf(tower, &model).unwrap();
    let mut all = vec![Eyes { name: "tiny", model, vision }];
    if let Some(folder) = support::reference("conformance/public/gemma3_mm") {
        let model = Model::open(folder.join("model.gguf"), &options).unwrap();
        let vision = Vision::open(folder.join("mmproj.gguf"), &model).unwrap();
        all.push(Eyes { name: "gemma3_mm", model, vision });
    }
    all
}

fn pixels((width, height): (usize, usize)) -> Vec<u8> {
    let mut rng = Rng(11);
    (0..width * height * 3).map(|i| (rng.next() as u8) / 4 + (i / 17 % 190) as u8).collect()
}

fn scanned() -> PictureOptions {
    PictureOptions { pan_and_scan: Some(PanAndScan::default()) }
}

impl Eyes {
    fn picture(&self) -> Picture {
        let pixels = pixels(SIZE);
        let picture = self.vision.picture_with(&RgbImage::new(SIZE.0, SIZE.1, &pixels).unwrap(), &scanned());
        picture.unwrap()
    }

    /// The whole and its crops, cut out here and encoded as pictures of their own.
    fn by_hand(&self) -> Vec<ImageFeatures> {
        let all = pixels(SIZE);
        [(0, SIZE.0), (0, 344), (344, 344), (688, 342)]
            .into_iter()
            .map(|(left, width)| {
                let rows = all.chunks(SIZE.0 * 3).map(|row| &row[left * 3..(left + width) * 3]);
                let part = rows.collect::<Vec<_>>().concat();
                let image = RgbImage::new(width, SIZE.1, &part).unwrap();
                self.vision.encode(&image, &CancelToken::default()).unwrap()
            })
            .collect()
    }

    fn session_options(&self) -> SessionOptions {
        SessionOptions { context: Some(512), ..SessionOptions::default() }
    }

    /// Logits after a prompt with marks whose images are fed by hand.
    fn logits(&self, prompt: &str, images: &[ImageFeatures]) -> Vec<f32> {
        let runs = self.vision.tokens(prompt, images.len()).unwrap();
        let mut session: Session = self.model.session(&self.session_options()).unwrap();
        for (i, run) in runs.iter().enumerate() {
            session.prefill(run).unwrap();
            images.get(i).into_iter().for_each(|image| session.prefill_image(image).unwrap());
        }
        session.logits().to_vec()
    }

    /// The same from a job, and how many tokens it fed.
    fn asked(&self, session: &SharedSession, prompt: Prompt) -> (Vec<f32>, usize) {
        let options = GenerateOptions { max_tokens: Some(0), ..GenerateOptions::default() };
        let job = session.job(prompt, options).unwrap();
        let outcome = job.run(&mut |_| Flow::Continue).unwrap();
        (session.logits().unwrap(), outcome.stats.prompt_tokens)
    }
}

#[test]
fn crops_are_images_of_their_own() {
    for eyes in all_eyes() {
        let picture = eyes.picture();
        assert_eq!((picture.images(), picture.is_encoded()), (4, false), "{}", eyes.name);
        let cancel = CancelToken::default();
        cancel.cancel();
        assert_eq!(picture.features(&cancel).unwrap_err().kind(), ErrorKind::Cancelled);
        let features = picture.features(&CancelToken::default()).unwrap();
        assert!(features == eyes.by_hand() && picture.is_encoded(), "{}", eyes.name);
        // Nothing is cut where it is not asked for, or where there is nothing to cut.
        let pixels = pixels((300, 290));
        let square = RgbImage::new(300, 290, &pixels).unwrap();
        let want = [eyes.vision.encode(&square, &CancelToken::default()).unwrap()];
        for made in [
            eyes.vision.picture(&square),
            eyes.vision.picture_with(&square, &PictureOptions::default()).unwrap(),
            eyes.vision.picture_with(&square, &scanned()).unwrap(),
        ] {
            assert_eq!(made.images(), 1);
            assert!(made.features(&CancelToken::default()).unwrap() == want, "{}", eyes.name);
        }
        let wrong = PanAndScan { max_crops: 0, ..PanAndScan::default() };
        let e = eyes.vision.picture_with(&square, &PictureOptions { pan_and_scan: Some(wrong) }).unwrap_err();
        assert!(e.kind() == ErrorKind::Argument && e.to_string().contains("crops"), "{e}");
    }
}

#[test]
fn prompts_say_what_the_crops_are() {
    for Eyes { name, model, vision } in all_eyes() {
        let (long, square) = {
            let (long, square) = (pixels(SIZE), pixels((9, 9)));
            let picture = |(width, height), pixels: &[u8]| {
                vision.picture_with(&RgbImage::new(width, height, pixels).unwrap(), &scanned()).unwrap()
            };
            (picture(SIZE, &long), picture((9, 9), &square))
        };
        let prompt = format!("{BEFORE}{IMAGE_MARK} and {IMAGE_MARK}{AFTER}");
        let expanded = format!("{BEFORE}{EXPANDED} and {IMAGE_MARK}{AFTER}");
        let pictures = [long, square];
        let runs = vision.tokens_showing(&prompt, &pictures).unwrap();
        assert_eq!(runs, vision.tokens(&expanded, 5).unwrap(), "{name}");
        // The text as a whole, as the processor has it encoded, but for the positions of images.
        let whole = expanded.replace(IMAGE_MARK, "\n\n<start_of_image><end_of_image>\n\n");
        let special = Special { add: true, parse: true };
        assert_eq!(runs.concat(), model.tokenizer().encode(&whole, special).unwrap(), "{name}");
        assert_eq!(vision.tokens_showing(&prompt, &pictures[..1]).unwrap_err().kind(), ErrorKind::Argument);
        // Without crops nothing is said.
        let plain = vision.tokens_showing(&prompt, &[pictures[1].clone(), pictures[1].clone()]).unwrap();
        assert_eq!(plain, vision.tokens(&prompt, 2).unwrap(), "{name}");
    }
}

#[test]
fn a_model_sees_crops_as_in_a_prompt_by_hand() {
    for eyes in all_eyes() {
        let (picture, images) = (eyes.picture(), eyes.by_hand());
        let expanded = format!("{BEFORE}{EXPANDED}{AFTER}");
        let want = eyes.logits(&expanded, &images);
        let positions: usize = images.iter().map(ImageFeatures::positions).sum();
        let tokens = eyes.vision.tokens(&expanded, 4).unwrap().concat().len() + positions;
        let session = SharedSession::new(&eyes.model, &eyes.session_options()).unwrap();
        let text = |text: String, parse_special| Prompt::Text {
            text,
            parse_special,
            pictures: vec![picture.clone()],
        };
        let (got, fed) = eyes.asked(&session, text(format!("{BEFORE}{IMAGE_MARK}{AFTER}"), true));
        assert_eq!((fed, session.position().unwrap()), (tokens, tokens), "{}", eyes.name);
        assert!(!want.is_empty() && got == want, "{}", eyes.name);
        assert_ne!(got, eyes.logits(&format!("{BEFORE}{IMAGE_MARK}{AFTER}"), &images[..1]), "{}", eyes.name);
        // Before a text that is taken literally.
        session.truncate(0).unwrap();
        let (got, _) = eyes.asked(&session, text(AFTER.to_owned(), false));
        assert!(got == eyes.logits(&format!("{EXPANDED}{AFTER}"), &images), "{}", eyes.name);
        // More than there is room for: refused before anything is encoded.
        let fresh = eyes.picture();
        let small = SessionOptions { context: Some(positions), ..eyes.session_options() };
        let small = SharedSession::new(&eyes.model, &small).unwrap();
        let prompt =
            Prompt::Text { text: AFTER.to_owned(), parse_special: false, pictures: vec![fresh.clone()] };
        let e = small.job(prompt, GenerateOptions::default()).unwrap().run(&mut |_| Flow::Continue);
        assert_eq!((e.unwrap_err().kind(), fresh.is_encoded()), (ErrorKind::ContextFull, false));
    }
}

#[test]
fn a_conversation_keeps_crops() {
    let eyes = all_eyes().remove(0);
    let session = SharedSession::new(&eyes.model, &eyes.session_options()).unwrap();
    let picture = eyes.picture();
    let ask = |turns: &[(&str, &str)]| {
        let mut messages: Vec<Message> =
            turns.iter().map(|(role, text)| Message::new(*role, *text)).collect();
        mark_images(&mut messages[0], 1).unwrap();
        let options = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
        eyes.asked(&session, Prompt::Messages { messages, options, pictures: vec![picture.clone()] }).1
    };
    let first = ask(&[("user", AFTER)]);
    assert!(first > 4 * eyes.vision.spec().positions());
    assert_eq!(ask(&[("user", AFTER)]), 1, "the last token's logits");
    assert!(ask(&[("user", AFTER), ("assistant", "a"), ("user", "b")]) < 60);
}

#[test]
fn numbers_of_a_folder() {
    let Some(from) = support::reference("conformance/public/gemma3_mm/hf") else { return };
    assert_eq!(VisionTower::open(&from).unwrap().spec().pan_and_scan, PanAndScan::default());
    let folder = std::env::temp_dir().join(format!("siskin-pan-and-scan-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::write(folder.join(name), std::fs::read(from.join(name)).unwrap()).unwrap();
    }
    let with = |crops: u32, folder: &Path| {
        let text = format!(
            r#"{{"do_pan_and_scan": true, "pan_and_scan_min_crop_size": 100, "pan_and_scan_max_num_crops": {crops},
               "pan_and_scan_min_ratio_to_activate": 1.3, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}}"#
        );
        std::fs::write(folder.join("preprocessor_config.json"), text).unwrap();
        VisionTower::open(folder)
    };
    let tower = with(6, &folder).unwrap();
    let want = PanAndScan { min_crop_size: 100, max_crops: 6, min_ratio: 1.3 };
    assert_eq!(tower.spec().pan_and_scan, want);
    let e = with(0, &folder).unwrap_err();
    assert_eq!((e.kind(), e.key()), (ErrorKind::Limit, Some("clip.vision.pan_and_scan")));
    // That the folder's own processor would cut does not make us cut.
    let model = Model::open(from.with_file_name("model.gguf"), &ModelOptions::default()).unwrap();
    let pixels = pixels(SIZE);
    let picture =
        Vision::new(tower, &model).unwrap().picture(&RgbImage::new(SIZE.0, SIZE.1, &pixels).unwrap());
    assert_eq!(picture.images(), 1);
    std::fs::remove_dir_all(folder).unwrap();
}

/// Ids are what the tests compare; here, that the words are not lost on a vocabulary that has none of them.
#[test]
fn words_are_words() {
    for eyes in all_eyes() {
        let runs = eyes.vision.tokens_showing(IMAGE_MARK, &[eyes.picture()]).unwrap();
        let text = |run: &[TokenId]| eyes.model.tokenizer().decode(run, false).unwrap();
        assert_eq!(text(&runs[0]).trim_start(), "Here is the original image \n\n", "{}", eyes.name);
        assert_eq!(
            text(&runs[1]),
            "\n\n and here are some crops to help you see better \n\n",
            "{}",
            eyes.name
        );
        assert_eq!(text(&runs[2]), "\n\n \n\n", "{}", eyes.name);
    }
}
