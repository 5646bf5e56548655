//! MP4: one track whose frames are JPEG pictures, as cameras once wrote it, with the texts in `moov/udta/meta`, where
//! ffmpeg puts them under `use_metadata_tags`.
use super::{Texts, jpeg, length_be};
use crate::picture::Pictures;

/// Ticks a second.
const RATE: u32 = 12_800;

/// An MP4 file of `fps` frames a second.
pub(crate) fn mp4(pictures: &Pictures, fps: f64, texts: &Texts<'_>) -> Vec<u8> {
    let frames: Vec<Vec<u8>> = (0..pictures.pixels.len()).map(|index| jpeg(pictures, index, &[])).collect();
    let head = [length_be(24).as_slice(), b"ftypisom\0\0\x02\0isommp41"].concat();
    let data = atom(b"mdat", &frames);
    let first = head.len() + 8;
    let movie =
        atom(b"moov", &[movie_header(&frames, fps), track(pictures, &frames, fps, first), user_data(texts)]);
    [head, data, movie].concat()
}

/// Width, height and number of frames of a file's first track, if this reads it.
pub(crate) fn about(file: &[u8]) -> Option<(usize, usize, usize)> {
    let after = |name: &[u8]| Some(file.windows(name.len()).rposition(|at| at == name)? + name.len());
    let number = |at: usize| usize::try_from(u32::from_be_bytes(*file.get(at..)?.first_chunk()?)).ok();
    let (track, sizes) = (after(b"tkhd")?, after(b"stsz")?);
    // Sizes are in 16.16 bits, at the end of a header of 84 bytes.
    let (width, height) = (number(track + 76)? >> 16, number(track + 80)? >> 16);
    let fits = |size: usize| (1..=16_384).contains(&size);
    (fits(width) && fits(height)).then_some((width, height, number(sizes + 8)?.clamp(1, 1000)))
}

fn atom(name: &[u8; 4], parts: &[Vec<u8>]) -> Vec<u8> {
    let content = parts.concat();
    [&length_be(content.len() + 8), &name[..], &content].concat()
}

/// An atom that begins with version and flags.
fn full(name: &[u8; 4], flags: u8, content: &[u8]) -> Vec<u8> {
    atom(name, &[vec![0, 0, 0, flags], content.to_vec()])
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 100 s a frame")]
fn ticks(fps: f64) -> u32 {
    (f64::from(RATE) / fps.max(0.01)).round().max(1.0) as u32
}

fn count(frames: &[Vec<u8>]) -> u32 {
    u32::try_from(frames.len()).unwrap_or(u32::MAX)
}

const UNITY: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

fn movie_header(frames: &[Vec<u8>], fps: f64) -> Vec<u8> {
    let duration = count(frames).saturating_mul(ticks(fps));
    let head = numbers(&[0, 0, RATE, duration, 0x1_0000, 0x0100_0000, 0, 0]);
    full(b"mvhd", 0, &[head, numbers(&UNITY), numbers(&[0; 6]), numbers(&[2])].concat())
}

fn track(pictures: &Pictures, frames: &[Vec<u8>], fps: f64, first: usize) -> Vec<u8> {
    let duration = count(frames).saturating_mul(ticks(fps));
    let size = |size: usize| u32::try_from(size).unwrap_or_default();
    let (width, height) = (size(pictures.width), size(pictures.height));
    let head = numbers(&[0, 0, 1, 0, duration, 0, 0, 0, 0]);
    let header = full(b"tkhd", 3, &[head, numbers(&UNITY), numbers(&[width << 16, height << 16])].concat());
    let media = atom(
        b"mdia",
        &[
            full(b"mdhd", 0, &numbers(&[0, 0, RATE, duration, 0x55C4_0000])),
            full(b"hdlr", 0, b"\0\0\0\0vide\0\0\0\0\0\0\0\0\0\0\0\0VideoHandler\0"),
            atom(
                b"minf",
                &[
                    full(b"vmhd", 1, &[0; 8]),
                    atom(b"dinf", &[full(b"dref", 0, &[numbers(&[1]), full(b"url ", 1, &[])].concat())]),
                    table(frames, [width, height], ticks(fps), first),
                ],
            ),
        ],
    );
    atom(b"trak", &[header, media])
}

/// What the frames are, how long each lasts, and where it is.
fn table(frames: &[Vec<u8>], [width, height]: [u32; 2], ticks: u32, first: usize) -> Vec<u8> {
    // JPEG, by its number among MPEG-4's objects.
    let elementary = full(b"esds", 0, b"\x03\x15\0\x01\0\x04\x0D\x6C\x11\0\0\0\0\0\0\0\0\0\0\0\x06\x01\x02");
    let entry = [
        numbers(&[0, 1, 0, 0, 0, 0, width << 16 | height]),
        numbers(&[0x48_0000, 0x48_0000, 0]),
        [&[0, 1][..], &[0; 32], &[0, 24, 0xFF, 0xFF]].concat(),
        elementary,
    ];
    let sizes: Vec<u32> = frames.iter().map(|frame| u32::try_from(frame.len()).unwrap_or_default()).collect();
    let first = u32::try_from(first).unwrap_or_default();
    atom(
        b"stbl",
        &[
            full(b"stsd", 0, &[numbers(&[1]), atom(b"mp4v", &entry)].concat()),
            full(b"stts", 0, &numbers(&[1, count(frames), ticks])),
            full(b"stsc", 0, &numbers(&[1, 1, count(frames), 1])),
            full(b"stsz", 0, &[numbers(&[0, count(frames)]), numbers(&sizes)].concat()),
            full(b"stco", 0, &numbers(&[1, first])),
        ],
    )
}

fn user_data(texts: &Texts<'_>) -> Vec<u8> {
    let keys: Vec<Vec<u8>> =
        texts.iter().map(|(keyword, _)| atom(b"mdta", &[keyword.as_bytes().to_vec()])).collect();
    let values = (1_u32..).zip(texts).map(|(number, (_, text))| {
        let value = atom(b"data", &[numbers(&[1, 0]), text.as_bytes().to_vec()]);
        atom(&number.to_be_bytes(), &[value])
    });
    let meta = [
        full(b"hdlr", 0, b"\0\0\0\0mdta\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        full(
            b"keys",
            0,
            &[numbers(&[u32::try_from(texts.len()).unwrap_or_default()]), keys.concat()].concat(),
        ),
        atom(b"ilst", &values.collect::<Vec<_>>()),
    ];
    atom(b"udta", &[full(b"meta", 0, &meta.concat())])
}
