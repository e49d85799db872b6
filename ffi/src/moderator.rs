//! `siskin_moderator`: how probable it is that a text violates a policy.

use crate::args::{self, Out, Sized32, SizedOut};
use crate::boundary::{Failure, Result};
use crate::error::siskin_error;
use crate::handles::{self, Kind, Object};
use crate::model::siskin_model;
use crate::options::{flag, kv_type, siskin_kv_type};
use crate::owned::give;
use crate::result::siskin_result;
use siskin::{ModerateOptions, Policy, SharedModerator};
use std::ffi::c_char;

/// Tells how probable it is that texts violate policies, with a model that was trained for it (ShieldGemma). Any thread may
/// use it; one call at a time, another meanwhile gives SISKIN_RESULT_BUSY.
#[derive(Debug)]
pub struct siskin_moderator {
    _private: [u8; 0],
}

/// How to moderate. Fill it with siskin_moderate_options_init.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct siskin_moderate_options {
    /// sizeof(siskin_moderate_options)
    pub size: u32,
    /// Whether also with a model that does not say that it is a classifier of this kind: 0 or 1.
    pub any_model: u32,
    /// A siskin_kv_type: how keys and values are stored on the way.
    pub kv_type: u32,
    /// Must be 0.
    pub reserved: u32,
}

/// A rule that a text may violate. Texts are UTF-8 and are read during the call only.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct siskin_policy {
    /// sizeof(siskin_policy)
    pub size: u32,
    /// Must be 0.
    pub reserved: u32,
    /// Its name. Without words of its own one that the model was trained with: "dangerous_content", "harassment",
    /// "hate_speech" or "sexually_explicit".
    pub name: *const c_char,
    pub name_len: usize,
    /// Its words; NULL for those that the model was trained with.
    pub guideline: *const c_char,
    pub guideline_len: usize,
}

// SAFETY: repr(C), `size` first, and only numbers.
unsafe impl Sized32 for siskin_moderate_options {}
// SAFETY: repr(C), `size` first, and only numbers and pointers.
unsafe impl Sized32 for siskin_policy {}

const NO_POLICY: siskin_policy = siskin_policy {
    size: size_of::<siskin_policy>() as u32,
    reserved: 0,
    name: std::ptr::null(),
    name_len: 0,
    guideline: std::ptr::null(),
    guideline_len: 0,
};

fn defaults() -> siskin_moderate_options {
    siskin_moderate_options {
        size: size_of::<siskin_moderate_options>() as u32,
        any_model: 0,
        kv_type: siskin_kv_type::SISKIN_KV_F16 as u32,
        reserved: 0,
    }
}

/// Fills `options`, whose `size` must be set, with the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_moderate_options_init(
    options: *mut siskin_moderate_options,
) -> siskin_result {
    boundary!({
        // SAFETY: the header asks for as many bytes as `size` says.
        unsafe { SizedOut::new(options, "options") }?.set(&defaults());
        Ok(())
    })
}

/// # Safety
/// As the header says of siskin_moderate_options.
unsafe fn read(options: *const siskin_moderate_options) -> Result<ModerateOptions> {
    // SAFETY: the caller's promise.
    let o = unsafe { args::sized(options, defaults(), "options") }?;
    args::reserved(o.reserved, "options")?;
    Ok(ModerateOptions { any_model: flag(o.any_model, "any_model")?, kv_type: kv_type(o.kv_type)? })
}

/// Starts a moderator with these options (NULL for the defaults). It keeps what it needs of the model.
/// SISKIN_RESULT_UNSUPPORTED if the model was not made for it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_moderator_new(
    model: *const siskin_model,
    options: *const siskin_moderate_options,
    out_moderator: *mut *mut siskin_moderator,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: as the header says.
        let (out, options) = unsafe { (Out::new(out_moderator, "out_moderator")?, read(options)?) };
        give(Object::Moderator(SharedModerator::new(&handles::model(model)?, &options)?), out)
    })
}

/// How probable it is, 0 to 1, that a text violates each of `policy_count` policies, all of the same size: the response that a chatbot gave to the
/// prompt, or without one (NULL) the prompt that a user wrote. `probabilities` has room for as many numbers as there are
/// policies. Computes on this thread and the model's. SISKIN_RESULT_CONTEXT_FULL for texts that are too long: none is cut.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siskin_moderator_moderate(
    moderator: *mut siskin_moderator,
    prompt: *const c_char,
    prompt_len: usize,
    response: *const c_char,
    response_len: usize,
    policies: *const siskin_policy,
    policy_count: usize,
    probabilities: *mut f64,
    out_error: *mut *mut siskin_error,
) -> siskin_result {
    boundary!(out_error, {
        // SAFETY: as the header says, here and below.
        let (out, prompt, policies) = unsafe {
            let prompt = args::text(prompt, prompt_len, "prompt")?;
            let policies = args::each(policies, policy_count, NO_POLICY, "policies")?;
            (Out::new(probabilities, "probabilities")?, prompt, policies)
        };
        let response = match response.is_null() {
            true => None,
            // SAFETY: as above.
            false => Some(unsafe { args::text(response, response_len, "response") }?),
        };
        let policy = |p: siskin_policy| {
            args::reserved(p.reserved, "a policy")?;
            // SAFETY: as above.
            let name = unsafe { args::text(p.name, p.name_len, "a policy's name") }?;
            Ok::<_, Failure>(match p.guideline.is_null() {
                true => Policy::known(name),
                false => {
                    // SAFETY: as above.
                    let words = unsafe { args::text(p.guideline, p.guideline_len, "a guideline") }?;
                    Policy::custom(name, words)
                }
            })
        };
        let policies = policies.into_iter().map(policy).collect::<Result<Vec<_>>>()?;
        let scores = handles::moderator(moderator)?.moderate(prompt, response, &policies)?;
        let values: Vec<f64> = scores.iter().map(|score| score.probability).collect();
        // SAFETY: there is one score for each policy, for which there is room, as the header says.
        unsafe { out.set_all(&values) };
        Ok(())
    })
}

/// Cancels the call that runs, which then gives SISKIN_RESULT_CANCELLED; does nothing if none does. Any thread, any time.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_moderator_cancel(moderator: *const siskin_moderator) -> siskin_result {
    boundary!({
        handles::moderator(moderator)?.cancel();
        Ok(())
    })
}

/// Frees a moderator. NULL is fine. A call that runs goes on.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_moderator_free(moderator: *mut siskin_moderator) -> siskin_result {
    boundary!({ handles::free(moderator.cast(), Kind::Moderator) })
}
