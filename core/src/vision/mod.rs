//! Images: pixels to rows that a model takes in the place of tokens.
//!
//! A vision tower (SigLIP: Zhai et al. 2023) cuts an image into patches and lets all of them see each other; a projector
//! averages neighbours and turns them into embeddings of the language model. Both come from a file of their own, which
//! GGUF calls `mmproj`, or from a Hugging Face folder. `docs/vision.md` has the shapes and what it takes.
//!
//! It is given RGB bytes; with the feature `image`, also the bytes of PNG and JPEG files (docs/adr/0024-images.md).

mod encoder;
mod file;
mod image;
mod pan_and_scan;
mod picture;
mod prompt;
mod spec;
mod weights;

use std::path::Path;
use std::sync::Arc;

use self::encoder::Buffers;
use self::weights::Weights;
use crate::cancel::CancelToken;
use crate::engine::Model;
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::GgufFile;
use crate::hf;
use crate::tokenizer::TokenId;

pub use self::image::{MAX_SIDE, RgbImage};
pub use self::pan_and_scan::{Crop, MAX_CROPS, PanAndScan};
pub use self::picture::{Picture, PictureOptions};
pub use self::prompt::{IMAGE_POSITION, ImagePrompt, mark_images};
pub use self::spec::VisionSpec;

/// What stands for an image in a prompt.
pub const IMAGE_MARK: &str = "<start_of_image>";
/// What follows an image.
const IMAGE_END: &str = "<end_of_image>";

/// A vision tower and its projector, as a file has them; without a model, good for looking at.
#[derive(Debug)]
pub struct VisionTower {
    file: GgufFile,
    spec: VisionSpec,
    weights: Weights,
}

impl VisionTower {
    /// Opens the file at `path`: a GGUF file, or the folder of a model that sees.
    ///
    /// # Errors
    /// Names the file and the key, tensor and offset that it fails on.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = if path.is_dir() { hf::open_vision(path) } else { GgufFile::open(path) };
        file.and_then(Self::from_gguf).map_err(|e| e.with_file(path))
    }

    /// The same from an opened file.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_gguf(file: GgufFile) -> Result<Self> {
        let spec = VisionSpec::read(&file)?;
        let weights = Weights::bind(&spec, file.tensors())?;
        Ok(Self { file, spec, weights })
    }

    /// What it is.
    pub fn spec(&self) -> &VisionSpec {
        &self.spec
    }
}

/// The embeddings of an image: what [`Session::prefill_image`](crate::Session::prefill_image) takes. Clones share them.
#[derive(Clone, Debug)]
pub struct ImageFeatures {
    rows: Arc<[f32]>,
    width: usize,
}

impl PartialEq for ImageFeatures {
    fn eq(&self, other: &Self) -> bool {
        self.width == other.width && (Arc::ptr_eq(&self.rows, &other.rows) || self.rows == other.rows)
    }
}

impl ImageFeatures {
    /// Embeddings from elsewhere: `rows` is `[positions, width]`.
    ///
    /// # Errors
    /// `Argument` if that is not one or more whole rows of numbers.
    pub fn new(rows: Vec<f32>, width: usize) -> Result<Self> {
        let whole = width > 0 && !rows.is_empty() && rows.len().is_multiple_of(width);
        if !whole || !rows.iter().all(|x| x.is_finite()) {
            let message = format!("{} values are no image: rows of {width} numbers are expected", rows.len());
            return Err(Error::new(ErrorKind::Argument, message));
        }
        Ok(Self { rows: rows.into(), width })
    }

    /// `[positions, width]`.
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// Elements of a row: the width of the model.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Positions that the image takes in a prompt.
    pub fn positions(&self) -> usize {
        self.rows.len() / self.width
    }
}

/// A model's eyes: a tower that fits it. Uses the model's kernels and threads. Clones are the same.
#[derive(Clone, Debug)]
pub struct Vision(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tower: VisionTower,
    model: Model,
    begin: TokenId,
    end: TokenId,
}

impl Vision {
    /// Opens the tower at `path` (a GGUF file, or the folder of a model that sees) for `model`.
    ///
    /// # Errors
    /// As [`VisionTower::open`] and [`new`](Self::new); all name the file.
    pub fn open(path: impl AsRef<Path>, model: &Model) -> Result<Self> {
        let path = path.as_ref();
        Self::new(VisionTower::open(path)?, model).map_err(|e| e.with_file(path))
    }

