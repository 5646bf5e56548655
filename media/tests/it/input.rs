//! Files of users.

use image::{DynamicImage, ImageEncoder, RgbaImage};
use media::{BadFile, BadInput, Limits, MediaType, check_input, clean_input, with_alpha_of};
use proptest::prelude::{any, prop_assert, proptest};

use crate::files::{SECRET, all, file, holds};

fn refusal(bytes: &[u8]) -> String {
    clean_input(bytes, &Limits::default()).expect_err("no picture").to_string()
}

/// A PNG that says it has so many pixels, in few bytes.
fn bomb(side: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = png::Encoder::new(&mut bytes, side, side).write_header().expect("a header");
    // As many zeros as fit; decoders find out late that some are missing.
    writer.write_chunk(png::chunk::IDAT, &[0x78, 0x9c, 3, 0, 0, 0, 0, 1]).expect("a chunk");
    writer.write_chunk(png::chunk::IEND, &[]).expect("a chunk");
    drop(writer);
    bytes
}

#[test]
fn a_picture_becomes_a_clean_png_of_its_pixels() {
    for name in ["still.png", "still.webp", "turned.jpg", "progressive.jpg", "animated.png", "animated.webp"]
    {
        let mut bytes = file(name);
        let clean = clean_input(&bytes, &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(MediaType::sniff(&clean.bytes, ""), MediaType::Png);
        let picture = image::load_from_memory(&clean.bytes).expect("a PNG");
        assert_eq!((picture.width(), picture.height()), (clean.width, clean.height), "{name}");
        let chunks = [&b"tEXt"[..], b"zTXt", b"iTXt", b"eXIf", b"iCCP", b"acTL", SECRET.as_bytes()];
        assert!(chunks.iter().all(|text| !holds(&clean.bytes, text)), "{name}");
        // A file of two kinds: what follows the picture does not come through.
        bytes.extend(b"PK\x03\x04 and the rest of an archive");
        let again = clean_input(&bytes, &Limits::default()).expect("a picture");
        assert_eq!(again, clean, "{name}");
    }
    let turned = clean_input(&file("turned.jpg"), &Limits::default()).expect("a picture");
    assert_eq!((turned.width, turned.height), (48, 64), "turned as EXIF says");
}

#[test]
fn alpha_is_kept_since_it_carries_masks_and_deep_samples_become_eight_bits() {
    let mask = RgbaImage::from_fn(4, 4, |x, _| image::Rgba([10, 20, 30, if x < 2 { 0 } else { 255 }]));
    let deep = DynamicImage::ImageRgba16(DynamicImage::ImageRgba8(mask.clone()).into_rgba16());
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    let (samples, color) = (deep.as_bytes(), deep.color().into());
    encoder.write_image(samples, 4, 4, color).expect("a PNG");
    let clean = clean_input(&bytes, &Limits::default()).expect("a picture");
    assert_eq!(image::load_from_memory(&clean.bytes).expect("a PNG"), DynamicImage::ImageRgba8(mask));
}

#[test]
fn what_is_no_picture_is_refused_in_words_that_a_user_understands() {
    let must = "and a picture must be a PNG, JPEG or WebP file";
    let gif: Vec<u8> = {
        // 10,000 pictures, each of a few bytes.
        let one = file("animated.gif");
        let (head, rest) = one.split_at(19);
        [head, &rest.repeat(10_000)].concat()
    };
    let table: [(&[u8], String); 10] = [
        (b"", "it is empty".into()),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'></svg>",
            format!("it is an SVG drawing, {must}"),
        ),
        (b"<!DOCTYPE html><html><body>404</body></html>", format!("it is an HTML page, {must}")),
        (b"hello", format!("it is a text, {must}")),
        (b"{\"error\": \"not found\"}", format!("it is JSON, {must}")),
        (b"PK\x03\x04\x14\0\0\0\x08\0", format!("it is a ZIP archive, {must}")),
        (&gif[..1 << 20], format!("it is a GIF, {must}")),
        (&file("film.mp4"), format!("it is a video, {must}")),
        (&file("still.avif"), format!("it is an AVIF picture, {must}")),
        (&[7; 100], format!("it is of an unknown kind, {must}")),
    ];
    for (bytes, words) in table {
        assert_eq!(refusal(bytes), words);
    }
}

