//! Makes the table that [`Screen`](super::Screen) uses.

use std::io::Write;

use half::f16;

use super::{BASIS, BOUND, GROUP_UNIT, GROUPS, SAMPLE, SLACK, TABLE, TWICE, basis};
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::COMPANION;
use crate::gguf::write::GgufWriter;
use crate::kernels::{Kernels, Scratch};
use crate::model::Decoder;
use crate::model::weights::Linear;
use crate::quant::{Block, BlockQ4_0, QuantType};
use crate::tensor::{Acts, QMatRef, Rows, Stripe};
use crate::threads::Pool;

/// The columns where most of the activations' length is: they are there twice.
const FIRST: usize = 32;
/// Of the table: the fastest of the small types.
const TYPE: QuantType = QuantType::Q4_0;
/// Rows per task.
const CHUNK: usize = 128;
/// Tasks until progress is told and data is written.
const CHUNKS: usize = 32;
/// Half of the distance from 1 to the next f32.
const UNIT: f64 = 1.0 / (1u64 << 24) as f64;
/// Rows that the sample looks at.
const SAMPLED: usize = 64;

/// Where final activations point: collected from positions of a text, as long or short as it may be. A good sample makes
/// a fast table; a bad one a slower one, never a wrong one.
#[derive(Clone, Debug)]
pub struct Calibration {
    width: usize,
    positions: usize,
    /// `[width, width]`: sum of the outer products of directions, lower triangle.
    sum: Vec<f64>,
}

impl Calibration {
    /// Nothing seen yet of activations of `width`.
    pub fn new(width: usize) -> Self {
        Self { width, positions: 0, sum: vec![0.0; width * width] }
    }

    /// Positions seen.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Sees a position's activations, `[width]`: [`Tap::FinalNorm`](crate::model::Tap). Ignores what has no direction.
    pub fn add(&mut self, h: &[f32]) {
        let square: f64 = h.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        if h.len() != self.width || !square.is_normal() {
            return;
        }
        self.positions += 1;
        for (i, row) in self.sum.chunks_exact_mut(self.width).enumerate() {
            let x = f64::from(h[i]) / square;
            row[..=i].iter_mut().zip(h).for_each(|(s, &y)| *s += x * f64::from(y));
        }
    }

    /// The basis, `[width, width]`, rounded to f32.
    fn basis(&self) -> Vec<f32> {
        let (n, mut a) = (self.width, self.sum.clone());
        for i in 0..n {
            (0..i).for_each(|j| a[j * n + i] = a[i * n + j]);
        }
        basis::eigenvectors(&mut a, n).into_iter().map(|x| x as f32).collect()
    }
}

/// The table of a model's head, ready to be written.
#[derive(Debug)]
pub struct Table<'a> {
    head: &'a Linear,
    kernels: &'static Kernels,
    pool: &'a Pool,
    /// `[width, width]`, little-endian f32.
    basis: Vec<u8>,
    slack: f32,
    groups: Vec<usize>,
}

impl<'a> Table<'a> {
    /// A table for `decoder`'s head.
    ///
    /// # Errors
    /// `Unsupported` if the head cannot have one.
    pub(crate) fn new(
        decoder: &'a Decoder,
        kernels: &'static Kernels,
        pool: &'a Pool,
        calibration: &Calibration,
    ) -> Result<Self> {
        let head = decoder.screenable().map_err(|why| Error::new(ErrorKind::Unsupported, why))?;
        let width = head.cols();
        assert_eq!(calibration.width, width, "activations of this model");
        let basis = calibration.basis();
        let slack = slack(&basis, width);
        let basis = basis.iter().flat_map(|x| x.to_le_bytes()).collect();
        Ok(Self { head, kernels, pool, basis, slack, groups: groups(width) })
    }

    /// Writes it as a companion (`docs/gguf.md`), telling `progress(rows done, rows)`, which may stop it by answering
    /// `false`.
    ///
    /// # Errors
    /// `Io`; `Cancelled`; `Unsupported` if a row has no bound.
    pub fn write(&self, out: &mut dyn Write, progress: &mut dyn FnMut(usize, usize) -> bool) -> Result<()> {
        let (rows, width) = (self.head.rows(), self.head.cols());
        let kinds = self.groups.len() + 2;
        let groups: Vec<u32> = self.groups.iter().map(|&g| g as u32).collect();
        let mut file = GgufWriter::new();
        file.set("general.architecture", COMPANION)
            .set(TWICE, &(FIRST as u32))
            .set(GROUPS, groups.as_slice())
            .set(SLACK, &self.slack)
            .set(SAMPLE, &sample(self.head));
        // The table first: it is written as it is made, bounds are kept until then.
        file.tensor(TABLE, TYPE, &[width + FIRST, rows])?;
        file.tensor(BOUND, QuantType::F16, &[rows, kinds])?;
        file.tensor(BASIS, QuantType::F32, &[width, width])?;
        let mut bounds: Vec<Vec<u8>> = vec![Vec::new(); kinds];
        file.write(out, &mut |tensor, out| match tensor.name.as_str() {
            TABLE => self.make(out, &mut bounds, progress),
            BOUND => Ok(bounds.iter().try_for_each(|b| out.write_all(b))?),
            _ => Ok(out.write_all(&self.basis)?),
        })
    }

