//! An image's bytes, resized and normalised.

use super::Crop;
use crate::error::{Error, ErrorKind, Result};

/// Longest side of an image, in pixels.
pub const MAX_SIDE: usize = 1 << 15;

/// An image in memory: rows from the top, three bytes for each pixel, sRGB as files have it.
#[derive(Clone, Copy, Debug)]
pub struct RgbImage<'a> {
    width: usize,
    height: usize,
    pixels: &'a [u8],
}

impl<'a> RgbImage<'a> {
    /// `pixels` is `[height, width, 3]`.
    ///
    /// # Errors
    /// `Argument` if a side is 0 or above [`MAX_SIDE`], or if the bytes are not as many.
    pub fn new(width: usize, height: usize, pixels: &'a [u8]) -> Result<Self> {
        let refuse = |message: String| Err(Error::new(ErrorKind::Argument, message));
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            return refuse(format!(
                "an image of {width} x {height} pixels: sides of 1 to {MAX_SIDE} are possible"
            ));
        }
        if pixels.len() != width * height * 3 {
            return refuse(format!(
                "{} bytes are no image of {width} x {height} pixels, which has {}",
                pixels.len(),
                width * height * 3
            ));
        }
        Ok(Self { width, height, pixels })
    }

    /// Columns and rows.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// The whole of it as a square.
    pub(super) fn resized(&self, size: usize) -> Vec<u8> {
        self.part_resized(Crop { left: 0, top: 0, width: self.width, height: self.height }, size)
    }

    /// `[size, size, 3]` of a part that lies in the image: across first, then down, each value rounded to a byte in between,
    /// as the Python imaging library does for images that models are trained with.
    pub(super) fn part_resized(&self, part: Crop, size: usize) -> Vec<u8> {
        let Crop { left, top, width, height } = part;
        let rows = self.pixels.chunks_exact(self.width * 3).skip(top).take(height);
        let rows = rows.map(|row| &row[left * 3..(left + width) * 3]);
        if (width, height) == (size, size) {
            return rows.flatten().copied().collect();
        }
        let (across, down) = (Taps::new(width, size), Taps::new(height, size));
        let mut narrow = vec![0; height * size * 3];
        for (from, to) in rows.zip(narrow.chunks_exact_mut(size * 3)) {
            for (x, to) in to.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                let (first, weights) = across.of(x);
                let mut sum = [0.0; 3];
                for (pixel, weight) in from[first * 3..].as_chunks::<3>().0.iter().zip(weights) {
                    for (sum, &value) in sum.iter_mut().zip(pixel) {
                        *sum += f64::from(value) * weight;
                    }
                }
                *to = sum.map(to_byte);
            }
        }
        let mut out = vec![0; size * size * 3];
        let mut sums = vec![0.0; size * 3];
        for (y, to) in out.chunks_exact_mut(size * 3).enumerate() {
            let (first, weights) = down.of(y);
            sums.fill(0.0);
            for (row, weight) in narrow[first * size * 3..].chunks_exact(size * 3).zip(weights) {
                sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value) * weight);
            }
            to.iter_mut().zip(&sums).for_each(|(to, &sum)| *to = to_byte(sum));
        }
        out
    }
}

/// `[3, size, size]` of an image `[size, size, 3]`: of each channel `(value / 255 - mean) / std`.
pub(super) fn normalised(square: &[u8], mean: [f32; 3], std: [f32; 3]) -> Vec<f32> {
    let mut out = Vec::with_capacity(square.len());
    for channel in 0..3 {
        let value = |&byte: &u8| (f32::from(byte) / 255.0 - mean[channel]) / std[channel];
        out.extend(square.iter().skip(channel).step_by(3).map(value));
    }
    out
}

fn to_byte(x: f64) -> u8 {
    (x + 0.5).clamp(0.0, 255.0) as u8
}

/// What each pixel of a resized row is the mean of: a triangle as wide as the step from pixel to pixel (bilinear), at
/// least two pixels.
struct Taps {
    /// First pixel, and where its weights are.
    starts: Vec<(usize, std::ops::Range<usize>)>,
    weights: Vec<f64>,
}

