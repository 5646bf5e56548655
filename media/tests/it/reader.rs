//! What a reader says of files, and what it makes of them.

use std::sync::LazyLock;

use media::{BadFile, Facts, MediaType, Metadata, Reader};
use png::{BitDepth, ColorType};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use crate::{
    files::{File, SECRET, all, file, holds},
    handmade::{png, png_of},
};

fn read(bytes: &[u8], name: &str, metadata: Metadata, piece: usize) -> Result<(Facts, Vec<u8>), BadFile> {
    let mut reader = Reader::new(metadata, name);
    let mut out = Vec::new();
    for piece in bytes.chunks(piece) {
        reader.push(piece, &mut out)?;
    }
    let facts = reader.finish(&mut out)?;
    Ok((facts, out))
}

fn strip(file: &File) -> (Facts, Vec<u8>) {
    read(&file.bytes, file.name, Metadata::Strip, 1000)
        .unwrap_or_else(|error| panic!("{}: {error}", file.name))
}

#[test]
fn each_kind_is_told_with_its_size_its_length_and_its_frames() {
    let film = (Some((64, 48)), Some(500));
    let table = [
        ("animated.gif", "image/gif", Some((16, 16)), Some(300), Some(3)),
        ("animated.png", "image/png", Some((64, 48)), Some(300), Some(3)),
        ("animated.webp", "image/webp", Some((64, 48)), Some(300), Some(3)),
        ("fast.mp4", "video/mp4", film.0, film.1, Some(5)),
        ("film.mp4", "video/mp4", film.0, film.1, Some(5)),
        ("film.mov", "video/quicktime", film.0, film.1, Some(5)),
        ("film.mkv", "video/matroska", film.0, film.1, None),
        ("film.webm", "video/webm", film.0, film.1, None),
        ("live.webm", "video/webm", film.0, None, None),
        ("progressive.jpg", "image/jpeg", Some((64, 48)), None, None),
        ("turned.jpg", "image/jpeg", Some((64, 48)), None, None),
        ("sound.m4a", "audio/mp4", None, Some(200), None),
        ("sound.flac", "audio/flac", None, Some(200), None),
        ("sound.mp3", "audio/mpeg", None, Some(200), None),
        ("sound.ogg", "audio/ogg", None, Some(200), None),
        ("sound.opus", "audio/ogg", None, Some(200), None),
        ("sound.wav", "audio/wav", None, Some(100), None),
        ("still.avif", "image/avif", Some((64, 48)), None, None),
        ("still.exr", "image/x-exr", Some((16, 12)), None, None),
        ("still.webp", "image/webp", Some((64, 48)), None, None),
        ("still.png", "image/png", Some((2, 2)), None, None),
        ("scene.glb", "model/gltf-binary", None, None, None),
        ("scene.gltf", "model/gltf+json", None, None, None),
        ("a.latent", "application/octet-stream", None, None, None),
        ("drawing.svg", "image/svg+xml", None, None, None),
    ];
    for (name, kind, size, duration_ms, frames) in table {
        let (facts, _) = strip(&File { name, bytes: file(name) });
        assert_eq!((facts.media_type.as_str(), facts.size, facts.frames), (kind, size, frames), "{name}");
        assert_eq!(facts.extension, name.rsplit('.').next().expect("an extension"), "{name}");
        let is_near = match (facts.duration_ms, duration_ms) {
            (Some(is), Some(wanted)) => is.abs_diff(wanted) <= 100,
            (is, wanted) => is == wanted,
        };
        assert!(is_near, "{name}: {:?} ms", facts.duration_ms);
    }
}

#[test]
fn nothing_is_left_of_what_the_engine_writes_into_files() {
    for file in all() {
        let (facts, out) = strip(&file);
        assert!(facts.is_stripped, "{}", file.name);
        assert!(!holds(&out, SECRET.as_bytes()), "{}", file.name);
        assert_eq!(
            (facts.bytes_in, facts.bytes),
            (file.bytes.len() as u64, out.len() as u64),
            "{}",
            file.name
        );
        // What comes out is a whole file of the same kind, of which nothing more goes.
        let (again, same) = read(&out, file.name, Metadata::Strip, 1000)
            .unwrap_or_else(|error| panic!("{}, stripped: {error}", file.name));
        assert_eq!(same, out, "{}", file.name);
        assert_eq!(
            (again.size, again.duration_ms, again.frames),
            (facts.size, facts.duration_ms, facts.frames)
        );
        assert_eq!(again.sha256, facts.sha256);
    }
}

