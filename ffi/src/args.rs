//! From C's pointers to Rust's values.
//!
//! What cannot be checked is the caller's part, as the header says: a pointer that is not NULL points to as much memory
//! as it is said to, which stays as it is during the call.

use crate::boundary::{Failure, Result};
use crate::result::siskin_result;
use std::ffi::c_char;

/// A struct that C passes by pointer; its first field is its size as the caller knows it.
///
/// # Safety
/// `repr(C)`, begins with `size: u32`, and every bit pattern is a valid value.
pub(crate) unsafe trait Sized32: Copy {}

/// No struct of any version is larger. Whoever forgets to set a size does not make us read gigabytes.
const MAX_SIZE: usize = 1 << 16;

fn null(what: &str) -> Failure {
    Failure::new(siskin_result::SISKIN_RESULT_NULL_POINTER, format!("{what} is NULL"))
}

/// `len` values at `ptr`; NULL is fine if there are none.
///
/// # Safety
/// If not NULL, `ptr` points to `len` values that stay unchanged for `'a`.
pub(crate) unsafe fn slice<'a, T>(ptr: *const T, len: usize, what: &str) -> Result<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    if ptr.is_null() {
        return Err(null(what));
    }
    if !ptr.is_aligned() || len.checked_mul(size_of::<T>()).is_none_or(|n| n > isize::MAX as usize) {
        let message = format!("{what}: not aligned, or longer than memory");
        return Err(Failure::new(siskin_result::SISKIN_RESULT_INVALID_ARGUMENT, message));
    }
    // SAFETY: the caller's promise, and not NULL, aligned, of a possible length as just checked.
    Ok(unsafe { std::slice::from_raw_parts(ptr, len) })
}

/// UTF-8 of `len` bytes.
///
/// # Safety
/// As [`slice()`].
pub(crate) unsafe fn text<'a>(ptr: *const c_char, len: usize, what: &str) -> Result<&'a str> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { slice(ptr.cast::<u8>(), len, what) }?;
    std::str::from_utf8(bytes).map_err(|e| {
        let message = format!("{what} is not UTF-8 (at byte {})", e.valid_up_to());
        Failure::new(siskin_result::SISKIN_RESULT_INVALID_UTF8, message)
    })
}

/// The struct at `ptr`, or `default` if it is NULL. Of a shorter struct (an older caller's) the missing fields are those
/// of `default`; the part of a longer one (a newer caller's) that this version does not know must be zero.
///
/// # Safety
/// If not NULL, `ptr` points to a `u32` and to as many bytes as that says.
pub(crate) unsafe fn sized<T: Sized32>(ptr: *const T, default: T, what: &str) -> Result<T> {
    if ptr.is_null() {
        return Ok(default);
    }
    // SAFETY: the caller's promise.
    let size = unsafe { ptr.cast::<u32>().read_unaligned() } as usize;
    // Older versions of a struct end between two fields, never inside a pointer.
    let whole = size >= size_of::<T>() || size.is_multiple_of(align_of::<T>());
    if size < size_of::<u32>() || size > MAX_SIZE || !whole {
        let message = format!("{what}: its size is {size}; set it to sizeof before the call");
        return Err(Failure::new(siskin_result::SISKIN_RESULT_STRUCT_SIZE, message));
    }
    // SAFETY: the caller's promise: `size` bytes.
    let given = unsafe { std::slice::from_raw_parts(ptr.cast::<u8>(), size) };
    let known = size.min(size_of::<T>());
    if given[known..].iter().any(|&b| b != 0) {
        let message = format!("{what}: it has {size} bytes and asks for what this version does not know");
        return Err(Failure::new(siskin_result::SISKIN_RESULT_STRUCT_SIZE, message));
    }
    let mut value = default;
    // SAFETY: `known` bytes lie in both; `T` takes any bit pattern.
    unsafe { std::ptr::copy_nonoverlapping(given.as_ptr(), (&raw mut value).cast::<u8>(), known) };
    Ok(value)
}

/// `count` structs that lie as far apart as the first one says: those of an older or newer caller have other sizes than
/// ours.
///
/// # Safety
/// If not NULL, `first` points to as many structs, each of which begins with the same size.
pub(crate) unsafe fn each<T: Sized32>(
    first: *const T,
    count: usize,
    default: T,
    what: &str,
) -> Result<Vec<T>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    given(first, what)?;
    // SAFETY: the caller's promise: each begins with its size.
    let size_at = |ptr: *const T| unsafe { ptr.cast::<u32>().read_unaligned() };
    let size = size_at(first);
    (0..count)
        .map(|i| {
            let ptr = first.wrapping_byte_add(i.wrapping_mul(size as usize));
            if size < 4 || size_at(ptr) != size {
                let message =
                    format!("{what}: the size of number {i} is not that of the first, or is not set");
                return Err(Failure::new(siskin_result::SISKIN_RESULT_STRUCT_SIZE, message));
            }
            // SAFETY: the caller's promise.
            unsafe { sized(ptr, default, what) }
        })
        .collect()
}

