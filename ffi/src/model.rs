//! `siskin_model`: an open model file.

use crate::args::{self, Out, Sized32, SizedOut};
use crate::boundary::{Failure, Result};
use crate::embedder::siskin_pooling;
use crate::error::siskin_error;
use crate::handles::{self, Kind, Object};
use crate::options::{self, siskin_model_options, siskin_session_options};
use crate::owned::{give, give_text, siskin_text};
use crate::result::siskin_result;
use crate::source::{self, Bytes};
use siskin::{Error, ErrorKind, Fit, Model, Pooling, Pressure, Thermal};
use std::ffi::{c_char, c_void};

/// An open model: immutable, so all its functions may be called from any thread at any time. Freeing the handle never
/// waits; sessions keep what they need.
#[derive(Debug)]
pub struct siskin_model {
    _private: [u8; 0],
}

/// Tells that what `userdata` stands for is not used any more. Called once, on any thread; it must not call the library.
pub type siskin_release_fn = Option<unsafe extern "C" fn(userdata: *mut c_void)>;

/// What a model is and how it runs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct siskin_model_info {
    /// sizeof(siskin_model_info)
    pub size: u32,
    /// Threads in use.
    pub threads: u32,
    /// Decoder layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub width: u32,
    /// Tokens of the vocabulary.
    pub vocab: u32,
    /// Whether it has a chat template that can be used: 0 or 1.
    pub has_chat_template: u32,
    /// Context that it was trained for, in tokens.
    pub context: u64,
    /// Numbers in all tensors.
    pub parameters: u64,
    /// Bytes of all tensors.
    pub weight_bytes: u64,
    /// Name of the kernels in use. Valid for ever.
    pub kernels: *const c_char,
    pub kernels_len: usize,
    /// Whether it generates text; if not, it only embeds: 0 or 1.
    pub generates: u32,
    /// How it was trained to embed texts: a siskin_pooling, or 0 if its file does not say.
    pub pooling: u32,
}

/// Memory that a session needs, in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct siskin_fit {
    /// sizeof(siskin_fit)
    pub size: u32,
    pub threads: u32,
    /// Tokens that fit.
    pub context: u64,
    /// Most tokens in one pass.
    pub batch: u64,
    /// The model file, mapped; the system takes it back when memory is short.
    pub mapped: u64,
    /// Keys and values.
    pub kv_cache: u64,
    /// Buffers of the forward pass.
    pub buffers: u64,
    /// Tables of the file and the tokenizer.
    pub tables: u64,
    /// Memory that cannot be taken back: the last three.
    pub dirty: u64,
    /// Everything, with the whole file in memory.
    pub peak: u64,
    /// Bytes of weights that one token reads.
    pub bytes_per_token: u64,
}

// SAFETY: repr(C), `size` first, and only numbers and pointers.
unsafe impl Sized32 for siskin_model_info {}
// SAFETY: as above.
unsafe impl Sized32 for siskin_fit {}

/// How hot the device is.
#[repr(u32)]
#[derive(Clone, Copy, Debug)]
pub enum siskin_thermal {
    /// Cool: all threads work.
    SISKIN_THERMAL_NOMINAL = 0,
    /// Warm: all threads work.
    SISKIN_THERMAL_FAIR = 1,
    /// Hot: half of them.
    SISKIN_THERMAL_SERIOUS = 2,
    /// Too hot: one.
    SISKIN_THERMAL_CRITICAL = 3,
}

/// How short of memory the device is.
#[repr(u32)]
#[derive(Clone, Copy, Debug)]
pub enum siskin_pressure {
    SISKIN_PRESSURE_NONE = 0,
    SISKIN_PRESSURE_MODERATE = 1,
    SISKIN_PRESSURE_CRITICAL = 2,
}

/// Opens what `source` gives, with the options checked first.
///
/// # Safety
/// As the header says of siskin_model_options.
unsafe fn open(
    options: *const siskin_model_options,
    out_model: *mut *mut siskin_model,
    source: impl FnOnce(&siskin::ModelOptions) -> Result<Model>,
) -> Result<()> {
    // The options first: what they hold is released however this ends.
    // SAFETY: the caller's promise.
    let (options, out) = unsafe { (options::model(options)?, Out::new(out_model, "out_model")?) };
    give(Object::Model(source(&options)?), out)
}