    /// The same from an opened file.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_gguf(file: GgufFile, model: &Model) -> Result<Self> {
        Self::new(VisionTower::from_gguf(file)?, model)
    }

    /// Puts `tower` before `model`.
    ///
    /// # Errors
    /// `Unsupported` for a model of another architecture than the projector is for; `Shape` if the projector's rows are not
    /// as wide as the model's; `Missing` for a model whose vocabulary has no marks of images.
    pub fn new(tower: VisionTower, model: &Model) -> Result<Self> {
        let (width, spec) = (tower.spec.projected, model.spec());
        let refuse = |kind, message: String| Err(Error::new(kind, message));
        if spec.architecture != spec::SERVES {
            let message = format!(
                "the model is a \"{}\", which does not see: the projector is for \"{}\"",
                spec.architecture,
                spec::SERVES
            );
            return refuse(ErrorKind::Unsupported, message);
        }
        if width != spec.width {
            let message = format!(
                "the projector gives rows of {width} for a model that takes rows of {}: it belongs to another model",
                spec.width
            );
            return refuse(ErrorKind::Shape, message);
        }
        let mark = |text: &str| {
            model.tokenizer().token_id(text.as_bytes()).ok_or_else(|| {
                let message = format!("the model reads text only: its vocabulary has no \"{text}\"");
                Error::new(ErrorKind::Missing, message)
            })
        };
        let (begin, end) = (mark(IMAGE_MARK)?, mark(IMAGE_END)?);
        Ok(Self(Arc::new(Inner { tower, model: model.clone(), begin, end })))
    }

    /// What the tower is.
    pub fn spec(&self) -> &VisionSpec {
        &self.0.tower.spec
    }

    /// The model that it is for.
    pub fn model(&self) -> &Model {
        &self.0.model
    }

    /// Bytes that [`encode`](Self::encode) takes while it runs, besides the image. `None` if they cannot be counted.
    pub fn encode_bytes(&self) -> Option<usize> {
        Buffers::bytes(&self.0.tower, self.0.model.threads())
    }

    /// Bytes of heap that the tower holds; its other weights stay in the file.
    pub fn heap_bytes(&self) -> usize {
        self.0.tower.file.heap_bytes() + self.0.tower.weights.heap_bytes()
    }

    /// The image as the tower is given it, `[3, size, size]`: resized to a square (with its sides' ratio changed, as the
    /// model was trained), each value normalised.
    pub fn pixels(&self, image: &RgbImage<'_>) -> Vec<f32> {
        self.normalised(&image.resized(self.spec().image_size))
    }

    /// The same for an image that is such a square already.
    fn normalised(&self, square: &[u8]) -> Vec<f32> {
        let VisionSpec { mean, std, .. } = self.0.tower.spec;
        image::normalised(square, mean, std)
    }

    /// The embeddings of `image`.
    ///
    /// # Errors
    /// `Cancelled`; `FileChanged`; `Limit` if there is no memory; `Numeric` if they are not numbers.
    pub fn encode(&self, image: &RgbImage<'_>, cancel: &CancelToken) -> Result<ImageFeatures> {
        self.encode_tapped(image, cancel, &mut |_| {})
    }

    /// The same; `tap` is shown what the tower gives before the projector, `[patches, width]`.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_tapped(
        &self,
        image: &RgbImage<'_>,
        cancel: &CancelToken,
        tap: &mut dyn FnMut(&[f32]),
    ) -> Result<ImageFeatures> {
        self.encode_pixels(&self.pixels(image), cancel, tap)
    }

    fn encode_pixels(
        &self,
        pixels: &[f32],
        cancel: &CancelToken,
        tap: &mut dyn FnMut(&[f32]),
    ) -> Result<ImageFeatures> {
        let (tower, model) = (&self.0.tower, &self.0.model);
        tower.file.check_unchanged()?;
        let cx = model.context(cancel);
        let rows = Buffers::new(tower, model.threads())?.run(&cx, tower, pixels, tap)?;
        tower.file.check_unchanged()?;
        ImageFeatures::new(rows, tower.spec.projected).map_err(|_| {
            Error::new(ErrorKind::Numeric, "the tower's output is not a number: its weights may be damaged")
        })
    }
}
