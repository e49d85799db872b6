//! Files of images: PNG and JPEG, with the feature `image`.
//!
//! Both readers are safe Rust; what they allocate is bounded by `MAX_BYTES`, whatever a file says.

use super::RgbImage;
use crate::error::{Error, ErrorKind, Result};

/// Calls `see` with the image in a file.
#[cfg(not(feature = "image"))]
pub(super) fn decoded<R>(_: &[u8], _: impl FnOnce(&RgbImage<'_>) -> R) -> Result<R> {
    let message = "this library was built without readers of image files: give it the pixels";
    Err(Error::new(ErrorKind::Unsupported, message))
}

/// Calls `see` with the image in a file, upright.
#[cfg(feature = "image")]
pub(super) fn decoded<R>(bytes: &[u8], see: impl FnOnce(&RgbImage<'_>) -> R) -> Result<R> {
    use std::panic::catch_unwind;
    let reader = match bytes {
        [0x89, b'P', b'N', b'G', ..] => readers::png,
        [0xFF, 0xD8, ..] => readers::jpeg,
        _ => return Err(Error::new(ErrorKind::Format, "this is no PNG or JPEG file")),
    };
    // A reader that panics at a file has met a broken one.
    let read =
        catch_unwind(|| reader(bytes)).unwrap_or_else(|_| Err("the reader panicked".to_owned().into()));
    let (size, pixels, orientation) = read.map_err(|e| e.0)?;
    let ((width, height), pixels) = readers::upright(size, pixels, orientation);
    Ok(see(&RgbImage::new(width, height, &pixels)?))
}

#[cfg(feature = "image")]
mod readers {
    use super::{Error, ErrorKind};
    use crate::vision::MAX_SIDE;
    use std::io::Cursor;
    use zune_jpeg::JpegDecoder;
    use zune_jpeg::zune_core::bytestream::ZCursor;
    use zune_jpeg::zune_core::colorspace::ColorSpace;
    use zune_jpeg::zune_core::options::DecoderOptions;

    /// Most bytes of pixels: 178 million of them.
    const MAX_BYTES: usize = 1 << 29;

    /// Width and height, pixels, and how the camera was held (1 to 8, as Exif counts).
    type Read = ((usize, usize), Vec<u8>, u8);
    type Result<T, E = Broken> = std::result::Result<T, E>;

    /// What is wrong with a file.
    pub(super) struct Broken(pub(super) Error);

    impl From<String> for Broken {
        fn from(message: String) -> Self {
            Self(Error::new(ErrorKind::Format, format!("the image cannot be read: {message}")))
        }
    }

    /// Fails for an image that is too large.
    fn check((width, height): (usize, usize)) -> Result<()> {
        let bytes = width.checked_mul(height).and_then(|n| n.checked_mul(4)); // of the widest kind
        if width.max(height) > MAX_SIDE || bytes.is_none_or(|n| n > MAX_BYTES / 3 * 4) {
            let message = format!("an image of {width} x {height} pixels is larger than is accepted");
            return Err(Broken(Error::new(ErrorKind::Limit, message)));
        }
        Ok(())
    }

    pub(super) fn png(bytes: &[u8]) -> Result<Read> {
        let broken = |e: png::DecodingError| Broken::from(e.to_string());
        let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: MAX_BYTES });
        decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        let mut reader = decoder.read_info().map_err(broken)?;
        let size = (reader.info().width as usize, reader.info().height as usize);
        check(size)?;
        let mut pixels = vec![0; reader.output_buffer_size().ok_or_else(|| "it is too large".to_owned())?];
        reader.next_frame(&mut pixels).map_err(broken)?;
        let orientation = reader.info().exif_metadata.as_deref().map_or(1, orientation);
        let rgb = match reader.output_color_type().0 {
            png::ColorType::Rgb => pixels,
            png::ColorType::Rgba => pixels.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect(),
            png::ColorType::Grayscale => pixels.iter().flat_map(|&p| [p; 3]).collect(),
            png::ColorType::GrayscaleAlpha => pixels.chunks_exact(2).flat_map(|p| [p[0]; 3]).collect(),
            png::ColorType::Indexed => return Err("it has no palette".to_owned().into()),
        };
        Ok((size, rgb, orientation))
    }

    pub(super) fn jpeg(bytes: &[u8]) -> Result<Read> {
        if ends_early(bytes) {
            return Err("it ends early".to_owned().into());
        }
        let broken = |e: zune_jpeg::errors::DecodeErrors| Broken::from(e.to_string());
        let options = DecoderOptions::default()
            .set_use_unsafe(false)
            .set_max_width(MAX_SIDE)
            .set_max_height(MAX_SIDE)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        decoder.decode_headers().map_err(broken)?;
        let size = decoder.dimensions().ok_or_else(|| "it has no size".to_owned())?;
        check(size)?;
        let orientation = decoder.exif().map_or(1, |exif| orientation(exif));
        Ok((size, decoder.decode().map_err(broken)?, orientation))
    }

    /// Whether the pixels of a JPEG file have no end. The reader would make up what is missing.
    fn ends_early(bytes: &[u8]) -> bool {
        let mut at = 2;
        // Segments, each with its length, up to the one that the pixels follow.
        while let Some(&[0xFF, marker, high, low]) = bytes.get(at..at + 4) {
            match marker {
                0xFF => at += 1, // padding
                _ => at += 2 + usize::from(high) * 256 + usize::from(low),
            }
            if marker == 0xDA {
                break;
            }
        }
        !bytes.get(at..).is_some_and(|rest| rest.windows(2).any(|w| w == [0xFF, 0xD9]))
    }

    /// How the camera was held, from Exif data; 1 (as it is) if they do not say.
    pub(super) fn orientation(exif: &[u8]) -> u8 {
        orientation_in(exif).filter(|n| (1..=8).contains(n)).map_or(1, |n| n as u8)
    }

    fn orientation_in(exif: &[u8]) -> Option<u16> {
        let little = exif.starts_with(b"II");
        let number = |at: usize, n: usize| {
            let bytes = exif.get(at..at.checked_add(n)?)?;
            let fold = |sum: usize, &b: &u8| sum << 8 | usize::from(b);
            Some(if little { bytes.iter().rev().fold(0, fold) } else { bytes.iter().fold(0, fold) })
        };
        let table = number(4, 4).filter(|&at| at < exif.len())?;
        let fields = (0..number(table, 2)?).map(|i| table + 2 + 12 * i);
        let mut found = fields.filter(|&at| number(at, 2) == Some(0x0112)).map(|at| number(at + 8, 2));
        u16::try_from(found.next()??).ok()
    }

    /// The image as it was seen.
    pub(super) fn upright(
        (width, height): (usize, usize),
        pixels: Vec<u8>,
        orientation: u8,
    ) -> ((usize, usize), Vec<u8>) {
        if !(2..=8).contains(&orientation) {
            return ((width, height), pixels);
        }
        let (right, bottom) = (width - 1, height - 1);
        let from = |x: usize, y: usize| match orientation {
            2 => (right - x, y),
            3 => (right - x, bottom - y),
            4 => (x, bottom - y),
            5 => (y, x),
            6 => (y, bottom - x),
            7 => (right - y, bottom - x),
            _ => (right - y, x),
        };
        let size = if orientation < 5 { (width, height) } else { (height, width) };
        let mut out = Vec::with_capacity(pixels.len());
        for y in 0..size.1 {
            for (sx, sy) in (0..size.0).map(|x| from(x, y)) {
                out.extend_from_slice(&pixels[(sy * width + sx) * 3..][..3]);
            }
        }
        (size, out)
    }
}

