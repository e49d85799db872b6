//! Native methods on vision towers and pictures.

use jni::Env;
use jni::objects::{JByteArray, JDoubleArray, JIntArray, JLongArray};
use jni::sys::{jint, jlong};
use siskin::gguf::GgufFile;
use siskin::{PanAndScan, Picture, PictureOptions, RgbImage, Vision};

use crate::failure::Failure;
use crate::model::{MODELS, file_from_descriptor};
use crate::table::Table;
use crate::{native, options};

static VISIONS: Table<Vision> = Table::new(5, "vision tower");
static PICTURES: Table<Picture> = Table::new(6, "picture");

/// The pictures behind an array of handles.
pub(crate) fn pictures(env: &Env<'_>, handles: &JLongArray<'_>) -> Result<Vec<Picture>, Failure> {
    if handles.is_null() {
        return Ok(Vec::new());
    }
    let mut values = vec![0; handles.len(env)?];
    handles.get_region(env, 0, &mut values)?;
    values.into_iter().map(|handle| PICTURES.get(handle)).collect()
}

/// How a picture is shown: in parts, too, if there are numbers: shortest side of a part, most parts, ratio of sides.
fn shown(env: &Env<'_>, numbers: &JDoubleArray<'_>) -> Result<PictureOptions, Failure> {
    let mut values = vec![0.0; numbers.len(env)?];
    numbers.get_region(env, 0, &mut values)?;
    // Integers of Java, exact as doubles. One below 0 becomes 0, which the library refuses.
    let numbers = |&[size, most, ratio]: &[f64; 3]| PanAndScan {
        min_crop_size: size as usize,
        max_crops: most as usize,
        min_ratio: ratio,
    };
    Ok(PictureOptions { pan_and_scan: values.first_chunk().map(numbers) })
}

/// A side that is none becomes 0, which the library refuses with both.
fn picture(
    vision: jlong,
    width: jint,
    height: jint,
    pixels: &[u8],
    options: &PictureOptions,
) -> Result<jlong, Failure> {
    let side = |n: jint| usize::try_from(n).unwrap_or(0);
    let image = RgbImage::new(side(width), side(height), pixels)?;
    PICTURES.insert(VISIONS.get(vision)?.picture_with(&image, options)?)
}

native! {
    /// Opens the tower in the file at a path.
    fn "visionPath" open_path<'l>(env, model: jlong, path: JByteArray<'l>) -> jlong {
        let model = MODELS.get(model)?;
        VISIONS.insert(Vision::open(options::text(env, &path)?, &model)?)
    }

    /// Opens the tower in `length` bytes of an open file from `offset`, as `openDescriptor` does.
    fn "visionDescriptor" open_descriptor<'l>(_env, model: jlong, fd: jint, offset: jlong, length: jlong) -> jlong {
        let model = MODELS.get(model)?;
        VISIONS.insert(Vision::from_gguf(file_from_descriptor(fd, offset, length)?, &model)?)
    }

    /// Opens a tower that is in memory; copies it once.
    fn "visionBytes" open_bytes<'l>(env, model: jlong, bytes: JByteArray<'l>) -> jlong {
        let model = MODELS.get(model)?;
        let file = GgufFile::from_bytes(env.convert_byte_array(&bytes)?)?;
        VISIONS.insert(Vision::from_gguf(file, &model)?)
    }

    /// Lets go of a tower. Pictures keep it.
    fn "visionFree" free<'l>(_env, vision: jlong) -> () {
        VISIONS.remove(vision).map(drop)
    }

    /// Side of what the tower is given, positions of a picture, layers, bytes while it encodes, bytes on the heap.
    fn "visionNumbers" numbers<'l>(env, vision: jlong) -> JLongArray<'l> {
        let vision = VISIONS.get(vision)?;
        let (spec, encode) = (vision.spec(), vision.encode_bytes().map_or(u64::MAX, |n| n as u64));
        let sizes = [spec.image_size as u64, spec.positions() as u64, spec.layers as u64];
        options::to_longs(env, &[&sizes[..], &[encode, vision.heap_bytes() as u64]].concat())
    }

    /// Shortest side of a part, most parts, ratio of sides: the numbers of the model.
    fn "visionPanAndScan" pan_and_scan<'l>(env, vision: jlong) -> JDoubleArray<'l> {
        let PanAndScan { min_crop_size, max_crops, min_ratio } = VISIONS.get(vision)?.spec().pan_and_scan;
        let array = JDoubleArray::new(env, 3)?;
        array.set_region(env, 0, &[min_crop_size as f64, max_crops as f64, min_ratio])?;
        Ok(array)
    }

    /// A picture of rows of three bytes for each pixel, and its parts if there are numbers for them.
    fn "pictureRgb" from_rgb<'l>(env, vision: jlong, width: jint, height: jint, pixels: JByteArray<'l>, crops: JDoubleArray<'l>) -> jlong {
        let options = shown(env, &crops)?;
        picture(vision, width, height, &env.convert_byte_array(&pixels)?, &options)
    }

    /// A picture of one number for each pixel, red, green and blue from the 24th bit down, as Android and Java have them.
    fn "pictureArgb" from_argb<'l>(env, vision: jlong, width: jint, height: jint, pixels: JIntArray<'l>, crops: JDoubleArray<'l>) -> jlong {
        let options = shown(env, &crops)?;
        let pixels = options::ints(env, &pixels)?;
        let rgb: Vec<u8> = pixels.iter().flat_map(|p| { let [_, r, g, b] = p.to_be_bytes(); [r, g, b] }).collect();
        picture(vision, width, height, &rgb, &options)
    }

    /// Images that a prompt has for it.
    fn "pictureImages" images<'l>(_env, picture: jlong) -> jint {
        Ok(jint::try_from(PICTURES.get(picture)?.images()).unwrap_or(jint::MAX))
    }

    /// Lets go of a picture. Jobs that were made with it keep it.
    fn "pictureFree" free_picture<'l>(_env, picture: jlong) -> () {
        PICTURES.remove(picture).map(drop)
    }
}
