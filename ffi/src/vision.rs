//! `siskin_vision` and `siskin_picture`: what a model sees.

use crate::args::{self, Out, Sized32, SizedOut};
use crate::boundary::{Failure, Result};
use crate::error::siskin_error;
use crate::handles::{self, Kind, Object};
use crate::model::{siskin_model, siskin_release_fn};
use crate::options::flag;
use crate::owned::give;
use crate::result::siskin_result;
use crate::source::{self, Bytes};
use siskin::{PanAndScan, Picture, PictureOptions, RgbImage, Vision};
use std::ffi::{c_char, c_void};
use std::ptr;

/// A model's eyes: the vision tower and projector from a file of their own ("mmproj"). Any thread may use it.
#[derive(Debug)]
pub struct siskin_vision {
    _private: [u8; 0],
}

/// A picture for a model to see, in any number of prompts (siskin_message, siskin_prompt). The first job that reads it turns
/// it into embeddings, which it keeps. Any thread may use it.
#[derive(Debug)]
pub struct siskin_picture {
    _private: [u8; 0],
}

/// What a vision tower is and takes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct siskin_vision_info {
    /// sizeof(siskin_vision_info)
    pub size: u32,
    /// Side of the square that pictures are resized to, in pixels.
    pub image_size: u32,
    /// Positions of the context that a picture takes. A session's batch must have room for them.
    pub positions: u32,
    /// Layers of the tower.
    pub layers: u32,
    /// Bytes of memory that turning a picture into embeddings takes while it runs.
    pub encode_bytes: u64,
    /// Bytes of memory that the tower takes; its other weights stay in the file.
    pub heap_bytes: u64,
}

/// How a picture is shown. Fill it with siskin_picture_options_init.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct siskin_picture_options {
    /// sizeof(siskin_picture_options)
    pub size: u32,
    /// Whether parts of a long picture ("crops") are shown behind the whole: 0 or 1. Each takes as many positions and as long
    /// as a picture.
    pub pan_and_scan: u32,
    /// Shortest side of a crop, in pixels; 1 or more. A picture whose crops would be smaller gets none.
    pub min_crop_size: u32,
    /// Most crops; 1 to 16.
    pub max_crops: u32,
    /// Longer side over shorter side from which a picture gets crops; not below 0. 1 is that of a square.
    pub min_ratio: f64,
}

// SAFETY: repr(C), `size` first, and only numbers.
unsafe impl Sized32 for siskin_vision_info {}
// SAFETY: as above.
unsafe impl Sized32 for siskin_picture_options {}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// What a tower's pictures are by default: not cut, and if they are, by its own numbers.
fn picture_defaults(vision: &Vision) -> siskin_picture_options {
    let PanAndScan { min_crop_size, max_crops, min_ratio } = vision.spec().pan_and_scan;
    siskin_picture_options {
        size: size_of::<siskin_picture_options>() as u32,
        pan_and_scan: 0,
        min_crop_size: number(min_crop_size),
        max_crops: number(max_crops),
        min_ratio,
    }
}

/// # Safety
/// As the header says of siskin_picture_options.
unsafe fn picture_options(
    options: *const siskin_picture_options,
    vision: &Vision,
) -> Result<PictureOptions, Failure> {
    // SAFETY: the caller's promise.
    let o = unsafe { args::sized(options, picture_defaults(vision), "options") }?;
    let numbers = PanAndScan {
        min_crop_size: o.min_crop_size as usize,
        max_crops: o.max_crops as usize,
        min_ratio: o.min_ratio,
    };
    Ok(PictureOptions { pan_and_scan: flag(o.pan_and_scan, "pan_and_scan")?.then_some(numbers) })
}

/// Opens the vision tower of `model` in the file at `path` (UTF-8), or in the folder of a model that sees. It keeps what it
/// needs of the model. SISKIN_RESULT_UNSUPPORTED if the file is no tower or the model does not see, SISKIN_RESULT_SHAPE if it
/// belongs to another model, SISKIN_RESULT_MISSING if the model's vocabulary has no marks of images.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_vision_open_path(
    model: *const siskin_model,
    path: *const c_char,
    path_len: usize,
    out_vision: *mut *mut siskin_vision,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: as the header says.
        let (out, path) =
            unsafe { (Out::new(out_vision, "out_vision")?, args::text(path, path_len, "path")?) };
        give(Object::Vision(Vision::open(path, &handles::model(model)?)?), out)
    })
}

/// The same from `length` bytes from byte `offset` of a file descriptor, see siskin_model_open_fd.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_vision_open_fd(
    model: *const siskin_model,
    fd: i32,
    offset: u64,
    length: u64,
    out_vision: *mut *mut siskin_vision,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: as the header says.
        let out = unsafe { Out::new(out_vision, "out_vision") }?;
        let model = handles::model(model)?;
        give(Object::Vision(Vision::from_gguf(source::file_from_fd(fd, offset, length)?, &model)?), out)
    })
}

/// The same from `len` bytes in memory, see siskin_model_open_bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_vision_open_bytes(
    model: *const siskin_model,
    data: *const u8,
    len: usize,
    release: siskin_release_fn,
    userdata: *mut c_void,
    out_vision: *mut *mut siskin_vision,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // First of all, so that it is released however this ends.
        let bytes = Bytes::new(data, len, release, userdata);
        // SAFETY: as the header says.
        let out = unsafe { Out::new(out_vision, "out_vision") }?;
        let model = handles::model(model)?;
        // SAFETY: as the header says.
        give(Object::Vision(Vision::from_gguf(unsafe { bytes.file() }?, &model)?), out)
    })
}

