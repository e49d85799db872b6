//! What version this is.

use std::ffi::{CStr, c_char};

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("a version has no NUL inside"),
};

/// The library's version, such as "0.1.0". Valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_version() -> *const c_char {
    infallible!({ VERSION.as_ptr() })
}

/// The version of this interface: compare it with SISKIN_ABI_VERSION of the header you were compiled with. Within one
/// version things are added, nothing is changed or removed.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_abi_version() -> u32 {
    infallible!({ ABI_VERSION })
}

const ABI_VERSION: u32 = {
    let digits = env!("SISKIN_ABI_VERSION").as_bytes();
    let (mut value, mut i) = (0, 0);
    while i < digits.len() {
        value = value * 10 + (digits[i] - b'0') as u32;
        i += 1;
    }
    value
};