#[test]
fn texts_are_kept_on_request() {
    for file in all() {
        let (facts, out) = read(&file.bytes, file.name, Metadata::Keep, 77).expect("a file");
        assert!(!facts.is_stripped);
        match file.name {
            // The editor's stub goes all the same.
            "still.png" => assert!(holds(&out, b"tEXt") && !holds(&out, b"zTXt")),
            _ => assert!(out == file.bytes, "{}", file.name),
        }
    }
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused() {
    for file in all() {
        let step = if file.bytes.len() > 20_000 { 97 } else { 1 };
        for length in (0..file.bytes.len()).step_by(step) {
            let cut = read(&file.bytes[..length], file.name, Metadata::Strip, 4096);
            let missing = file.bytes.len() - length;
            let may_end = match file.name {
                // A live recording has no length, and its clusters do not either: between two elements it may end.
                "live.webm" => true,
                // The line's end, and the tag after the sound.
                "drawing.svg" => missing == 1,
                "sound.mp3" => missing == 128,
                _ => false,
            };
            if let (Ok(_), false) = (cut, may_end) {
                panic!("{} was taken after {length} of {} bytes", file.name, file.bytes.len());
            }
        }
    }
}

#[test]
fn pieces_of_any_size_come_to_the_same() {
    for file in all() {
        let whole = strip(&file);
        for piece in [1, 2, 3, 7, 64, 333] {
            let pieces = read(&file.bytes, file.name, Metadata::Strip, piece).expect("a file");
            assert!(pieces == whole, "{} in pieces of {piece}", file.name);
        }
    }
}

#[test]
fn what_follows_the_end_is_dropped() {
    for name in
        ["still.png", "turned.jpg", "still.webp", "animated.gif", "film.webm", "sound.wav", "scene.glb"]
    {
        let mut bytes = file(name);
        let whole = read(&bytes, name, Metadata::Strip, 64).expect("a file");
        bytes.extend(b"more, after the end");
        let more = read(&bytes, name, Metadata::Strip, 64).expect("a file");
        assert_eq!(more.1, whole.1, "{name}");
    }
}

#[test]
fn sound_that_was_written_to_a_pipe_has_no_length_and_ends_with_the_file() {
    let mut bytes = file("sound.wav");
    let data = bytes.windows(4).position(|name| name == b"data").expect("a chunk");
    bytes[4..8].fill(0xff);
    bytes[data + 4..data + 8].fill(0xff);
    let (facts, out) = read(&bytes, "a.wav", Metadata::Strip, 50).expect("a file");
    assert_eq!((facts.bytes, facts.duration_ms), (bytes.len() as u64, None));
    assert!(facts.is_stripped && !holds(&out, SECRET.as_bytes()) && out.ends_with(&bytes[data..]));
}

#[test]
fn a_few_bytes_between_the_last_chunk_and_the_end_are_counted() {
    let mut bytes = file("sound.wav");
    bytes.extend(b"abc");
    let length = u32::try_from(bytes.len() - 8).expect("small");
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    let (_, kept) = read(&bytes, "a.wav", Metadata::Keep, 50).expect("a file");
    assert!(kept == bytes);
    let cut = read(&bytes[..bytes.len() - 1], "a.wav", Metadata::Keep, 50);
    assert!(matches!(cut, Err(BadFile::Cut { .. })));
}

#[test]
fn a_text_that_reaches_beyond_the_data_it_is_in_is_no_trap() {
    let mut bytes = file("still.avif");
    // XMP's length, in the table of places.
    let at = bytes.windows(8).position(|part| part == [0, 0, 2, 0x2f, 0, 0, 0, 0x46]).expect("XMP's place");
    bytes[at + 4] = 0xe1;
    let (facts, _) = read(&bytes, "still.avif", Metadata::Strip, 64).expect("a file");
    assert!(facts.is_stripped);
}

#[test]
fn a_turned_picture_stays_turned() {
    let (_, out) = read(&file("turned.jpg"), "turned.jpg", Metadata::Strip, 64).expect("a file");
    let mut decoder = image::codecs::jpeg::JpegDecoder::new(std::io::Cursor::new(&out)).expect("a JPEG");
    let orientation = image::ImageDecoder::orientation(&mut decoder).expect("EXIF");
    assert_eq!(orientation, image::metadata::Orientation::Rotate90);
}

#[test]
fn a_stripped_picture_has_the_same_pixels() {
    for name in ["still.png", "animated.png", "turned.jpg", "progressive.jpg", "still.webp", "animated.webp"]
    {
        let bytes = file(name);
        let (_, out) = read(&bytes, name, Metadata::Strip, 64).expect("a file");
        let pixels =
            |bytes: &[u8]| image::load_from_memory(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(pixels(&bytes) == pixels(&out), "{name}");
    }
}

#[test]
fn empty_files_zeros_and_files_that_are_not_what_their_name_says_are_refused() {
    let read = |bytes: &[u8], name| read(bytes, name, Metadata::Strip, 100).map(|(facts, _)| facts);
    assert_eq!(read(b"", "a.png"), Err(BadFile::Empty));
    assert!(matches!(read(&[0; 5000], "a"), Err(BadFile::Damaged(_))), "as a crashed disk leaves them");
    for name in ["a.png", "a.MP4", "a.flac", "a.jpeg"] {
        let error = read(b"a text where nobody expects one", name).expect_err(name);
        assert!(matches!(error, BadFile::Misnamed { .. }), "{name}: {error}");
    }
    let webp = read(&file("still.webp"), "a.png").expect("a picture of another kind");
    assert_eq!((webp.media_type, webp.extension.as_str()), (MediaType::Webp, "webp"));
}

#[test]
fn kinds_without_magic_are_told_by_their_name() {
    let table: [(&[u8], &str, &str, &str); 14] = [
        (b"v 0 0 0\n", "a.obj", "model/obj", "obj"),
        (b"solid\n", "a.stl", "model/stl", "stl"),
        (b"ply\n\xff", "a.ply", "application/octet-stream", "ply"),
        (b"\x1f\x8b\x08\x01", "a.spz", "application/octet-stream", "spz"),
        (b"1\n00:00:00,000 --> 00:00:01,000\n", "a.srt", "text/plain; charset=utf-8", "srt"),
        (b"WEBVTT\n", "a.txt", "text/plain; charset=utf-8", "txt"),
        (b"WEBVTT\n", "a", "text/vtt; charset=utf-8", "vtt"),
        (b"a,b\n", "a.csv", "text/csv; charset=utf-8", "csv"),
        ("Grüße".as_bytes(), "a.txt", "text/plain; charset=utf-8", "txt"),
        (b"{\"a\": 1}", "a.json", "application/json", "json"),
        (b"[verse]\nla la", "a.txt", "text/plain; charset=utf-8", "txt"),
        (b"[verse]\nla la", "a", "text/plain; charset=utf-8", "txt"),
        (b"<html><script>", "a.html", "text/plain; charset=utf-8", "txt"),
        (b"\xff\xfe\x00\x01", "a.html", "application/octet-stream", "bin"),
    ];
    for (bytes, name, kind, extension) in table {
        let (facts, out) =
            read(bytes, name, Metadata::Strip, 3).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((facts.media_type.as_str(), facts.extension.as_str()), (kind, extension), "{name}");
        assert_eq!(out, bytes);
    }
    let (facts, _) = read(b"\x1f\x8b\x08\x01", "a.spz", Metadata::Strip, 3).expect("a file");
    assert!(!facts.is_stripped, "nobody knows what is in it");
    let error = read(b"{\"a\": ", "a.json", Metadata::Strip, 3).expect_err("half of it");
    assert!(matches!(error, BadFile::Cut { .. }), "{error}");
}

#[test]
fn black_is_told_from_dark() {
    let mut dark = [0; 12];
    dark[11] = 1;
    let opaque: Vec<u8> = [0, 0, 0, 255].repeat(4);
    let table = [
        (png_of(ColorType::Rgb, BitDepth::Eight, &[0; 12]), true),
        (png_of(ColorType::Rgb, BitDepth::Eight, &dark), false),
        (png_of(ColorType::Rgba, BitDepth::Eight, &opaque), true),
        (png_of(ColorType::Grayscale, BitDepth::Eight, &[0; 4]), true),
        (png_of(ColorType::Grayscale, BitDepth::One, &[0b0100_0000, 0]), false),
        (png_of(ColorType::Rgb, BitDepth::Sixteen, &[1; 24]), false),
    ];
    for (i, (bytes, is_black)) in table.into_iter().enumerate() {
        assert_eq!(media::is_black(&bytes, MediaType::Png), Ok(is_black), "row {i}");
        for format in [media::Format::Webp, media::Format::Jpeg] {
            // Lossy formats may round what is dark to black.
            let other = media::convert(&bytes, format, 90).expect("a picture").expect("converted");
            let is_seen = media::is_black(&other.bytes, other.media_type).expect("pixels");
            assert!(is_seen == is_black || i == 1 || i == 2, "row {i} as {format:?}");
        }
    }
    assert_eq!(media::is_black(b"no film", MediaType::Mp4), Ok(false));
    assert!(media::is_black(b"no picture", MediaType::Jpeg).is_err());
}

#[test]
fn damage_is_noticed_where_the_container_has_checksums() {
    for name in ["still.png", "sound.flac", "sound.opus"] {
        let bytes = file(name);
        for at in (bytes.len() / 2..bytes.len()).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(read(&damaged, name, Metadata::Strip, 64).is_err(), "{name}, byte {at}");
        }
    }
}

proptest! {
    #[test]
    fn a_changed_byte_of_a_png_is_noticed(at in any::<proptest::sample::Index>(), change in 1..=255u8) {
        let mut bytes = png();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        prop_assert!(read(&bytes, "a.png", Metadata::Strip, 11).is_err(), "byte {at}");
    }

    #[test]
    fn no_bytes_are_a_reason_to_panic(
        which in any::<proptest::sample::Index>(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..20),
        piece in 1..500usize,
    ) {
        static FILES: LazyLock<Vec<File>> = LazyLock::new(all);
        let file = which.get(FILES.as_slice());
        let mut bytes = file.bytes.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len().min(2000));
            bytes[at] = byte;
        }
        for metadata in [Metadata::Strip, Metadata::Keep] {
            if let Ok((facts, out)) = read(&bytes, file.name, metadata, piece) {
                prop_assert_eq!(facts.bytes, out.len() as u64);
            }
        }
    }
}
