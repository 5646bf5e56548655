//! Still pictures in other formats.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageEncoder, Rgb, RgbImage, Rgba, RgbaImage, metadata::Orientation,
};
use media::{Converted, Format, MediaType, Unconverted, convert};

use crate::files::{SECRET, file, holds};

/// What every ICC profile begins with, as far as it matters: bytes 16 to 19 name the colour space.
fn profile(space: &[u8; 4]) -> Vec<u8> {
    [[1; 16].as_slice(), space, &[2; 112], SECRET.as_bytes()].concat()
}

fn png(picture: &DynamicImage, profile: Option<Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut out);
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile).expect("PNG has a place for it");
    }
    picture.write_with_encoder(encoder).expect("a PNG");
    out
}

fn colourful() -> DynamicImage {
    RgbImage::from_fn(20, 10, |x, y| {
        Rgb([u8::try_from(x * 12).expect("small"), 128, u8::try_from(y * 25).expect("small")])
    })
    .into()
}

fn converted(bytes: &[u8], format: Format) -> Converted {
    convert(bytes, format, 90).expect("a picture").expect("of another format")
}

fn pixels(bytes: &[u8]) -> DynamicImage {
    image::load_from_memory(bytes).expect("pixels")
}

fn profile_of(file: &Converted) -> Option<Vec<u8>> {
    let input = Cursor::new(&file.bytes);
    match file.media_type {
        MediaType::Png => image::codecs::png::PngDecoder::new(input).expect("PNG").icc_profile(),
        MediaType::Jpeg => image::codecs::jpeg::JpegDecoder::new(input).expect("JPEG").icc_profile(),
        _ => image::codecs::webp::WebPDecoder::new(input).expect("WebP").icc_profile(),
    }
    .expect("readable")
}

#[test]
fn a_picture_looks_the_same_in_another_format() {
    let original = colourful();
    let file = png(&original, None);
    let webp = converted(&file, Format::Webp);
    let jpeg = converted(&file, Format::Jpeg);
    for other in [&webp, &jpeg, &converted(&jpeg.bytes, Format::Webp), &converted(&webp.bytes, Format::Png)] {
        assert_eq!(MediaType::sniff(&other.bytes, ""), other.media_type);
        assert_eq!((other.width, other.height), (20, 10));
        let (is, was) = (pixels(&other.bytes).into_rgb8(), original.to_rgb8());
        let far = is.iter().zip(was.iter()).map(|(is, was)| u64::from(is.abs_diff(*was))).sum::<u64>();
        assert!(far / is.len() as u64 <= 12, "{:?}: {far}", other.media_type);
    }
}

#[test]
fn a_lower_quality_takes_fewer_bytes() {
    let file = file("progressive.jpg");
    let sizes = [5, 50, 100].map(|quality| {
        convert(&file, Format::Webp, quality).expect("a picture").expect("of another format").bytes.len()
    });
    assert!(sizes.is_sorted() && sizes[0] < sizes[2], "{sizes:?}");
}

#[test]
fn what_has_the_format_or_is_animated_or_no_still_picture_stays_as_it_is() {
    let table = [
        ("still.png", Format::Png),
        ("still.webp", Format::Webp),
        ("turned.jpg", Format::Jpeg),
        ("animated.png", Format::Webp),
        ("animated.webp", Format::Png),
        ("animated.gif", Format::Png),
        ("still.avif", Format::Png),
        ("film.mp4", Format::Png),
    ];
    for (name, format) in table {
        assert_eq!(convert(&file(name), format, 80), Ok(None), "{name}");
    }
}

#[test]
fn alpha_becomes_white_in_jpeg_and_stays_elsewhere() {
    let clear = png(&RgbaImage::from_pixel(16, 16, Rgba([255, 0, 0, 0])).into(), None);
    let half = png(&RgbaImage::from_pixel(16, 16, Rgba([0, 0, 0, 128])).into(), None);
    assert_eq!(pixels(&converted(&clear, Format::Jpeg).bytes).into_rgb8().get_pixel(8, 8).0, [255; 3]);
    let grey = pixels(&converted(&half, Format::Jpeg).bytes).into_rgb8().get_pixel(8, 8).0;
    assert!(grey.iter().all(|sample| sample.abs_diff(127) < 4), "{grey:?}");
    assert_eq!(pixels(&converted(&half, Format::Webp).bytes).into_rgba8().get_pixel(8, 8).0[3], 128);
}

#[test]
fn sixteen_bits_become_eight() {
    let deep = png(&DynamicImage::ImageRgb16(colourful().into_rgb16()), None);
    for format in [Format::Webp, Format::Jpeg] {
        let other = converted(&deep, format);
        assert_eq!(pixels(&other.bytes).color(), image::ColorType::Rgb8);
    }
}

#[test]
fn a_profile_that_fits_the_colours_is_kept() {
    let rgb = profile(b"RGB ");
    let opaque = png(&colourful(), Some(rgb.clone()));
    let clear = png(&DynamicImage::ImageRgba8(colourful().into_rgba8()), Some(rgb.clone()));
    for file in [opaque, clear] {
        let webp = converted(&file, Format::Webp);
        let jpeg = converted(&file, Format::Jpeg);
        let back = converted(&webp.bytes, Format::Png);
        for other in [&webp, &jpeg, &back] {
            assert_eq!(profile_of(other), Some(rgb.clone()), "{:?}", other.media_type);
            pixels(&other.bytes);
        }
    }
    let grey = png(&DynamicImage::ImageLuma8(colourful().into_luma8()), Some(profile(b"GRAY")));
    assert_eq!(profile_of(&converted(&grey, Format::Jpeg)), Some(profile(b"GRAY")));
    assert_eq!(profile_of(&converted(&grey, Format::Webp)), None, "WebP has no grey");
}

#[test]
fn a_turned_picture_is_turned_for_good_and_its_texts_go() {
    let other = converted(&file("turned.jpg"), Format::Webp);
    assert_eq!((other.width, other.height), (48, 64));
    let mut decoder = image::codecs::webp::WebPDecoder::new(Cursor::new(&other.bytes)).expect("WebP");
    assert_eq!(decoder.orientation().expect("readable"), Orientation::NoTransforms);
    assert!(!holds(&other.bytes, SECRET.as_bytes()));
}

#[test]
fn what_cannot_be_read_or_written_says_so() {
    let png = file("still.png");
    let cut = convert(&png[..png.len() / 2], Format::Webp, 80).expect_err("half a file");
    assert!(matches!(cut, Unconverted::Pixels(_)), "{cut}");
    // WebP has at most 16383 pixels a side.
    let wide = self::png(&DynamicImage::new_luma8(17_000, 1), None);
    let error = convert(&wide, Format::Webp, 80).expect_err("too wide");
    assert!(matches!(error, Unconverted::Unwritable { width: 17_000, .. }), "{error}");
    if cfg!(feature = "avif") {
        let avif = converted(&png, Format::Avif);
        assert_eq!(MediaType::sniff(&avif.bytes, ""), MediaType::Avif);
    } else {
        assert_eq!(convert(&png, Format::Avif, 80), Err(Unconverted::NoAvif));
    }
}