/// Opens the model file at `path` (UTF-8), or any part of a split one. The file is mapped, not read: it must not be
/// shortened or written to while it is open. Replacing it (write elsewhere, rename over it) is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_open_path(
    path: *const c_char,
    path_len: usize,
    options: *const siskin_model_options,
    out_model: *mut *mut siskin_model,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: as the header says.
        unsafe { open(options, out_model, |o| Ok(Model::open(args::text(path, path_len, "path")?, o)?)) }
    })
}

/// Opens `length` bytes from byte `offset` of a file descriptor: an asset of an Android package, a part of a bundle. Any
/// offset will do. The descriptor is duplicated; the caller's may be closed. (Not on Windows.)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_open_fd(
    fd: i32,
    offset: u64,
    length: u64,
    options: *const siskin_model_options,
    out_model: *mut *mut siskin_model,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: as the header says.
        unsafe {
            open(options, out_model, |o| Ok(Model::from_gguf(source::file_from_fd(fd, offset, length)?, o)?))
        }
    })
}

/// Opens `len` bytes in memory. With a `release` function they are not copied: they must stay as they are until it is
/// called with `userdata`, when the model and all that came from it are gone, or when this call fails. With NULL they are
/// copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_open_bytes(
    data: *const u8,
    len: usize,
    release: siskin_release_fn,
    userdata: *mut c_void,
    options: *const siskin_model_options,
    out_model: *mut *mut siskin_model,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // First of all, so that it is released however this ends.
        let bytes = Bytes::new(data, len, release, userdata);
        // SAFETY: as the header says.
        unsafe { open(options, out_model, |o| Ok(Model::from_gguf(bytes.file()?, o)?)) }
    })
}

/// Frees a model. NULL is fine. Sessions and jobs that use it go on.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_model_free(model: *mut siskin_model) -> siskin_result {
    boundary!({ handles::free(model.cast(), Kind::Model) })
}

/// Fills `info`, whose `size` must be set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_get_info(
    model: *const siskin_model,
    info: *mut siskin_model_info,
) -> siskin_result {
    boundary!({
        // SAFETY: the header asks for as many bytes as `size` says.
        let out = unsafe { SizedOut::new(info, "info") }?;
        let info = handles::model(model)?.info();
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        out.set(&siskin_model_info {
            size: 0,
            threads: number(info.threads),
            layers: number(info.layers),
            width: number(info.width),
            vocab: number(info.vocab),
            has_chat_template: info.has_chat_template.into(),
            context: info.context as u64,
            parameters: info.parameters,
            weight_bytes: info.weight_bytes,
            kernels: info.kernels.as_ptr().cast(),
            kernels_len: info.kernels.len(),
            generates: info.generates.into(),
            pooling: info.pooling.map_or(0, |pooling| match pooling {
                Pooling::Mean => siskin_pooling::SISKIN_POOLING_MEAN as u32,
                Pooling::Cls => siskin_pooling::SISKIN_POOLING_CLS as u32,
                Pooling::Last => siskin_pooling::SISKIN_POOLING_LAST as u32,
            }),
        });
        Ok(())
    })
}

/// Will it fit? Fills `fit`, whose `size` must be set, with what a session with these options (NULL for the defaults)
/// needs; nothing is allocated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_get_fit(
    model: *const siskin_model,
    options: *const siskin_session_options,
    fit: *mut siskin_fit,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: as the header says.
        let (out, options) = unsafe { (SizedOut::new(fit, "fit")?, options::session(options)?) };
        out.set(&self::fit(&handles::model(model)?.fit(&options)?));
        Ok(())
    })
}

pub(crate) fn fit(fit: &Fit) -> siskin_fit {
    siskin_fit {
        size: 0,
        threads: u32::try_from(fit.threads).unwrap_or(u32::MAX),
        context: fit.context as u64,
        batch: fit.batch as u64,
        mapped: fit.mapped,
        kv_cache: fit.kv_cache,
        buffers: fit.buffers,
        tables: fit.tables,
        dirty: fit.dirty(),
        peak: fit.peak(),
        bytes_per_token: fit.bytes_per_token,
    }
}