    /// Makes all rows: the table's go to `out`, bounds to `bounds`, one vector per kind.
    fn make(
        &self,
        out: &mut dyn Write,
        bounds: &mut [Vec<u8>],
        progress: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<()> {
        let (rows, width, kinds) = (self.head.rows(), self.head.cols(), bounds.len());
        let row_bytes = TYPE.row_bytes(width + FIRST).unwrap_or(0);
        let mut locals: Vec<Work> = (0..self.pool.threads()).map(|_| Work::new(width)).collect();
        let slab = CHUNK * CHUNKS;
        let (mut packed, mut lengths) = (vec![0u8; slab * row_bytes], vec![0.0f64; slab * kinds]);
        for first in (0..rows).step_by(slab) {
            let n = slab.min(rows - first);
            let parts = (Rows::new(&mut packed, CHUNK * row_bytes), Rows::new(&mut lengths, CHUNK * kinds));
            self.pool.rows(&mut locals, n.div_ceil(CHUNK), parts, |work, i, (packed, lengths)| {
                let first = first + i * CHUNK;
                self.chunk(work, first, CHUNK.min(rows - first), packed, lengths);
            });
            out.write_all(&packed[..n * row_bytes])?;
            for (row, lengths) in lengths.chunks_exact(kinds).take(n).enumerate() {
                for (to, &length) in bounds.iter_mut().zip(lengths) {
                    to.extend(round_up(length).ok_or_else(|| unbounded(first + row))?.to_le_bytes());
                }
            }
            if !progress(first + n, rows) {
                return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
            }
        }
        Ok(())
    }

    /// Rows `first..first + n` of the head: as rows of the table to `packed`, lengths to `lengths`.
    fn chunk(&self, work: &mut Work, first: usize, n: usize, packed: &mut [u8], lengths: &mut [f64]) {
        let (width, kinds) = (self.head.cols(), self.groups.len() + 2);
        let (head, basis) = (self.head.mat(), self.basis());
        let Work { scratch, rows, rotated, table } = work;
        for (i, row) in rows.chunks_exact_mut(width).take(n).enumerate() {
            head.dequantize_row(first + i, row);
        }
        let acts = Acts::F32 { x: &rows[..n * width], n, k: width };
        let mut out = Stripe::whole(&mut rotated[..n * width], n, width);
        self.kernels.matmul(basis, &acts, &mut out, scratch);
        let row_bytes = packed.len() / CHUNK;
        for (i, packed) in packed.chunks_exact_mut(row_bytes).take(n).enumerate() {
            let (row, rotated) = (&rows[i * width..(i + 1) * width], &rotated[i * width..(i + 1) * width]);
            let (once, again) = packed.split_at_mut(TYPE.row_bytes(width).unwrap_or(0));
            pack(rotated, once, &mut table[..width]);
            let (table, more) = table.split_at_mut(width);
            let (left, more) = more.split_at_mut(FIRST);
            left.iter_mut().zip(rotated).zip(&*table).for_each(|((l, x), t)| *l = x - t);
            pack(left, again, more);
            table.iter_mut().zip(more).for_each(|(t, m)| *t += *m);
            let table = &*table;
            let lengths = &mut lengths[i * kinds..(i + 1) * kinds];
            let mut from = 0;
            for (length, &columns) in lengths.iter_mut().zip(&self.groups) {
                let pairs = rotated[from..].iter().zip(&table[from..]).take(columns);
                *length = pairs.map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum::<f64>().sqrt();
                from += columns;
            }
            let length = |x: &[f32]| x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
            lengths[kinds - 2] = length(&table[..FIRST]);
            lengths[kinds - 1] = length(row).max(length(table));
        }
    }

    fn basis(&self) -> QMatRef<'_> {
        let width = self.head.cols();
        QMatRef::new(QuantType::F32, width, width, &self.basis).expect("made with this shape")
    }
}

/// One thread's buffers.
struct Work {
    scratch: Scratch,
    /// `[CHUNK, width]` each.
    rows: Vec<f32>,
    rotated: Vec<f32>,
    /// `[width + 2 * FIRST]`: a row of the table, what it leaves over of the first columns, and how that is stored.
    table: Vec<f32>,
}

impl Work {
    fn new(width: usize) -> Self {
        let zeros = |n: usize| vec![0.0; n];
        Self {
            scratch: Scratch::new(width),
            rows: zeros(CHUNK * width),
            rotated: zeros(CHUNK * width),
            table: zeros(width + 2 * FIRST),
        }
    }
}