#[cfg(all(test, feature = "image"))]
mod tests {
    use super::*;

    #[test]
    fn upright_as_the_camera_says() {
        // 1 2 3
        // 4 5 6
        let pixels: Vec<u8> = (1..=6).flat_map(|v| [v; 3]).collect();
        let seen = |orientation| {
            let (size, out) = readers::upright((3, 2), pixels.clone(), orientation);
            (size, out.chunks(3).map(|p| p[0]).collect::<Vec<_>>())
        };
        assert_eq!(seen(1), ((3, 2), vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(seen(2), ((3, 2), vec![3, 2, 1, 6, 5, 4]));
        assert_eq!(seen(3), ((3, 2), vec![6, 5, 4, 3, 2, 1]));
        assert_eq!(seen(4), ((3, 2), vec![4, 5, 6, 1, 2, 3]));
        assert_eq!(seen(5), ((2, 3), vec![1, 4, 2, 5, 3, 6]));
        assert_eq!(seen(6), ((2, 3), vec![4, 1, 5, 2, 6, 3]));
        assert_eq!(seen(7), ((2, 3), vec![6, 3, 5, 2, 4, 1]));
        assert_eq!(seen(8), ((2, 3), vec![3, 6, 2, 5, 1, 4]));
    }

    #[test]
    fn exif_in_both_byte_orders_and_broken() {
        let little =
            b"II*\0\x08\0\0\0\x02\0\0\x01\x03\0\x01\0\0\0\x05\0\0\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
        let big = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0";
        assert_eq!((readers::orientation(little), readers::orientation(big)), (6, 8));
        for n in 0..little.len() - 4 {
            assert_eq!(readers::orientation(&little[..n]), 1, "{n}");
        }
        assert_eq!(readers::orientation(b"II*\0\xFF\xFF\xFF\xFF"), 1);
    }

    #[test]
    fn what_is_no_image_is_refused() {
        for bytes in [&b""[..], b"GGUF", b"\x89PNG\r\n\x1a\n", b"\xFF\xD8", b"\xFF\xD8\xFF\xDA\0\x02\xFF\xD9"]
        {
            let e = decoded(bytes, |_| ()).expect_err("refused");
            assert_eq!(e.kind(), ErrorKind::Format, "{bytes:?}: {e}");
        }
    }
}
