//! What a model sees.

use std::sync::Arc;

use siskin::gguf::GgufFile;
use siskin::{PictureOptions, RgbImage};

use crate::{Model, SiskinError, wide};

/// A model's eyes: the vision tower and projector from a file of their own ("mmproj"). Any thread may use it.
#[derive(Debug, uniffi::Object)]
pub struct Vision(siskin::Vision);

/// A picture for a model to see, in any number of messages. The first answer that reads it turns it into embeddings,
/// which it keeps: hand the same picture in again with each turn of a conversation.
#[derive(Debug, PartialEq, Eq, Hash, uniffi::Object)]
#[uniffi::export(Eq, Hash)]
pub struct Picture(siskin::Picture);

/// What a vision tower is and takes.
#[derive(Clone, Copy, Debug, uniffi::Record)]
pub struct VisionInfo {
    /// Side of the square that pictures are resized to, in pixels.
    pub image_size: u64,
    /// Positions of the context that a picture takes. A session's batch must have room for them.
    pub positions: u64,
    /// Layers of the tower.
    pub layers: u64,
    /// Bytes of memory that turning a picture into embeddings takes while it runs.
    pub encode_bytes: u64,
    /// Bytes of memory that the tower takes; its other weights stay in the file.
    pub heap_bytes: u64,
}

/// Into which parts a long picture is cut ("pan and scan"), which are shown behind the whole: what is small in it is lost when
/// the whole becomes a square. The defaults are what Gemma 3 was published with.
#[derive(Clone, Copy, Debug, PartialEq, uniffi::Record)]
pub struct PanAndScan {
    /// Shortest side of a part, in pixels; 1 or more. A picture whose parts would be smaller is not cut.
    #[uniffi(default = 256)]
    pub min_crop_size: u64,
    /// Most parts; 1 to 16. Each takes as many positions and as long as a picture.
    #[uniffi(default = 4)]
    pub max_crops: u64,
    /// Longer side over shorter side from which a picture is cut; not below 0. 1 is that of a square.
    #[uniffi(default = 1.2)]
    pub min_ratio: f64,
}

/// How a picture is shown: in parts, too, if there are numbers for that.
fn shown(pan_and_scan: Option<PanAndScan>) -> PictureOptions {
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let numbers = |p: PanAndScan| siskin::PanAndScan {
        min_crop_size: size(p.min_crop_size),
        max_crops: size(p.max_crops),
        min_ratio: p.min_ratio,
    };
    PictureOptions { pan_and_scan: pan_and_scan.map(numbers) }
}

impl Vision {
    pub(crate) fn open(model: &Model, path: &str) -> Result<Arc<Self>, SiskinError> {
        Ok(Arc::new(Self(siskin::Vision::open(path, model.inner())?)))
    }

    pub(crate) fn from_file(model: &Model, file: GgufFile) -> Result<Arc<Self>, SiskinError> {
        Ok(Arc::new(Self(siskin::Vision::from_gguf(file, model.inner())?)))
    }
}

impl Picture {
    pub(crate) fn inner(&self) -> &siskin::Picture {
        &self.0
    }
}

#[uniffi::export]
impl Vision {
    /// What the tower is and takes.
    pub fn info(&self) -> VisionInfo {
        let spec = self.0.spec();
        VisionInfo {
            image_size: wide(spec.image_size),
            positions: wide(spec.positions()),
            layers: wide(spec.layers),
            encode_bytes: self.0.encode_bytes().map_or(u64::MAX, wide),
            heap_bytes: wide(self.0.heap_bytes()),
        }
    }

    /// The numbers for pan and scan that the model was published with.
    pub fn pan_and_scan(&self) -> PanAndScan {
        let siskin::PanAndScan { min_crop_size, max_crops, min_ratio } = self.0.spec().pan_and_scan;
        PanAndScan { min_crop_size: wide(min_crop_size), max_crops: wide(max_crops), min_ratio }
    }

    /// A picture of `width` x `height` pixels: rows from the top, three bytes for each pixel, red, green and blue. With
    /// `pan_and_scan`, parts of a long one are shown, too.
    #[uniffi::method(default(pan_and_scan = None))]
    pub fn picture_rgb(
        &self,
        width: u32,
        height: u32,
        pixels: Vec<u8>,
        pan_and_scan: Option<PanAndScan>,
    ) -> Result<Arc<Picture>, SiskinError> {
        let image = RgbImage::new(width as usize, height as usize, &pixels)?;
        Ok(Arc::new(Picture(self.0.picture_with(&image, &shown(pan_and_scan))?)))
    }

    /// A picture from the bytes of a PNG or JPEG file, upright as its camera says. Not in libraries for phones, whose
    /// systems read images: there it is refused. With `pan_and_scan`, parts of a long one are shown, too.
    #[uniffi::method(default(pan_and_scan = None))]
    pub fn picture_file(
        &self,
        bytes: Vec<u8>,
        pan_and_scan: Option<PanAndScan>,
    ) -> Result<Arc<Picture>, SiskinError> {
        Ok(Arc::new(Picture(self.0.picture_from_file_with(&bytes, &shown(pan_and_scan))?)))
    }
}

#[uniffi::export]
impl Picture {
    /// How many images a prompt has for it: 1, and one for each part. Each takes the positions that [`VisionInfo`] says.
    pub fn images(&self) -> u64 {
        wide(self.0.images())
    }
}
