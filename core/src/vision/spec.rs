//! What a vision tower is, from the metadata of its file.

use super::PanAndScan;
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::{FromValue, GgufFile, Metadata};

/// `general.architecture` of such files.
const ARCHITECTURE: &str = "clip";
/// The projector, and the architecture of the models that it is for.
pub(super) const SERVES: &str = "gemma3";
/// The projector's matrix, whose rows say how wide the language model is.
pub(super) const PROJECTION: &str = "mm.input_projection";

/// Largest width or hidden size; the largest published towers stay below a tenth of it.
const MAX_SIZE: usize = 1 << 16;
const MAX_LAYERS: usize = 256;
/// Largest side of what the tower is given, in pixels.
const MAX_IMAGE: usize = 1 << 13;
/// Most patches.
const MAX_PATCHES: usize = 1 << 16;
/// Neighbours that the projector averages in each direction, where the file does not say.
const POOL: usize = 4;

/// A vision tower and its projector.
#[derive(Clone, Debug, PartialEq)]
pub struct VisionSpec {
    /// Side of the square that an image is resized to, in pixels.
    pub image_size: usize,
    /// Side of a patch, in pixels; divides `image_size`.
    pub patch_size: usize,
    /// Width of the tower's residual stream.
    pub width: usize,
    /// Rows of the feed-forward block's first matrix.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Heads; divides `width`.
    pub heads: usize,
    /// Added to the variance in norms.
    pub eps: f32,
    /// Of red, green and blue: subtracted from values in 0..=1.
    pub mean: [f32; 3],
    /// What the difference is divided by.
    pub std: [f32; 3],
    /// Neighbours in each direction that become one position; divides the patches of a side.
    pub pool: usize,
    /// Elements of a position's embedding: the width of the language model.
    pub projected: usize,
    /// How long pictures are best cut where that is asked for: the file's numbers, or the usual ones.
    pub pan_and_scan: PanAndScan,
}

impl VisionSpec {
    /// Whether `metadata` are those of a vision tower, of whatever kind.
    pub fn is_vision(metadata: &Metadata) -> bool {
        matches!(metadata.optional::<String>("general.architecture"), Ok(Some(a)) if a == ARCHITECTURE)
    }

    /// Reads it.
    ///
    /// # Errors
    /// `Missing`, `Shape`, `Unsupported` or `Limit`, naming the key.
    pub(super) fn read(file: &GgufFile) -> Result<Self> {
        let meta = file.metadata();
        check_kind(meta)?;
        let size = |name: &str, max: usize| {
            let key = format!("clip.vision.{name}");
            let value: usize = meta.require(&key)?;
            if (1..=max).contains(&value) {
                return Ok(value);
            }
            Err(Error::new(ErrorKind::Limit, format!("{value} is not in 1..={max}")).with_key(key))
        };
        let eps_key = "clip.vision.attention.layer_norm_epsilon";
        let eps: f32 = meta.require(eps_key)?;
        if !(0.0..=1.0).contains(&eps) {
            return Err(Error::new(ErrorKind::Shape, format!("{eps} is not usable here")).with_key(eps_key));
        }
        let matrix = format!("{PROJECTION}.weight");
        let projection = file.tensors().get(&matrix).ok_or_else(|| {
            Error::new(ErrorKind::Missing, "required tensor is absent").with_tensor(&*matrix)
        })?;
        let spec = Self {
            image_size: size("image_size", MAX_IMAGE)?,
            patch_size: size("patch_size", MAX_IMAGE)?,
            width: size("embedding_length", MAX_SIZE)?,
            hidden: size("feed_forward_length", MAX_SIZE)?,
            layers: size("block_count", MAX_LAYERS)?,
            heads: size("attention.head_count", MAX_SIZE)?,
            eps,
            mean: channels(meta, "clip.vision.image_mean", |x| x.is_finite())?,
            std: channels(meta, "clip.vision.image_std", |x| x.is_finite() && x > 0.0)?,
            pool: match meta.get("clip.vision.projector.scale_factor") {
                Some(_) => size("projector.scale_factor", MAX_IMAGE)?,
                None => POOL,
            },
            projected: projection.dims()[0],
            pan_and_scan: pan_and_scan(meta)?,
        };
        spec.check()?;
        Ok(spec)
    }