/// Fills `info`, whose `size` must be set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_vision_get_info(
    vision: *const siskin_vision,
    info: *mut siskin_vision_info,
) -> siskin_result {
    boundary!({
        // SAFETY: the header asks for as many bytes as `size` says.
        let out = unsafe { SizedOut::new(info, "info") }?;
        let vision = handles::vision(vision)?;
        out.set(&siskin_vision_info {
            size: 0,
            image_size: number(vision.spec().image_size),
            positions: number(vision.spec().positions()),
            layers: number(vision.spec().layers),
            encode_bytes: vision.encode_bytes().map_or(u64::MAX, |n| n as u64),
            heap_bytes: vision.heap_bytes() as u64,
        });
        Ok(())
    })
}

/// Frees a vision tower. NULL is fine. Pictures keep what they need of it.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_vision_free(vision: *mut siskin_vision) -> siskin_result {
    boundary!({ handles::free(vision.cast(), Kind::Vision) })
}

/// Fills `options`, whose `size` must be set, with the defaults: no pan and scan, and the numbers that the model was published
/// with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_picture_options_init(
    vision: *const siskin_vision,
    options: *mut siskin_picture_options,
) -> siskin_result {
    boundary!({
        // SAFETY: the header asks for as many bytes as `size` says.
        let out = unsafe { SizedOut::new(options, "options") }?;
        out.set(&picture_defaults(&handles::vision(vision)?));
        Ok(())
    })
}

/// # Safety
/// As the header says of siskin_picture_new_rgb_with.
unsafe fn picture_of_rgb(
    vision: *const siskin_vision,
    (width, height): (u32, u32),
    (pixels, len): (*const u8, usize),
    options: *const siskin_picture_options,
    out_picture: *mut *mut siskin_picture,
) -> Result<(), Failure> {
    // SAFETY: the caller's promise.
    let (out, pixels) =
        unsafe { (Out::new(out_picture, "out_picture")?, args::slice(pixels, len, "pixels")?) };
    let vision = handles::vision(vision)?;
    // SAFETY: the caller's promise.
    let options = unsafe { picture_options(options, &vision) }?;
    let image = RgbImage::new(width as usize, height as usize, pixels)?;
    give(Object::Picture(vision.picture_with(&image, &options)?), out)
}

/// # Safety
/// As the header says of siskin_picture_open_bytes_with.
unsafe fn picture_of_file(
    vision: *const siskin_vision,
    (data, len): (*const u8, usize),
    options: *const siskin_picture_options,
    out_picture: *mut *mut siskin_picture,
) -> Result<(), Failure> {
    // SAFETY: the caller's promise.
    let (out, bytes) = unsafe { (Out::new(out_picture, "out_picture")?, args::slice(data, len, "data")?) };
    let vision = handles::vision(vision)?;
    // SAFETY: the caller's promise.
    let options = unsafe { picture_options(options, &vision) }?;
    give(Object::Picture(vision.picture_from_file_with(bytes, &options)?), out)
}

/// A picture of `width` x `height` pixels: rows from the top, three bytes for each pixel (red, green, blue), `len` bytes in
/// all. They are read during the call only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_picture_new_rgb(
    vision: *const siskin_vision,
    width: u32,
    height: u32,
    pixels: *const u8,
    len: usize,
    out_picture: *mut *mut siskin_picture,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: as the header says.
        unsafe { picture_of_rgb(vision, (width, height), (pixels, len), ptr::null(), out_picture) }
    })
}

/// The same, shown as `options` say; NULL for the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_picture_new_rgb_with(
    vision: *const siskin_vision,
    width: u32,
    height: u32,
    pixels: *const u8,
    len: usize,
    options: *const siskin_picture_options,
    out_picture: *mut *mut siskin_picture,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: as the header says.
        unsafe { picture_of_rgb(vision, (width, height), (pixels, len), options, out_picture) }
    })
}

/// A picture from the `len` bytes of a PNG or JPEG file, upright as its camera says. They are read during the call only.
/// SISKIN_RESULT_FORMAT for bytes that are no such file; SISKIN_RESULT_UNSUPPORTED in a library that was built without
/// readers of image files, as Android's is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_picture_open_bytes(
    vision: *const siskin_vision,
    data: *const u8,
    len: usize,
    out_picture: *mut *mut siskin_picture,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: as the header says.
        unsafe { picture_of_file(vision, (data, len), ptr::null(), out_picture) }
    })
}

/// The same, shown as `options` say; NULL for the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_picture_open_bytes_with(
    vision: *const siskin_vision,
    data: *const u8,
    len: usize,
    options: *const siskin_picture_options,
    out_picture: *mut *mut siskin_picture,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: as the header says.
        unsafe { picture_of_file(vision, (data, len), options, out_picture) }
    })
}

/// How many images a prompt has for a picture: 1, and one for each crop. Each takes the positions that siskin_vision_info
/// says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_picture_images(
    picture: *const siskin_picture,
    out_images: *mut usize,
) -> siskin_result {
    boundary!({
        // SAFETY: as the header says.
        let out = unsafe { Out::new(out_images, "out_images") }?;
        out.set(handles::picture(picture)?.images());
        Ok(())
    })
}

/// Frees a picture. NULL is fine. Jobs that were made with it keep it.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_picture_free(picture: *mut siskin_picture) -> siskin_result {
    boundary!({ handles::free(picture.cast(), Kind::Picture) })
}

/// The pictures behind `count` handles.
///
/// # Safety
/// As [`args::slice`].
pub(crate) unsafe fn pictures(
    handles: *const *const siskin_picture,
    count: usize,
) -> Result<Vec<Picture>, Failure> {
    // SAFETY: the caller's promise.
    unsafe { args::slice(handles, count, "pictures") }?.iter().map(|&p| handles::picture(p)).collect()
}
