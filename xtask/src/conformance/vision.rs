//! A prompt with an image: each step from its file to the tokens after it.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use siskin::engine::Model;
use siskin::kv_cache::KvType;
use siskin::model::Tap;
use siskin::session::SessionOptions;
use siskin::tokenizer::TokenId;
use siskin::{CancelToken, RgbImage, Vision, VisionTower};

use super::compare::Report;
use super::expected::Expected;
use super::{FOLDER, name_of};
use crate::Failure;

/// The tower of a GGUF file, beside it.
const TOWER: &str = "mmproj.gguf";
const IMAGE: &str = "image.png";

/// Adds what an image does to `report`, if the set has one for the file.
pub(super) fn compare(
    report: &mut Report,
    model: &Model,
    expected: &Expected,
    (folder, path): (&Path, &Path),
) -> Result<(), Failure> {
    let (Some(ids), Some(logits)) = (expected.ids("image"), expected.floats("logits_all.image")) else {
        return Ok(());
    };
    let tower = if name_of(path) == FOLDER { path.to_path_buf() } else { folder.join(TOWER) };
    let vision = Vision::new(VisionTower::open(&tower)?, model)?;
    let (width, height, bytes) = png_rgb(&folder.join(IMAGE))?;
    let image = RgbImage::new(width, height, &bytes)?;
    let field = |name: &str| {
        expected.floats(&format!("image.{name}")).ok_or_else(|| format!("the set has no image.{name}"))
    };
    report.state(expected, "pixels", &vision.pixels(&image), &field("pixel_values")?);
    let mut hidden = Vec::new();
    let features = vision.encode_tapped(&image, &CancelToken::default(), &mut |x| hidden = x.to_vec())?;
    report.state(expected, "tower", &hidden, &field("siglip_last_hidden")?);
    report.state(expected, "features", features.rows(), &field("features")?);

    // The ids have the image's token once for each position.
    let ids = ids.into_iter().map(|i| Ok(TokenId(u32::try_from(i)?))).collect::<Result<Vec<_>, Failure>>()?;
    let n = features.positions();
    let first =
        (0..=ids.len().saturating_sub(n)).find(|&i| n > 1 && ids[i..i + n].iter().all(|t| *t == ids[i]));
    let first = first.ok_or("ids.image has no place for the image")?;
    let (before, after) = (&ids[..first], &ids[first + n..]);
    let options = SessionOptions {
        context: Some(ids.len() + 64),
        batch: 32,
        kv_type: KvType::F32,
        ..SessionOptions::default()
    };
    let mut all = Vec::new();
    let mut tap = |tap: Tap<'_>| {
        if let Tap::Logits(_, x) = tap {
            all.extend_from_slice(x);
        }
    };
    let mut session = model.session(&options)?;
    session.prefill_tapped(before, &mut tap)?;
    session.prefill_image_tapped(&features, &mut tap)?;
    session.prefill_tapped(after, &mut tap)?;
    report.logits(expected, "image all", &all, Some(logits));
    let mut session = model.session(&options)?;
    session.prefill(before)?;
    session.prefill_image(&features)?;
    session.prefill(after)?;
    report.logits(expected, "image last", session.logits(), expected.floats("logits_last.image"));
    report.greedy(expected, session, "image.greedy")
}

/// Width, height and bytes, `[height, width, 3]`, of a PNG file without transparency.
fn png_rgb(path: &Path) -> Result<(usize, usize, Vec<u8>), Failure> {
    let mut reader = png::Decoder::new(BufReader::new(File::open(path)?)).read_info()?;
    let mut bytes = vec![0; reader.output_buffer_size().ok_or("the image is too large")?];
    let info = reader.next_frame(&mut bytes)?;
    if (info.color_type, info.bit_depth) != (png::ColorType::Rgb, png::BitDepth::Eight) {
        return Err(format!("{}: expected 8-bit RGB", path.display()).into());
    }
    bytes.truncate(info.buffer_size());
    Ok((info.width as usize, info.height as usize, bytes))
}
