//! `cargo xtask seeing-model DIR`: a tiny model with random weights that sees, for tests in every language.
//!
//! `DIR` gets `model.gguf`, `mmproj.gguf` (its tower), `other.gguf` (one that does not fit it), `picture.png`,
//! `picture.jpg` (lying on its side, as its Exif data say), `picture.rgb` (the pixels of the PNG file, 64 x 48) and
//! `answers.txt`: for each way to ask, its name and the tokens of the answer, separated by commas. What is asked is
//! [`QUESTION`], greedily, and 12 tokens are taken whatever they are. "crops" is `picture.rgb` in parts: with pan and scan by
//! the usual numbers, but for crops of 8 pixels.

use std::fs;
use std::path::{Path, PathBuf};

use siskin::chat::{Message, RenderOptions};
use siskin::gguf::GgufFile;
use siskin::sampler::SamplerConfig;
use siskin::vision::mark_images;
use siskin::{
    Event, Flow, GenerateOptions, Model, ModelOptions, PanAndScan, Picture, PictureOptions, Prompt, RgbImage,
    SessionOptions, SharedSession, Vision,
};

use crate::Failure;

#[path = "../../core/tests/common/mod.rs"]
mod tiny;

const QUESTION: &str = "what is this";
const PNG: &[u8] = include_bytes!("../../tests/pictures/picture.png");
const JPEG: &[u8] = include_bytes!("../../tests/pictures/picture.jpg");

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder to write
    out: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    fs::create_dir_all(&args.out)?;
    let write = |name: &str, bytes: &[u8]| fs::write(args.out.join(name), bytes);
    write("model.gguf", &tiny::seeing::seeing_file())?;
    write("mmproj.gguf", &tiny::seeing::tower_file(tiny::seeing::MODEL_WIDTH, false, &[]))?;
    write("other.gguf", &tiny::seeing::tower_file(128, false, &[]))?;
    write("picture.png", PNG)?;
    write("picture.jpg", JPEG)?;
    let (width, height, pixels) = pixels()?;
    write("picture.rgb", &pixels)?;
    let answers = answers(&args.out, &RgbImage::new(width, height, &pixels)?)?;
    print!("{answers}");
    Ok(write("answers.txt", answers.as_bytes())?)
}

/// The PNG file by the reader itself.
fn pixels() -> Result<(usize, usize, Vec<u8>), Failure> {
    let mut reader = png::Decoder::new(std::io::Cursor::new(PNG)).read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().ok_or("the picture is too large")?];
    let info = reader.next_frame(&mut pixels)?;
    Ok((info.width as usize, info.height as usize, pixels))
}

fn answers(folder: &Path, rgb: &RgbImage<'_>) -> Result<String, Failure> {
    let file = GgufFile::open(folder.join("model.gguf"))?;
    let model = Model::from_gguf(file, &ModelOptions { threads: Some(1), ..ModelOptions::default() })?;
    let vision = Vision::open(folder.join("mmproj.gguf"), &model)?;
    let (png, jpeg) = (vision.picture_from_file(PNG)?, vision.picture_from_file(JPEG)?);
    let numbers = PanAndScan { min_crop_size: 8, ..vision.spec().pan_and_scan };
    let scanned = PictureOptions { pan_and_scan: Some(numbers) };
    let ways = [
        ("none", vec![]),
        ("rgb", vec![vision.picture(rgb)]),
        ("crops", vec![vision.picture_with(rgb, &scanned)?]),
        ("png", vec![png.clone()]),
        ("jpg", vec![jpeg.clone()]),
        ("both", vec![png, jpeg]),
    ];
    let mut lines = String::new();
    for (name, pictures) in ways {
        let ids = answer(&model, pictures)?.join(",");
        lines += &format!("{name} {ids}\n");
    }
    Ok(lines)
}

fn answer(model: &Model, pictures: Vec<Picture>) -> Result<Vec<String>, Failure> {
    let mut message = Message::new("user", QUESTION);
    mark_images(&mut message, pictures.len())?;
    let options = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
    let prompt = Prompt::Messages { messages: vec![message], options, pictures };
    let options = GenerateOptions {
        max_tokens: Some(12),
        sampler: SamplerConfig::greedy(),
        stop_at_end_of_turn: false,
        ..GenerateOptions::default()
    };
    let mut ids = Vec::new();
    SharedSession::new(model, &SessionOptions::default())?.job(prompt, options)?.run(&mut |event| {
        if let Event::Token { id, .. } = event {
            ids.push(id.0.to_string());
        }
        Flow::Continue
    })?;
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_depends_on_what_it_sees() {
        let folder = std::env::temp_dir().join(format!("siskin-seeing-{}", std::process::id()));
        run(&Args { out: folder.clone() }).expect("writes");
        let text = fs::read_to_string(folder.join("answers.txt")).expect("was written");
        fs::remove_dir_all(folder).expect("was written");
        let of = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)).expect("is there").to_owned();
        assert_eq!(of("rgb"), of("png"));
        assert_eq!(of("jpg"), of("png"), "turned upright, it is the same to the eye");
        let all = [of("none"), of("png"), of("both"), of("crops")].map(|line| line.trim_start().to_owned());
        assert!((0..4).all(|i| (0..i).all(|j| all[i] != all[j])), "{text}");
    }
}
