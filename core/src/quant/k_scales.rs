//! The packed 6-bit scales of the K types, and what else several of them share.

/// Sub-block `j`'s (0..8) 6-bit scale and 6-bit minimum, of Q4_K's and Q5_K's 12 bytes.
///
/// ```text
/// byte 0..4    low 6 bits: scale 0..4      high 2 bits: upper bits of scale 4..8
/// byte 4..8    low 6 bits: minimum 0..4    high 2 bits: upper bits of minimum 4..8
/// byte 8..12   low nibble: lower 4 bits of scale 4..8, high nibble: of minimum 4..8
/// ```
#[inline(always)]
pub fn scale_min_k4(j: usize, scales: &[u8; 12]) -> (u8, u8) {
    if j < 4 {
        (scales[j] & 63, scales[j + 4] & 63)
    } else {
        let low = scales[j + 4];
        ((low & 15) | (scales[j - 4] >> 6 << 4), (low >> 4) | (scales[j] >> 6 << 4))
    }
}

/// The sixteen signed scales, in -32..32, of Q3_K's 12 bytes.
///
/// ```text
/// byte 0..8    low nibble: lower 4 bits of scale 0..8, high nibble: of scale 8..16
/// byte 8..12   byte 8 + i, bits 2j..2j+2: upper 2 bits of scale 4j + i
/// scale = value - 32
/// ```
#[inline(always)]
pub fn scales_q3_k(scales: &[u8; 12]) -> [i8; 16] {
    std::array::from_fn(|k| {
        let low = if k < 8 { scales[k] & 15 } else { scales[k - 8] >> 4 };
        let high = scales[8 + k % 4] >> (2 * (k / 4)) & 3;
        (low | high << 4) as i8 - 32
    })
}

/// Packs what [`scale_min_k4`] unpacks. All values below 64.
pub fn pack_scale_min_k4(scales: [u8; 8], mins: [u8; 8]) -> [u8; 12] {
    std::array::from_fn(|i| match i {
        0..4 => scales[i] | (scales[i + 4] >> 4 << 6),
        4..8 => mins[i - 4] | (mins[i] >> 4 << 6),
        _ => (scales[i - 4] & 15) | ((mins[i - 4] & 15) << 4),
    })
}

/// Packs what [`scales_q3_k`] unpacks.
pub fn pack_scales_q3_k(scales: [i8; 16]) -> [u8; 12] {
    let raw = scales.map(|s| (s + 32) as u8);
    std::array::from_fn(|i| match i {
        0..8 => (raw[i] & 15) | ((raw[i + 8] & 15) << 4),
        _ => (0..4).map(|j| raw[4 * j + i - 8] >> 4 << (2 * j)).sum(),
    })
}

/// Exact dot products of each sub-block of `256 / N` integers with its activations, `[256]`.
#[inline(always)]
pub(super) fn sub_dots<const N: usize>(q: &[i8; 256], a: &[i8]) -> [i32; N] {
    let len = 256 / N;
    let a = &a[..256];
    std::array::from_fn(|j| {
        let range = j * len..(j + 1) * len;
        q[range.clone()].iter().zip(&a[range]).map(|(&q, &a)| i32::from(q) * i32::from(a)).sum()
    })
}

/// Nearest integer to `x * inverse`, limited to `low..=high`. NaN gives 0 or the nearest limit.
pub(super) fn nearest(x: f32, inverse: f32, low: i32, high: i32) -> i32 {
    ((x * inverse).round_ties_even() as i32).clamp(low, high)
}

/// The 32 values of `table` that nibbles name: the low ones are the first half, the high ones the second.
pub(super) fn looked_up(nibbles: &[u8; 16], table: &[i8; 16]) -> [i8; 32] {
    std::array::from_fn(|i| {
        let index = if i < 16 { nibbles[i] & 15 } else { nibbles[i - 16] >> 4 };
        table[usize::from(index)]
    })
}

/// Index of the first value of `table` that is nearest to `x`.
pub(super) fn nearest_index(x: f32, table: &[i8; 16]) -> u8 {
    let distance = |i: &u8| (x - f32::from(table[usize::from(*i)])).abs();
    (0..16).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(0)
}

/// `1 / x`, or 0 for 0.
pub(super) fn inverse(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { 1.0 / x }
}

/// Largest magnitude in `x`.
pub(super) fn max_abs(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |m, v| m.max(v.abs()))
}

/// Smallest value that is not above zero, and the largest not below it.
pub(super) fn range_with_zero(x: &[f32]) -> (f32, f32) {
    x.iter().fold((0.0, 0.0), |(low, high), &v| (v.min(low), v.max(high)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_and_unpacking_agree() {
        let scales: [u8; 8] = [0, 63, 17, 32, 15, 16, 47, 63];
        let mins: [u8; 8] = [63, 1, 48, 31, 0, 33, 62, 16];
        let packed = pack_scale_min_k4(scales, mins);
        for j in 0..8 {
            assert_eq!(scale_min_k4(j, &packed), (scales[j], mins[j]), "sub-block {j}");
        }
        let signed: [i8; 16] = [-32, 31, 0, -1, 1, 15, 16, -16, -17, 30, -31, 8, 7, -8, -9, 2];
        assert_eq!(scales_q3_k(&pack_scales_q3_k(signed)), signed);
    }
}