/// How many keys the file's metadata has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_metadata_count(
    model: *const siskin_model,
    out_count: *mut usize,
) -> siskin_result {
    boundary!({
        // SAFETY: the header asks for a pointer that can be written to.
        let out = unsafe { Out::new(out_count, "out_count") }?;
        out.set(handles::model(model)?.file().metadata().iter().count());
        Ok(())
    })
}

/// Key number `index`, from 0, in the file's order.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_metadata_key(
    model: *const siskin_model,
    index: usize,
    out_key: *mut *mut siskin_text,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: the header asks for a pointer that can be written to.
        let out = unsafe { Out::new(out_key, "out_key") }?;
        let model = handles::model(model)?;
        let (key, _) = model.file().metadata().iter().nth(index).ok_or_else(|| {
            Failure::new(
                siskin_result::SISKIN_RESULT_INVALID_ARGUMENT,
                format!("there is no key number {index}"),
            )
        })?;
        give_text(key.to_owned(), out)
    })
}

/// The value of a key, as JSON; SISKIN_RESULT_MISSING if there is no such key. Null stands for an array of arrays, or of
/// more than 2^20 elements, and for a number that is not finite.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_metadata_value(
    model: *const siskin_model,
    key: *const c_char,
    key_len: usize,
    out_json: *mut *mut siskin_text,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: as the header says.
        let (out, key) = unsafe { (Out::new(out_json, "out_json")?, args::text(key, key_len, "key")?) };
        let model = handles::model(model)?;
        let value = model
            .file()
            .metadata()
            .get(key)
            .ok_or_else(|| Error::new(ErrorKind::Missing, "the file has no such key").with_key(key))?;
        give_text(value.to_json().to_string(), out)
    })
}

/// Tells how hot the device is (a siskin_thermal): when hot, fewer threads work. Counts at once, also for jobs that run;
/// tokens do not depend on it.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_model_set_thermal(model: *const siskin_model, thermal: u32) -> siskin_result {
    boundary!({
        let thermal = match thermal {
            0 => Thermal::Nominal,
            1 => Thermal::Fair,
            2 => Thermal::Serious,
            3 => Thermal::Critical,
            other => return Err(unknown("siskin_thermal", other)),
        };
        handles::model(model)?.set_thermal(thermal);
        Ok(())
    })
}

/// How many threads work for now, see siskin_model_set_thermal.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_model_active_threads(
    model: *const siskin_model,
    out_threads: *mut u32,
) -> siskin_result {
    boundary!({
        // SAFETY: the header asks for a pointer that can be written to.
        let out = unsafe { Out::new(out_threads, "out_threads") }?;
        out.set(u32::try_from(handles::model(model)?.active_threads()).unwrap_or(u32::MAX));
        Ok(())
    })
}

/// Tells how short of memory the device is (a siskin_pressure): pages of the model file are given back to the system, and
/// read again when they are used.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_model_relieve(model: *const siskin_model, pressure: u32) -> siskin_result {
    boundary!({
        let pressure = match pressure {
            0 => Pressure::None,
            1 => Pressure::Moderate,
            2 => Pressure::Critical,
            other => return Err(unknown("siskin_pressure", other)),
        };
        handles::model(model)?.relieve(pressure);
        Ok(())
    })
}

fn unknown(what: &str, value: u32) -> Failure {
    Failure::new(siskin_result::SISKIN_RESULT_INVALID_ARGUMENT, format!("{value} is no {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn no_memory_at_all_is_no_model_and_is_released() {
        unsafe extern "C" fn release(userdata: *mut c_void) {
            // SAFETY: the counter below.
            unsafe { &*userdata.cast::<AtomicU32>() }.fetch_add(1, Ordering::Relaxed);
        }
        let (released, mut model) = (AtomicU32::new(0), std::ptr::null_mut());
        let (null, counter) = (std::ptr::null(), (&raw const released).cast_mut().cast());
        for len in [0, 9] {
            // SAFETY: NULL is what is tried; the rest is as the header asks for.
            let result = unsafe {
                siskin_model_open_bytes(
                    null,
                    len,
                    Some(release),
                    counter,
                    std::ptr::null(),
                    &raw mut model,
                    std::ptr::null_mut(),
                )
            };
            assert_ne!(result, siskin_result::SISKIN_RESULT_OK);
            assert_ne!(result, siskin_result::SISKIN_RESULT_PANIC);
        }
        assert!(model.is_null() && released.load(Ordering::Relaxed) == 2);
    }
}