impl Taps {
    fn new(from: usize, to: usize) -> Self {
        let scale = from as f64 / to as f64;
        let reach = scale.max(1.0);
        let (mut starts, mut weights) = (Vec::with_capacity(to), Vec::new());
        for i in 0..to {
            let centre = (i as f64 + 0.5) * scale;
            let first = (centre - reach + 0.5).max(0.0) as usize;
            let end = ((centre + reach + 0.5) as usize).min(from);
            let begin = weights.len();
            weights.extend((first..end).map(|x| {
                let distance = (x as f64 + 0.5 - centre) / reach;
                (1.0 - distance.abs()).max(0.0)
            }));
            let sum: f64 = weights[begin..].iter().sum();
            weights[begin..].iter_mut().for_each(|w| *w /= sum);
            starts.push((first, begin..weights.len()));
        }
        Self { starts, weights }
    }

    /// The first pixel that pixel `i` is made of, and the weights from there on; they add up to 1.
    fn of(&self, i: usize) -> (usize, &[f64]) {
        let (first, range) = &self.starts[i];
        (*first, &self.weights[range.clone()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(values: &[u8]) -> Vec<u8> {
        values.iter().flat_map(|&v| [v; 3]).collect()
    }

    #[test]
    fn resizing_is_bilinear_with_the_right_reach() {
        // Twice as large: the weights of neighbours are 3/4 and 1/4, at the ends the end counts alone.
        let (small, want) = (grey(&[0, 100, 0, 100]), [0, 25, 75, 100]);
        let got = RgbImage::new(2, 2, &small).expect("four pixels").resized(4);
        assert_eq!(got, grey(&want.repeat(4)));
        // Half as large: a triangle four pixels wide, cut off at the ends: (3 a + 3 b + c) / 7.
        let large = grey(&[0, 70, 140, 210].repeat(4));
        let got = RgbImage::new(4, 4, &large).expect("sixteen pixels").resized(2);
        assert_eq!(got, grey(&[50, 160].repeat(2)));
        // One colour stays, whatever the sizes.
        for (width, height) in [(1, 1), (7, 3), (100, 31), (1, 64)] {
            let plain = [9, 200, 255].repeat(width * height);
            let got = RgbImage::new(width, height, &plain).expect("fits").resized(5);
            assert_eq!(got, [9, 200, 255].repeat(25), "{width} x {height}");
        }
    }

    #[test]
    fn a_part_is_resized_as_if_it_were_alone() {
        let all: Vec<u8> = (0..9 * 6 * 3).map(|i| (i * 37 % 256) as u8).collect();
        let image = RgbImage::new(9, 6, &all).expect("fits");
        for (left, top, width, height) in
            [(0, 0, 9, 6), (0, 0, 4, 6), (4, 0, 5, 6), (2, 3, 3, 3), (8, 5, 1, 1)]
        {
            let rows = (top..top + height).map(|y| &all[(y * 9 + left) * 3..][..width * 3]);
            let cut: Vec<u8> = rows.flatten().copied().collect();
            let alone = RgbImage::new(width, height, &cut).expect("fits");
            let part = Crop { left, top, width, height };
            for size in [1, 3, 7] {
                assert_eq!(image.part_resized(part, size), alone.resized(size), "{part:?} to {size}");
            }
        }
    }

    #[test]
    fn channels_are_normalised_apart() {
        let pixels = [0, 51, 255, 255, 0, 102, 0, 0, 0, 255, 255, 255];
        let image = RgbImage::new(2, 2, &pixels).expect("four pixels");
        let got = normalised(&image.resized(2), [0.5, 0.0, 0.5], [0.5, 1.0, 0.25]);
        let want = [-1.0, 1.0, -1.0, 1.0, 0.2, 0.0, 0.0, 1.0, 2.0, -0.4, -2.0, 2.0];
        assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6) && got.len() == 12, "{got:?}");
    }

    #[test]
    fn impossible_images_are_refused() {
        for (width, height, len) in [(0, 1, 0), (1, 0, 0), (2, 2, 11), (2, 2, 13), (MAX_SIDE + 1, 1, 3)] {
            let pixels = vec![0; len];
            let e = RgbImage::new(width, height, &pixels).expect_err("refused");
            assert_eq!(e.kind(), ErrorKind::Argument);
        }
    }
}
