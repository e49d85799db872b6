//! Sixteen `f32` lanes: the smallest set of operations that the float kernels need.
//!
//! [`generic`](super::generic) is written once over this trait; a tier gives it registers (one of 512 bits, two of
//! 256, four of 128, or an array). Every operation is exact or correctly rounded, so all implementations agree bit
//! for bit; that is why there is no reciprocal estimate here.

/// Sixteen lanes of `f32`.
///
/// Implementations belong to a tier and may use its instructions: a value may only be made inside a function that
/// runs after the tier's `supported()` said yes, and methods must inline into one with its `#[target_feature]`s.
pub(crate) trait F32x16: Copy {
    /// `TILE * TILE` values fit in registers beside `TILE` more: 2, or 4 with 32 registers of 512 bits.
    const TILE: usize = 2;

    /// All lanes `x`.
    fn splat(x: f32) -> Self;
    /// Loads 16 values.
    fn load(x: &[f32; 16]) -> Self;
    /// Stores 16 values.
    fn store(self, out: &mut [f32; 16]);
    /// Stores integral lanes, each in the range of `i16`.
    #[inline(always)]
    fn store_i16(self, out: &mut [i16; 16]) {
        let mut lanes = [0.0; 16];
        self.store(&mut lanes);
        *out = lanes.map(|x| x as i16);
    }
    /// Stores integral lanes, each in the range of `i8`.
    #[inline(always)]
    fn store_i8(self, out: &mut [i8; 16]) {
        let mut lanes = [0.0; 16];
        self.store(&mut lanes);
        *out = lanes.map(|x| x as i8);
    }
    /// Widens 16 f16 values.
    fn load_f16(x: &[u16; 16]) -> Self;
    /// Rounds to f16, nearest even; overflow gives infinity, NaN stays NaN (any payload).
    fn store_f16(self, out: &mut [u16; 16]);
    /// Widens 16 bf16 values (the upper half of an f32).
    fn load_bf16(x: &[u16; 16]) -> Self;
    /// Asks for the cache line at `p`, which may be any address: a hint, without effect on results.
    #[inline(always)]
    fn prefetch<T>(_p: *const T) {}
    fn add(self, b: Self) -> Self;
    fn sub(self, b: Self) -> Self;
    fn mul(self, b: Self) -> Self;
    fn div(self, b: Self) -> Self;
    /// `self * b + c`, rounded once.
    fn fma(self, b: Self, c: Self) -> Self;
    /// `if self > b { self } else { b }`: `b` when either is NaN.
    fn max(self, b: Self) -> Self;
    /// `if self < b { self } else { b }`: `b` when either is NaN.
    fn min(self, b: Self) -> Self;
    /// Clears the sign.
    fn abs(self) -> Self;
    /// Rounds to an integer, ties to even. Exact for every finite value.
    fn round(self) -> Self;
    /// `2^n` for integral lanes in -126..=127, zero for -127, infinity for 128 (what shifting the biased exponent
    /// into place gives); any bits for others.
    fn exp2i(self) -> Self;
    /// Tree sum: 16 -> 8 -> 4 -> 2 -> 1, lane `i` plus lane `i + half`.
    fn reduce_add(self) -> f32;
    /// Tree maximum in the same order, with [`max`](Self::max)'s rule.
    fn reduce_max(self) -> f32;
    /// Whether a lane is NaN, where all others are 0.
    #[inline(always)]
    fn has_nan(self) -> bool {
        self.reduce_add().is_nan()
    }

    /// Loads up to 16 values; the lanes beyond are `fill`.
    #[inline(always)]
    fn load_partial(x: &[f32], fill: f32) -> Self {
        let mut full = [fill; 16];
        full[..x.len()].copy_from_slice(x);
        Self::load(&full)
    }

    /// Stores the first `out.len()` lanes.
    #[inline(always)]
    fn store_partial(self, out: &mut [f32]) {
        let mut full = [0.0; 16];
        self.store(&mut full);
        out.copy_from_slice(&full[..out.len()]);
    }

    /// Loads up to 16 values, without a copy if they are 16; the lanes beyond are zero.
    #[inline(always)]
    fn load_up_to(x: &[f32]) -> Self {
        match x.as_array() {
            Some(full) => Self::load(full),
            None => Self::load_partial(x, 0.0),
        }
    }

    /// Stores the first `out.len()` lanes, up to all 16.
    #[inline(always)]
    fn store_up_to(self, out: &mut [f32]) {
        match out.as_mut_array() {
            Some(full) => self.store(full),
            None => self.store_partial(out),
        }
    }

    /// Widens up to 16 f16 values; the lanes beyond are zero.
    #[inline(always)]
    fn load_f16_partial(x: &[u16]) -> Self {
        let mut full = [0; 16];
        full[..x.len()].copy_from_slice(x);
        Self::load_f16(&full)
    }

    /// Lane 0.
    #[inline(always)]
    fn first(self) -> f32 {
        let mut full = [0.0; 16];
        self.store(&mut full);
        full[0]
    }
}

/// Sixteen lanes of `i32`: what attention over bytes needs. All of it is exact: sums stay below 2^31.
///
/// As with [`F32x16`], values exist only where the tier's instructions do.
pub(crate) trait I32x16: Copy {
    /// The floats of the tier.
    type Floats: F32x16;
    /// Four elements of sixteen keys.
    type Keys: Copy;
    /// Sixteen elements of two values.
    type Values: Copy;

    /// What [`dot_keys`](Self::dot_keys) over elements of a query that add up to `sum` begins with: not zero where the
    /// instruction wants keys moved to be positive.
    fn start(sum: i32) -> Self;
    /// All lanes zero.
    fn zero() -> Self;
    /// Loads keys, `[16][4]`, each in -127..=127.
    fn keys(x: &[i8; 64]) -> Self::Keys;
    /// Lane `p` of `self` plus the products of key `p` with `q`, each in -127..=127.
    fn dot_keys(self, keys: Self::Keys, q: &[i8; 4]) -> Self;
    /// Loads values, `[16][2]`.
    fn values(x: &[i8; 32]) -> Self::Values;
    /// Lane `d` of `self` plus the products of elements `d` with `weights`.
    fn dot_values(self, values: Self::Values, weights: &[i16; 2]) -> Self;
    /// As floats, to nearest even.
    fn to_floats(self) -> Self::Floats;
}