/// Groups of columns with bounds of their own: narrow ones first, where activations are long.
fn groups(width: usize) -> Vec<usize> {
    let (mut groups, mut left) = (Vec::new(), width);
    for share in [GROUP_UNIT, 3 * GROUP_UNIT, width.saturating_sub(4 * GROUP_UNIT) / 2] {
        let columns = share.next_multiple_of(GROUP_UNIT).min(left);
        if columns > 0 {
            groups.push(columns);
            left -= columns;
        }
    }
    if left > 0 {
        groups.push(left);
    }
    groups
}

/// What rounding can do to the difference of a true and a screened logit, times the lengths of row and activations.
///
/// With `u = 2^-24`, `k` columns and the basis `v`, whose rows are orthogonal but for `d = |1 - v' v|`:
///
/// - a product of length `k`, blocks in order or in sixteen lanes, is off by at most `(k / 16 + 16) u` times the lengths,
///   for the true row, and again for the row of the table, which may be a half longer with what is there twice;
/// - the rotated activations, and the rotated row when the table was made, are off by `(k / 16 + 16) u sqrt(k)`, as the
///   basis' vectors have a length of 1 and there are `k`;
/// - the product of both in the basis is off by `d`.
fn slack(basis: &[f32], k: usize) -> f32 {
    let product = (k as f64 / 16.0 + 16.0) * UNIT;
    let rotation = product * (k as f64).sqrt();
    let mut defect = 0.0;
    // |1 - v' v| is |1 - v v'|: v is square.
    for i in 0..k {
        for j in 0..=i {
            let (a, b) = (&basis[i * k..(i + 1) * k], &basis[j * k..(j + 1) * k]);
            let dot: f64 = a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
            defect += if i == j { (dot - 1.0).powi(2) } else { 2.0 * dot * dot };
        }
    }
    // The products are of lengths that are themselves only nearly those of row and activations: a few percent more.
    (1.05 * (3.0 * product + 8.0 * UNIT + 2.0 * rotation + defect.sqrt())) as f32
}

/// Encodes `x` as well as [`TYPE`] can at little cost, to `bytes`, and decodes that to `decoded`.
fn pack(x: &[f32], bytes: &mut [u8], decoded: &mut [f32]) {
    for (x, bytes) in x.as_chunks::<32>().0.iter().zip(bytes.as_chunks_mut::<18>().0) {
        let block = nearest_q4_0(x);
        bytes[..2].copy_from_slice(&block.d);
        bytes[2..].copy_from_slice(&block.qs);
    }
    QMatRef::new(TYPE, 1, x.len(), bytes).expect("one row").dequantize_row(0, decoded);
}

/// The best of a few scales, each with the integers that it gives and then fitted to these by least squares.
fn nearest_q4_0(x: &[f32; 32]) -> BlockQ4_0 {
    let extreme = x.iter().copied().fold(0.0f32, |m, v| if v.abs() > m.abs() { v } else { m });
    let mut best = (f32::INFINITY, BlockQ4_0::quantize(x));
    for share in [0.8, 0.87, 0.94, 1.0, 1.07] {
        let inverse = -8.0 / (extreme * share);
        if !inverse.is_finite() {
            continue;
        }
        let ints = x.map(|v| (v * inverse).round_ties_even().clamp(-8.0, 7.0));
        let (product, square) = x.iter().zip(&ints).fold((0.0, 0.0), |(p, s), (x, q)| (p + x * q, s + q * q));
        let d = f16::from_f32_const(product / square);
        let scale = d.to_f32_const();
        let error: f32 = x.iter().zip(&ints).map(|(x, q)| (x - scale * q).powi(2)).sum();
        if error < best.0 {
            let q = |i: usize| (ints[i] + 8.0) as u8;
            let qs = std::array::from_fn(|i| q(i) | (q(i + 16) << 4));
            best = (error, BlockQ4_0 { d: d.to_le_bytes(), qs });
        }
    }
    best.1
}

/// The smallest f16 that is not below `length`; `None` if there is no finite one.
fn round_up(length: f64) -> Option<f16> {
    // A little more than the rounding of the sums that made it.
    let length = length * (1.0 + 1e-9);
    let nearest = f16::from_f64_const(length);
    let up = if nearest.to_f64_const() < length { f16::from_bits(nearest.to_bits() + 1) } else { nearest };
    (up.is_finite() && !length.is_nan()).then_some(up)
}

fn unbounded(row: usize) -> Error {
    let message = format!("row {row} of the head has weights that are not finite, or too large");
    Error::new(ErrorKind::Unsupported, message)
}

/// Tells heads apart: FNV-1a of some of the rows.
pub(super) fn sample(head: &Linear) -> u64 {
    let mat = head.mat();
    let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let rows = (0..SAMPLED).map(|i| i * mat.rows() / SAMPLED);
    let bytes = rows.flat_map(|row| &mat.bytes()[row * mat.row_bytes()..(row + 1) * mat.row_bytes()]);
    bytes.fold(0xcbf2_9ce4_8422_2325, hash)
}