    fn check(&self) -> Result<()> {
        let refuse = |key: &str, message: String| {
            Err(Error::new(ErrorKind::Shape, message).with_key(format!("clip.vision.{key}")))
        };
        if !self.image_size.is_multiple_of(self.patch_size) {
            let message = format!("{} pixels are no whole patches of {}", self.image_size, self.patch_size);
            return refuse("patch_size", message);
        }
        if self.patches() > MAX_PATCHES {
            return refuse("patch_size", format!("{} patches, at most {MAX_PATCHES}", self.patches()));
        }
        if !self.side().is_multiple_of(self.pool) {
            let message = format!("{} patches of a side cannot be averaged by {}", self.side(), self.pool);
            return refuse("projector.scale_factor", message);
        }
        if !self.width.is_multiple_of(self.heads) {
            let message = format!("{} heads do not share {} elements", self.heads, self.width);
            return refuse("attention.head_count", message);
        }
        if self.projected > MAX_SIZE {
            let message = format!("the tensor gives rows of {}, at most {MAX_SIZE}", self.projected);
            return Err(Error::new(ErrorKind::Limit, message).with_tensor(format!("{PROJECTION}.weight")));
        }
        Ok(())
    }

    /// Patches of a side.
    pub fn side(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Patches of an image.
    pub fn patches(&self) -> usize {
        self.side() * self.side()
    }

    /// Positions that an image takes in a prompt.
    pub fn positions(&self) -> usize {
        (self.side() / self.pool) * (self.side() / self.pool)
    }

    /// Values of a patch.
    pub(super) fn patch_values(&self) -> usize {
        3 * self.patch_size * self.patch_size
    }

    /// Elements of a head.
    pub(super) fn head_dim(&self) -> usize {
        self.width / self.heads
    }
}

/// The numbers that the file gives, which folders do; no file that others make has them.
fn pan_and_scan(meta: &Metadata) -> Result<PanAndScan> {
    let (prefix, usual) = ("clip.vision.pan_and_scan", PanAndScan::default());
    let numbers = PanAndScan {
        min_crop_size: meta.optional(&format!("{prefix}.min_crop_size"))?.unwrap_or(usual.min_crop_size),
        max_crops: meta.optional(&format!("{prefix}.max_crops"))?.unwrap_or(usual.max_crops),
        min_ratio: meta.optional(&format!("{prefix}.min_ratio"))?.unwrap_or(usual.min_ratio),
    };
    numbers.check(ErrorKind::Limit).map_err(|e| e.with_key(prefix))?;
    Ok(numbers)
}

/// Fails unless the file is a tower with the projector that is known here.
fn check_kind(meta: &Metadata) -> Result<()> {
    let refuse = |key: &str, message: String| Err(Error::new(ErrorKind::Unsupported, message).with_key(key));
    let key = "general.architecture";
    let arch: String = meta.require(key)?;
    if arch != ARCHITECTURE {
        let message = format!("the file is no vision tower but a \"{arch}\"");
        return refuse(key, message);
    }
    let keys = ["clip.projector_type", "clip.vision.projector_type"];
    let key = keys.into_iter().find(|key| meta.get(key).is_some()).unwrap_or(keys[0]);
    let projector: String = meta.require(key)?;
    if projector != SERVES {
        return refuse(
            key,
            format!("projectors of type \"{projector}\" are not supported, only \"{SERVES}\""),
        );
    }
    for (key, wanted) in
        [("clip.has_vision_encoder", true), ("clip.use_gelu", true), ("clip.use_silu", false)]
    {
        if meta.optional(key)?.is_some_and(|flag: bool| flag != wanted) {
            return refuse(key, format!("only towers with the value {wanted} are supported"));
        }
    }
    Ok(())
}

/// Three numbers, one for each channel.
fn channels(meta: &Metadata, key: &str, ok: impl Fn(f32) -> bool) -> Result<[f32; 3]> {
    let value = meta.get(key).ok_or_else(|| Error::new(ErrorKind::Missing, "a metadata key is missing"));
    let values = value.and_then(Vec::<f32>::from_value).map_err(|e| e.with_key(key))?;
    match <[f32; 3]>::try_from(values) {
        Ok(values) if values.iter().all(|&x| ok(x)) => Ok(values),
        _ => Err(Error::new(ErrorKind::Shape, "three usable numbers are expected").with_key(key)),
    }
}
