//! The one cast from bytes to numbers.
#![allow(unsafe_code, reason = "reinterprets mapped bytes as blocks; see PlainBlock")]

use crate::error::{Error, ErrorKind, Result};
use crate::quant::{self, Block};

/// A block type that bytes may be reinterpreted as.
///
/// # Safety
/// - the type has alignment one and no padding;
/// - every bit pattern is a valid value.
pub unsafe trait PlainBlock: Block {}

macro_rules! plain_blocks {
    ($($variant:ident = $id:literal, $block:ident, $bytes:literal, $name:literal;)+) => {
        // SAFETY: the blocks of the table are `#[repr(C)]` structs of `u8`/`i8` arrays (alignment is asserted
        // beside the table; size equals the sum of the fields), for which every bit pattern is valid.
        $(unsafe impl PlainBlock for quant::$block {})+
    };
}
quant::with_quant_types!(plain_blocks);

/// `bytes` as blocks. An error if they are not a whole number of blocks.
pub fn blocks<B: PlainBlock>(bytes: &[u8]) -> Result<&[B]> {
    let size = size_of::<B>();
    if !bytes.len().is_multiple_of(size) {
        return Err(Error::new(
            ErrorKind::Shape,
            format!("{} bytes are not a whole number of {size}-byte blocks", bytes.len()),
        ));
    }
    // SAFETY: the length is a multiple of the block size, checked above; `PlainBlock` promises alignment one, no
    // padding and that every bit pattern is valid; the lifetime is that of `bytes`.
    Ok(unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<B>(), bytes.len() / size) })
}

/// The bytes of `block`.
pub(super) fn bytes_of<B: PlainBlock>(block: &B) -> &[u8] {
    // SAFETY: `PlainBlock` promises no padding, so every byte is initialised; the lifetime is that of `block`.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(block).cast(), size_of::<B>()) }
}

/// `bytes` as little-endian `f32`s in place, if they are aligned and the machine is little-endian.
pub fn f32s(bytes: &[u8]) -> Option<&[f32]> {
    if cfg!(target_endian = "big") {
        return None;
    }
    // SAFETY: every bit pattern is a valid f32; `align_to` splits off whatever is misaligned.
    let (head, body, tail) = unsafe { bytes.align_to::<f32>() };
    (head.is_empty() && tail.is_empty()).then_some(body)
}

/// `bytes` as little-endian `u16`s in place, if they are aligned and the machine is little-endian.
pub fn u16s(bytes: &[u8]) -> Option<&[u16]> {
    if cfg!(target_endian = "big") {
        return None;
    }
    // SAFETY: every bit pattern is a valid u16; `align_to` splits off whatever is misaligned.
    let (head, body, tail) = unsafe { bytes.align_to::<u16>() };
    (head.is_empty() && tail.is_empty()).then_some(body)
}
