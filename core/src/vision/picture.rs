//! A picture that a model can be shown, as often as is wanted.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{ImageFeatures, PanAndScan, RgbImage, Vision, file};
use crate::cancel::CancelToken;
use crate::error::{ErrorKind, Result};

/// How a picture is shown. By default as one square, whatever its sides are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PictureOptions {
    /// Shows parts of a long picture behind the whole; [`VisionSpec::pan_and_scan`](super::VisionSpec::pan_and_scan) has the
    /// numbers of the tower. Each part takes as many positions and as long as a picture.
    pub pan_and_scan: Option<PanAndScan>,
}

/// A picture for a model to see, in any number of prompts. It is small: a square of the size that the tower takes, and one
/// for each crop. The first prompt turns it into embeddings, which it keeps. Clones are the same picture.
#[derive(Clone, Debug)]
pub struct Picture(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    vision: Vision,
    /// Of the whole picture, then of its crops.
    images: Vec<Mutex<State>>,
}

#[derive(Clone, Debug)]
enum State {
    /// `[size, size, 3]`.
    Pixels(Arc<[u8]>),
    Encoded(ImageFeatures),
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether it is the same picture, made once.
impl PartialEq for Picture {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Picture {}

impl Hash for Picture {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl Vision {
    /// A picture of these pixels, which are copied.
    pub fn picture(&self, image: &RgbImage<'_>) -> Picture {
        self.picture_of(vec![image.resized(self.spec().image_size)])
    }

    /// The same, shown as `options` say.
    ///
    /// # Errors
    /// `Argument` for options out of their range.
    pub fn picture_with(&self, image: &RgbImage<'_>, options: &PictureOptions) -> Result<Picture> {
        let (size, (width, height)) = (self.spec().image_size, image.size());
        let mut squares = vec![image.resized(size)];
        if let Some(numbers) = &options.pan_and_scan {
            numbers.check(ErrorKind::Argument)?;
            let crops = numbers.crops(width, height).into_iter();
            squares.extend(crops.map(|crop| image.part_resized(crop, size)));
        }
        Ok(self.picture_of(squares))
    }

    fn picture_of(&self, squares: Vec<Vec<u8>>) -> Picture {
        let images = squares.into_iter().map(|pixels| Mutex::new(State::Pixels(pixels.into()))).collect();
        Picture(Arc::new(Shared { vision: self.clone(), images }))
    }

    /// A picture from the bytes of a PNG or JPEG file, upright as its camera says; what is transparent is shown as if it
    /// were not.
    ///
    /// # Errors
    /// `Format` for bytes that are no such file; `Limit` for a picture that is too large; `Unsupported` in a library
    /// that was built without the feature `image`.
    pub fn picture_from_file(&self, bytes: &[u8]) -> Result<Picture> {
        self.picture_from_file_with(bytes, &PictureOptions::default())
    }

    /// The same, shown as `options` say.
    ///
    /// # Errors
    /// Those of [`picture_from_file`](Self::picture_from_file) and [`picture_with`](Self::picture_with).
    pub fn picture_from_file_with(&self, bytes: &[u8], options: &PictureOptions) -> Result<Picture> {
        file::decoded(bytes, |image| self.picture_with(image, options))?
    }

    fn features(&self, state: &Mutex<State>, cancel: &CancelToken) -> Result<ImageFeatures> {
        let now = locked(state).clone();
        let pixels = match now {
            State::Encoded(features) => return Ok(features),
            State::Pixels(pixels) => self.normalised(&pixels),
        };
        let features = self.encode_pixels(&pixels, cancel, &mut |_| {})?;
        *locked(state) = State::Encoded(features.clone());
        Ok(features)
    }
}

impl Picture {
    /// What looks at it.
    pub fn vision(&self) -> &Vision {
        &self.0.vision
    }

    /// Images that a prompt has for it: 1, and one for each crop. Each takes
    /// [`VisionSpec::positions`](super::VisionSpec::positions).
    pub fn images(&self) -> usize {
        self.0.images.len()
    }

    /// Whether it has been turned into embeddings.
    pub fn is_encoded(&self) -> bool {
        self.0.images.iter().all(|state| matches!(*locked(state), State::Encoded(_)))
    }

    /// The embeddings of its images, the whole picture's first, computed the first time. Of several threads that ask for
    /// them first, each computes: none waits for another, which could not be cancelled.
    ///
    /// # Errors
    /// As [`Vision::encode`]. Images that are done by then are kept.
    pub fn features(&self, cancel: &CancelToken) -> Result<Vec<ImageFeatures>> {
        self.0.images.iter().map(|state| self.0.vision.features(state, cancel)).collect()
    }
}
