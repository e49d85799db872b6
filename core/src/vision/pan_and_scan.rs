//! "Pan and scan": what is small in a long picture is lost when the whole becomes a square, so it is shown in parts, too.
//!
//! The numbers and their names are those of Gemma 3's image processor in Hugging Face transformers.

use crate::error::{Error, ErrorKind, Result};

/// Most crops of a picture that can be asked for. Each is a pass of its own and takes as many positions as a picture.
pub const MAX_CROPS: usize = 16;

/// Into which parts a long picture is cut, which are shown behind the whole. The default is what Gemma 3 was published with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PanAndScan {
    /// Shortest side of a crop, in pixels; 1 or more. A picture whose crops would be smaller gets none.
    pub min_crop_size: usize,
    /// Most crops; 1 to [`MAX_CROPS`].
    pub max_crops: usize,
    /// Longer side over shorter side from which a picture gets crops; not below 0. 1 is that of a square.
    pub min_ratio: f64,
}

impl Default for PanAndScan {
    fn default() -> Self {
        Self { min_crop_size: 256, max_crops: 4, min_ratio: 1.2 }
    }
}

/// A part of an image, in pixels from its upper left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    /// Columns before it.
    pub left: usize,
    /// Rows above it.
    pub top: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl PanAndScan {
    /// # Errors
    /// `kind` for numbers out of their range.
    pub(super) fn check(&self, kind: ErrorKind) -> Result<()> {
        let refuse = |message: String| Err(Error::new(kind, format!("pan and scan: {message}")));
        if self.min_crop_size == 0 {
            return refuse("crops of 0 pixels are none".to_owned());
        }
        if !(1..=MAX_CROPS).contains(&self.max_crops) {
            return refuse(format!("at most {} crops; 1 to {MAX_CROPS} can be asked for", self.max_crops));
        }
        if !(0.0..=f64::MAX).contains(&self.min_ratio) {
            return refuse(format!("{} is no ratio of sides", self.min_ratio));
        }
        Ok(())
    }

    /// The crops of an image of `width` x `height` pixels, in the order in which they are shown: as many as it is times
    /// longer than wide, but at least two, side by side along its longer side. The last may be smaller. None if the image is
    /// too square or too small, or a side is 0.
    pub fn crops(&self, width: usize, height: usize) -> Vec<Crop> {
        let wide = width >= height;
        let (long, short) = if wide { (width, height) } else { (height, width) };
        let ratio = long as f64 / short as f64;
        if short == 0 || ratio < self.min_ratio {
            return Vec::new();
        }
        let fit = long / self.min_crop_size.max(1);
        let n = ((ratio + 0.5) as usize).min(fit).max(2).min(self.max_crops);
        let step = long.div_ceil(n.max(1));
        if n == 0 || step.min(short) < self.min_crop_size {
            return Vec::new();
        }
        // Of tiny images with tiny crops the last ones would begin behind the end: those are left out.
        let starts = (0..n).map(|i| i * step).take_while(|&start| start < long);
        let crop = |start| {
            let size = step.min(long - start);
            match wide {
                true => Crop { left: start, top: 0, width: size, height },
                false => Crop { left: 0, top: start, width, height: size },
            }
        };
        starts.map(crop).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Left, top, width, height.
    type Part = (usize, usize, usize, usize);
    type Numbers = (usize, usize, f64);

    /// Width and height of an image, and its crops: what `Gemma3ImageProcessor.pan_and_scan_batched` of transformers 5.24.0
    /// cuts with its usual numbers (256, 4, 1.2).
    const USUAL: &[(usize, usize, &[Part])] = &[
        (896, 896, &[]),
        (599, 500, &[]),
        (600, 500, &[(0, 0, 300, 500), (300, 0, 300, 500)]),
        (601, 500, &[(0, 0, 301, 500), (301, 0, 300, 500)]),
        (512, 427, &[]),
        (512, 426, &[(0, 0, 256, 426), (256, 0, 256, 426)]),
        (511, 256, &[(0, 0, 256, 256), (256, 0, 255, 256)]),
        (640, 255, &[]),
        (1279, 512, &[(0, 0, 640, 512), (640, 0, 639, 512)]),
        (1280, 512, &[(0, 0, 427, 512), (427, 0, 427, 512), (854, 0, 426, 512)]),
        (1000, 300, &[(0, 0, 334, 300), (334, 0, 334, 300), (668, 0, 332, 300)]),
        (4000, 300, &[(0, 0, 1000, 300), (1000, 0, 1000, 300), (2000, 0, 1000, 300), (3000, 0, 1000, 300)]),
        (4032, 3024, &[(0, 0, 2016, 3024), (2016, 0, 2016, 3024)]),
        (767, 256, &[(0, 0, 384, 256), (384, 0, 383, 256)]),
        (769, 300, &[(0, 0, 257, 300), (257, 0, 257, 300), (514, 0, 255, 300)]),
        (
            32768,
            256,
            &[(0, 0, 8192, 256), (8192, 0, 8192, 256), (16384, 0, 8192, 256), (24576, 0, 8192, 256)],
        ),
        (1, 1, &[]),
        (500, 599, &[]),
        (500, 600, &[(0, 0, 500, 300), (0, 300, 500, 300)]),
        (1080, 1920, &[(0, 0, 1080, 960), (0, 960, 1080, 960)]),
        (300, 1000, &[(0, 0, 300, 334), (0, 334, 300, 334), (0, 668, 300, 332)]),
        (257, 10000, &[(0, 0, 257, 2500), (0, 2500, 257, 2500), (0, 5000, 257, 2500), (0, 7500, 257, 2500)]),
        (256, 513, &[(0, 0, 256, 257), (0, 257, 256, 256)]),
        (255, 4000, &[]),
        (1023, 2560, &[(0, 0, 1023, 854), (0, 854, 1023, 854), (0, 1708, 1023, 852)]),
    ];

    /// The same with these numbers: shortest side, most crops, ratio.
    const OTHERS: &[(usize, usize, Numbers, &[Part])] = &[
        (100, 40, (8, 6, 1.0), &[(0, 0, 34, 40), (34, 0, 34, 40), (68, 0, 32, 40)]),
        (100, 100, (8, 6, 1.0), &[(0, 0, 50, 100), (50, 0, 50, 100)]),
        (70, 100, (20, 3, 1.5), &[]),
        (70, 106, (20, 3, 1.5), &[(0, 0, 70, 53), (0, 53, 70, 53)]),
        (1000, 500, (10, 1, 2.0), &[(0, 0, 1000, 500)]),
        (1000, 500, (10, 1, 2.1), &[]),
        (64, 48, (8, 4, 1.2), &[(0, 0, 32, 48), (32, 0, 32, 48)]),
    ];

    fn crops(numbers: PanAndScan, width: usize, height: usize) -> Vec<Part> {
        let parts = numbers.crops(width, height);
        parts.iter().map(|c| (c.left, c.top, c.width, c.height)).collect()
    }

    #[test]
    fn cut_like_transformers() {
        for &(width, height, want) in USUAL {
            assert_eq!(crops(PanAndScan::default(), width, height), want, "{width} x {height}");
        }
        for &(width, height, numbers, want) in OTHERS {
            let (min_crop_size, max_crops, min_ratio) = numbers;
            let made = PanAndScan { min_crop_size, max_crops, min_ratio };
            made.check(ErrorKind::Argument).expect("possible numbers");
            assert_eq!(crops(made, width, height), want, "{width} x {height}, {numbers:?}");
        }
    }

    #[test]
    fn crops_cover_the_image_whatever_the_numbers() {
        for min_crop_size in [1, 2, 7] {
            for (max_crops, width) in (1..=MAX_CROPS).flat_map(|n| (1..60).map(move |width| (n, width))) {
                let numbers = PanAndScan { min_crop_size, max_crops, min_ratio: 0.0 };
                numbers.check(ErrorKind::Argument).expect("possible numbers");
                let mut end = 0;
                for (left, top, w, h) in crops(numbers, width, 1) {
                    assert!((left, top, h) == (end, 0, 1) && w > 0, "{numbers:?}, {width}");
                    end = left + w;
                }
                assert!(end == 0 || end == width, "{numbers:?}, {width}");
            }
        }
        assert_eq!(crops(PanAndScan::default(), 0, 0), []);
        assert_eq!(crops(PanAndScan::default(), 9, 0), []);
    }

    #[test]
    fn impossible_numbers_are_refused() {
        let usual = PanAndScan::default();
        for wrong in [
            PanAndScan { min_crop_size: 0, ..usual },
            PanAndScan { max_crops: 0, ..usual },
            PanAndScan { max_crops: MAX_CROPS + 1, ..usual },
            PanAndScan { min_ratio: f64::NAN, ..usual },
            PanAndScan { min_ratio: f64::INFINITY, ..usual },
            PanAndScan { min_ratio: -1.0, ..usual },
        ] {
            assert_eq!(
                wrong.check(ErrorKind::Argument).expect_err("refused").kind(),
                ErrorKind::Argument,
                "{wrong:?}"
            );
        }
    }
}
