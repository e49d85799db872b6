//! What the products need of a register: one 32-bit lane per row.

use super::rows::Rows;

/// The largest weight in a tile, for [`RowLanes::dot`]; this one stands for signed bytes.
pub(in crate::kernels) const SIGNED: u32 = 255;

/// An integer register with one 32-bit lane per row.
///
/// As with [`F32x16`](crate::kernels::vector::F32x16), values exist only inside functions that run after the tier's
/// `supported()` said yes. Methods that read memory are unsafe; the others only need the instructions.
pub(in crate::kernels) trait RowLanes: Copy {
    /// Lanes.
    const ROWS: usize;
    /// Panels that many tokens pass over together, so that a number of theirs is read once for all: 1 or 2.
    const PANELS: usize;
    /// Tokens that pass over panels together: as many as the registers hold with [`PANELS`](Self::PANELS). 4 or 6.
    const GROUP: usize;
    /// Whether the registers hold eight tokens with one panel.
    const EIGHT: bool;
    /// Up to this many tokens take blocks together as they are unpacked; more share panels in scratch. At most 16.
    const FEW: usize;
    /// How much larger than the signed bytes the bytes that [`signed`](Self::signed) makes are: 128 or 0.
    const SIGNED_OFFSET: i32;
    /// One `f32` per row.
    type Floats: Copy;

    /// Runs `op` in a function with the tier's instruction set.
    ///
    /// # Safety
    /// - the processor has the tier's instructions.
    unsafe fn run<O: Op>(op: O) -> O::Output;

    /// Bytes `offset..offset + 16` of every row: lane `r` of result `c` holds bytes `4 c..4 c + 4` of row `r`.
    ///
    /// # Safety
    /// - `offset + 16 <=` the bytes per row.
    unsafe fn load16(rows: &Rows, offset: usize) -> [Self; 4];
    /// Bytes `offset..offset + 4` of every row.
    ///
    /// # Safety
    /// - `offset + 4 <=` the bytes per row.
    unsafe fn load4(rows: &Rows, offset: usize) -> Self;
    /// The f16 at `offset` of every row.
    ///
    /// # Safety
    /// - `offset + 2 <=` the bytes per row.
    unsafe fn load_f16(rows: &Rows, offset: usize) -> Self::Floats;

    /// Every lane `x`.
    fn splat(x: i32) -> Self;
    fn and(self, b: Self) -> Self;
    fn or(self, b: Self) -> Self;
    fn add(self, b: Self) -> Self;
    fn sub(self, b: Self) -> Self;
    fn mul(self, b: Self) -> Self;
    fn add_bytes(self, b: Self) -> Self;
    /// The larger of two signed lanes.
    fn max(self, b: Self) -> Self;
    /// Shifts each lane right, filling with zeros.
    fn shr<const N: u32>(self) -> Self;
    /// Shifts each lane left.
    fn shl<const N: u32>(self) -> Self;
    /// Within each lane: byte `i` of the result is byte `from[i]`, or zero if that is negative.
    fn shuffle(self, from: [i8; 4]) -> Self;
    /// Each byte, in 0..16, replaced by its entry of `table`.
    fn lookup(self, table: &[i8; 16]) -> Self;
    /// Adds `add` to the bytes of `self` where `bits & select` is not zero.
    fn add_where(self, bits: Self, select: Self, add: Self) -> Self;
    /// Signed bytes in the form that [`dot`](Self::dot) wants them in for `MAX` [`SIGNED`].
    fn signed(self) -> Self;

    /// Byte `i` of each lane, as a signed number.
    fn byte(self, i: u32) -> Self;
    /// The lower half of each lane as an f16.
    fn low_f16(self) -> Self::Floats;
    fn to_floats(self) -> Self::Floats;
    /// The lanes' bits as `f32`.
    fn as_floats(self) -> Self::Floats;

    fn zero() -> Self::Floats;
    fn splat_float(x: f32) -> Self::Floats;
    fn mul_floats(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a * b + c`, rounded once.
    fn fma(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// Stores to `out`, `[ROWS]`.
    fn store(x: Self::Floats, out: &mut [f32]);

    /// For each of `T` tokens: `sums[t]` plus the products of `4 N` weights per row with `q[t][..4 N]`, exactly. The
    /// weights are bytes in `0..=MAX` (`MAX` 15, 31, 63 or 127), or what [`signed`](Self::signed) made ([`SIGNED`]).
    ///
    /// # Safety
    /// - each `q[t]` is good for reading `4 N` bytes, which are in -127..=127.
    unsafe fn dot<const T: usize, const N: usize, const MAX: u32>(
        tile: &[Self; N],
        q: [*const i8; T],
        sums: [Self; T],
    ) -> [Self; T];

    /// [`dot`](Self::dot) with `P` tiles.
    ///
    /// # Safety
    /// - as there.
    #[inline(always)]
    unsafe fn dots<const P: usize, const T: usize, const N: usize, const MAX: u32>(
        tiles: [&[Self; N]; P],
        q: [*const i8; T],
        mut sums: [[Self; T]; P],
    ) -> [[Self; T]; P] {
        // No closures here and in what calls this: they would not have the function's instructions.
        for p in 0..P {
            // SAFETY: the caller's.
            sums[p] = unsafe { Self::dot::<T, N, MAX>(tiles[p], q, sums[p]) };
        }
        sums
    }

    /// `self` plus the products of the two signed 16-bit halves of `pairs` with those of `x`.
    fn dot_pairs(self, pairs: Self, x: i32) -> Self;
}

/// A piece of work for [`RowLanes::run`]; `run` must be `#[inline(always)]`.
pub(in crate::kernels) trait Op {
    /// What it gives.
    type Output;
    /// Does it.
    ///
    /// # Safety
    /// - called through [`RowLanes::run`].
    unsafe fn run(self) -> Self::Output;
}