#[test]
fn what_is_too_large_or_damaged_is_refused_before_it_is_decoded() {
    let words =
        "it has 50000 × 50000 pixels, and at most 4096 a side and 16777216 in all are taken: make it smaller";
    assert_eq!(refusal(&bomb(50_000)), words);
    let png = file("still.png");
    assert_eq!(refusal(&png[..40]), "it ends in the middle, after 40 bytes");
    let missing = refusal(&bomb(4000));
    assert!(missing.starts_with("its pixels can't be read: "), "{missing}");
    let few = Limits { bytes: 1 << 20, memory: 1 << 20, ..Limits::default() };
    let large = clean_input(&vec![0; (1 << 20) + 1], &few).expect_err("too many bytes").to_string();
    assert_eq!(large, "it has 2 MiB, and at most 1 MiB are taken");
    let memory = clean_input(&bomb(4000), &few).expect_err("too much memory");
    assert!(matches!(memory, BadInput::Bad(BadFile::Pixels(_))), "{memory}");
}

#[test]
fn files_of_other_kinds_are_taken_if_a_node_loads_them() {
    for file in all() {
        let checked = check_input(&file.bytes, file.name, &Limits::default());
        match file.name {
            "drawing.svg" => assert!(checked.is_err()),
            name => assert!(checked.is_ok(), "{name}: {checked:?}"),
        }
    }
    let refused: [(&[u8], &str); 5] = [
        (b"", "a.wav"),
        (b"<html></html>", "a.txt"),
        (b"PK\x03\x04\x14\0\0\0\x08\0", "a.latent"),
        (b"\x80\x04\x95pickle", "a.pt"),
        (&file("film.mp4")[..500], "a.mp4"),
    ];
    for (bytes, name) in refused {
        let checked = check_input(bytes, name, &Limits::default());
        assert!(checked.is_err(), "{name}: {checked:?}");
    }
    let small = Limits { side: 32, ..Limits::default() };
    let error = check_input(&file("film.mp4"), "a.mp4", &small).expect_err("too many pixels");
    assert!(matches!(error, BadInput::TooManyPixels { width: 64, .. }), "{error}");
}

proptest! {
    #[test]
    fn no_picture_is_a_reason_to_panic(
        which in 0..4usize,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..10),
    ) {
        let mut bytes = file(["still.png", "still.webp", "turned.jpg", "animated.webp"][which]);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(clean) = clean_input(&bytes, &Limits::default()) {
            prop_assert!(clean.bytes.starts_with(b"\x89PNG"));
        }
        drop(media::convert(&bytes, media::Format::Webp, 50));
        drop(media::is_black(&bytes, MediaType::sniff(&bytes, "")));
    }
}

#[test]
fn a_mask_gives_its_picture_its_transparency() {
    let png = |picture: DynamicImage| {
        let mut bytes = Vec::new();
        picture.write_to(&mut std::io::Cursor::new(&mut bytes), image::ImageFormat::Png).expect("a PNG");
        bytes
    };
    let mask = RgbaImage::from_fn(2, 1, |x, _| image::Rgba([9, 9, 9, if x == 0 { 0 } else { 255 }]));
    let picture = image::RgbImage::from_pixel(2, 1, image::Rgb([10, 20, 30]));
    let put = |picture: &[u8], mask: &[u8]| with_alpha_of(picture, mask, &Limits::default());
    let (mask, picture) = (png(mask.into()), png(picture.into()));
    let masked = put(&picture, &mask).expect("a picture");
    let pixels = image::load_from_memory(&masked.bytes).expect("a PNG").into_rgba8().into_raw();
    assert_eq!(pixels, [10, 20, 30, 0, 10, 20, 30, 255]);
    assert_eq!(put(&picture, &picture), Err(BadInput::NoAlpha));
    let other = png(RgbaImage::new(3, 1).into());
    assert_eq!(put(&picture, &other), Err(BadInput::OtherSize { width: 3, height: 1, wanted: (2, 1) }));
}
