//! `siskin_embedder`: texts to vectors.

use crate::args::{self, Out, Sized32, SizedOut};
use crate::boundary::{Failure, Result};
use crate::error::siskin_error;
use crate::handles::{self, Kind, Object};
use crate::model::siskin_model;
use crate::options::{flag, kv_type, siskin_kv_type};
use crate::owned::give;
use crate::result::siskin_result;
use siskin::{EmbedOptions, Pooling, SharedEmbedder};
use std::ffi::c_char;

/// Turns texts into vectors. Any thread may use it; one call at a time, another meanwhile gives SISKIN_RESULT_BUSY.
#[derive(Debug)]
pub struct siskin_embedder {
    _private: [u8; 0],
}

/// How the states of a text's tokens become one.
#[repr(u32)]
#[derive(Clone, Copy, Debug)]
pub enum siskin_pooling {
    /// As the file says.
    SISKIN_POOLING_MODEL = 0,
    /// Their mean.
    SISKIN_POOLING_MEAN = 1,
    /// The first token's.
    SISKIN_POOLING_CLS = 2,
    /// The last token's.
    SISKIN_POOLING_LAST = 3,
}

/// How texts become vectors. Fill it with siskin_embed_options_init.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct siskin_embed_options {
    /// sizeof(siskin_embed_options)
    pub size: u32,
    /// A siskin_pooling. A model whose file does not say (it was not made for this) needs one that is named.
    pub pooling: u32,
    /// Whether vectors have length 1: 0 or 1.
    pub normalize: u32,
    /// Whether a text that is too long is cut instead of refused: 0 or 1.
    pub truncate: u32,
    /// Only the first so many numbers of each vector, for models that were trained for that; 0 for all.
    pub dimensions: u64,
    /// A siskin_kv_type: how keys and values are stored on the way.
    pub kv_type: u32,
    /// Must be 0.
    pub reserved: u32,
}

// SAFETY: repr(C), `size` first, and only numbers.
unsafe impl Sized32 for siskin_embed_options {}

fn defaults() -> siskin_embed_options {
    siskin_embed_options {
        size: size_of::<siskin_embed_options>() as u32,
        pooling: siskin_pooling::SISKIN_POOLING_MODEL as u32,
        normalize: 1,
        truncate: 0,
        dimensions: 0,
        kv_type: siskin_kv_type::SISKIN_KV_F32 as u32,
        reserved: 0,
    }
}

/// Fills `options`, whose `size` must be set, with the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_embed_options_init(options: *mut siskin_embed_options) -> siskin_result {
    boundary!({
        // SAFETY: the header asks for as many bytes as `size` says.
        unsafe { SizedOut::new(options, "options") }?.set(&defaults());
        Ok(())
    })
}

/// # Safety
/// As the header says of siskin_embed_options.
unsafe fn read(options: *const siskin_embed_options) -> Result<EmbedOptions> {
    // SAFETY: the caller's promise.
    let o = unsafe { args::sized(options, defaults(), "options") }?;
    args::reserved(o.reserved, "options")?;
    let pooling = match o.pooling {
        0 => None,
        1 => Some(Pooling::Mean),
        2 => Some(Pooling::Cls),
        3 => Some(Pooling::Last),
        other => {
            let message = format!("{other} is no siskin_pooling");
            return Err(Failure::new(siskin_result::SISKIN_RESULT_INVALID_ARGUMENT, message));
        }
    };
    Ok(EmbedOptions {
        pooling,
        normalize: flag(o.normalize, "normalize")?,
        dimensions: (o.dimensions != 0).then(|| usize::try_from(o.dimensions).unwrap_or(usize::MAX)),
        truncate: flag(o.truncate, "truncate")?,
        kv_type: kv_type(o.kv_type)?,
    })
}

/// Starts an embedder with these options (NULL for the defaults). It keeps what it needs of the model.
/// SISKIN_RESULT_UNSUPPORTED if neither the file nor the options say how the model embeds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_embedder_new(
    model: *const siskin_model,
    options: *const siskin_embed_options,
    out_embedder: *mut *mut siskin_embedder,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: as the header says.
        let (out, options) = unsafe { (Out::new(out_embedder, "out_embedder")?, read(options)?) };
        give(Object::Embedder(SharedEmbedder::new(&handles::model(model)?, &options)?), out)
    })
}

/// How many numbers a vector has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_embedder_dimensions(
    embedder: *const siskin_embedder,
    out_dimensions: *mut usize,
) -> siskin_result {
    boundary!({
        // SAFETY: the header asks for a pointer that can be written to.
        let out = unsafe { Out::new(out_dimensions, "out_dimensions") }?;
        out.set(handles::embedder(embedder)?.dimensions());
        Ok(())
    })
}

/// Writes the vector of a text to `values`, which has room for `capacity` numbers: at least as many as
/// siskin_embedder_dimensions says. Computes on this thread and the model's. Words that the model expects before a text
/// are the caller's to write; what looks like a special token in it is taken literally. SISKIN_RESULT_CONTEXT_FULL for a
/// text longer than the model was trained for, unless it may be cut.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_embedder_embed(
    embedder: *mut siskin_embedder,
    text: *const c_char,
    text_len: usize,
    values: *mut f32,
    capacity: usize,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: as the header says.
        let (out, text) = unsafe { (Out::new(values, "values")?, args::text(text, text_len, "text")?) };
        let embedder = handles::embedder(embedder)?;
        let needed = embedder.dimensions();
        if capacity < needed {
            let message = format!("values has room for {capacity} numbers, a vector has {needed}");
            return Err(Failure::new(siskin_result::SISKIN_RESULT_INVALID_ARGUMENT, message));
        }
        let vector = embedder.embed(text)?;
        // SAFETY: the vector has `needed` numbers, for which there is room, as just checked.
        unsafe { out.set_all(&vector) };
        Ok(())
    })
}

/// Cancels the call that runs, which then gives SISKIN_RESULT_CANCELLED; does nothing if none does. Any thread, any time.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_embedder_cancel(embedder: *const siskin_embedder) -> siskin_result {
    boundary!({
        handles::embedder(embedder)?.cancel();
        Ok(())
    })
}

/// Frees an embedder. NULL is fine. A call that runs goes on.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_embedder_free(embedder: *mut siskin_embedder) -> siskin_result {
    boundary!({ handles::free(embedder.cast(), Kind::Embedder) })
}