/// Refuses a field that has no meaning yet, so that it can get one: not zero, it asks for what this version does not know.
pub(crate) fn reserved(value: u32, what: &str) -> Result<()> {
    if value == 0 {
        return Ok(());
    }
    let message = format!("{what}: reserved is {value}; it must be 0");
    Err(Failure::new(siskin_result::SISKIN_RESULT_STRUCT_SIZE, message))
}

/// Refuses NULL where a struct must be.
pub(crate) fn given<T>(ptr: *const T, what: &str) -> Result<()> {
    if ptr.is_null() { Err(null(what)) } else { Ok(()) }
}

/// Where an answer goes: checked before the work, written after it.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// If not NULL, `ptr` can be written to until the call ends.
    pub(crate) unsafe fn new(ptr: *mut T, what: &str) -> Result<Self> {
        if ptr.is_null() { Err(null(what)) } else { Ok(Self(ptr)) }
    }

    pub(crate) fn set(self, value: T) {
        // SAFETY: `new`'s caller promised it.
        unsafe { self.0.write_unaligned(value) };
    }

    /// Writes several values, one behind the other.
    ///
    /// # Safety
    /// There is room for as many.
    pub(crate) unsafe fn set_all(self, values: &[T])
    where
        T: Copy,
    {
        let (from, to) = (values.as_ptr().cast::<u8>(), self.0.cast::<u8>());
        // SAFETY: the caller's promise; as bytes, since C's pointer need not be aligned.
        unsafe { std::ptr::copy_nonoverlapping(from, to, size_of_val(values)) };
    }
}

/// Where a struct goes that begins with its size: as much of it is written as the caller knows.
pub(crate) struct SizedOut<T>(*mut T, usize);

impl<T: Sized32> SizedOut<T> {
    /// # Safety
    /// If not NULL, `ptr` points to a `u32`, and as many bytes as that says can be written until the call ends.
    pub(crate) unsafe fn new(ptr: *mut T, what: &str) -> Result<Self> {
        if ptr.is_null() {
            return Err(null(what));
        }
        // SAFETY: the caller's promise.
        let size = unsafe { ptr.cast::<u32>().read_unaligned() } as usize;
        if size < size_of::<u32>() {
            let message = format!("{what}: its size is {size}; set it to sizeof before the call");
            return Err(Failure::new(siskin_result::SISKIN_RESULT_STRUCT_SIZE, message));
        }
        Ok(Self(ptr, size.min(size_of::<T>())))
    }

    /// Writes everything but the size, which stays the caller's.
    pub(crate) fn set(self, value: &T) {
        const SIZE: usize = size_of::<u32>();
        // SAFETY: `new`'s caller promised that `self.1` bytes can be written, and `T` has at least as many.
        unsafe {
            let from = (&raw const *value).cast::<u8>().add(SIZE);
            std::ptr::copy_nonoverlapping(from, self.0.cast::<u8>().add(SIZE), self.1 - SIZE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Options {
        size: u32,
        flag: u32,
        first: *const u8,
        second: *const u8,
    }
    // SAFETY: repr(C), `size` first, numbers and pointers.
    unsafe impl Sized32 for Options {}

    const SIZE: usize = size_of::<Options>();
    const DEFAULT: Options =
        Options { size: SIZE as u32, flag: 1, first: std::ptr::null(), second: std::ptr::null() };

    fn read(size: usize) -> Option<Options> {
        let ones = std::ptr::without_provenance(usize::MAX);
        // More than any size that is tried, as what lies behind a struct that is too small would be.
        let given = [Options { size: size as u32, flag: 0, first: ones, second: ones }; 2];
        // SAFETY: as many bytes as are looked at before the size is refused.
        unsafe { sized(given.as_ptr(), DEFAULT, "options") }.ok()
    }

    #[test]
    fn a_struct_that_ends_inside_a_field_is_refused() {
        for size in 0..=SIZE {
            let got = read(size);
            let whole = size > 0 && size % align_of::<Options>() == 0;
            assert_eq!(got.is_some(), whole, "{size}");
            for pointer in got.into_iter().flat_map(|o| [o.first, o.second]) {
                assert!(pointer.is_null() || pointer.addr() == usize::MAX, "{size}: half a pointer");
            }
        }
        assert_eq!(read(8).map(|o| (o.flag, o.first)), Some((0, std::ptr::null())).filter(|_| SIZE >= 16));
    }

    #[test]
    fn a_size_that_nobody_set_is_refused_before_the_struct_is_read() {
        for size in [MAX_SIZE + 1, 0x7fff_ffff, 0xdead_beef, u32::MAX as usize] {
            assert!(read(size).is_none());
        }
    }
}
