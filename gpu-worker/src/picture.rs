//! PNG files, checked as they come from the engine, and rid of what is no picture in them.
//!
//! ComfyUI writes the whole prompt into each file: negative prompts, names of models, keys of hosted models. Whoever
//! sees the picture could read it.

use std::io::Cursor;

use bytes::Bytes;
use crc32fast::Hasher;
use png::{ColorType, Decoder, DecodingError, Transformations};

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
/// Chunks that change how a picture looks, besides the critical ones, whose names begin with a capital. All others may
/// hold texts: `tEXt`, `zTXt`, `iTXt`, `eXIf`, ComfyUI's own `comf`.
/// Source: <https://www.w3.org/TR/png-3/#11Chunks>.
const VISIBLE: [[u8; 4]; 14] = [
    *b"tRNS", *b"gAMA", *b"cHRM", *b"sRGB", *b"iCCP", *b"cICP", *b"mDCV", *b"cLLI", *b"sBIT", *b"bKGD",
    *b"pHYs", *b"acTL", *b"fcTL", *b"fdAT",
];
/// The editor's file. ComfyUI writes the empty one that goes with our prompts, of which nobody has any use.
const STUB: &[u8] = b"workflow\0";
const LARGEST_CHUNK: u32 = i32::MAX as u32;

/// A whole PNG file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    /// The file.
    pub(crate) png: Bytes,
    /// Pixels.
    pub(crate) width: u32,
    /// Pixels.
    pub(crate) height: u32,
}

/// Whether the texts that stand in a picture are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Texts {
    Strip,
    Keep,
}

/// Why a file is no PNG that one can store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadPng {
    #[error("it is not a PNG file")]
    NotPng,
    #[error("it ends in the middle, after {bytes} bytes")]
    Cut { bytes: u64 },
    #[error("it is damaged: the checksum of its {chunk} chunk is wrong")]
    Checksum { chunk: String },
    #[error("it holds no picture")]
    Empty,
    #[error("its pixels can't be read: {0}")]
    Pixels(#[from] DecodingError),
}

/// Takes a file in pieces, of any size.
#[derive(Debug)]
pub(crate) struct Reader {
    texts: Texts,
    kept: Vec<u8>,
    /// The beginning of what is read next: the signature, a chunk's head, or its checksum.
    partial: Vec<u8>,
    next: Next,
    size: Option<(u32, u32)>,
    has_pixels: bool,
    bytes: u64,
}

/// What comes next in the file.
#[derive(Debug)]
enum Next {
    Signature,
    Head,
    Data(Chunk),
    Checksum(Chunk),
    /// The file is over; what follows is not read by anybody.
    Nothing,
}

#[derive(Debug)]
struct Chunk {
    name: [u8; 4],
    left: usize,
    checksum: Hasher,
    /// Where it begins in what is kept, if it is kept.
    start: Option<usize>,
}

impl Reader {
    pub(crate) fn new(texts: Texts, expected_bytes: usize) -> Self {
        Self {
            texts,
            kept: Vec::with_capacity(expected_bytes),
            partial: Vec::with_capacity(8),
            next: Next::Signature,
            size: None,
            has_pixels: false,
            bytes: 0,
        }
    }

    /// The next piece.
    ///
    /// # Errors
    /// As soon as it is sure that the file is of no use.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> Result<(), BadPng> {
        self.bytes += piece.len() as u64;
        while !piece.is_empty() {
            piece = match std::mem::replace(&mut self.next, Next::Nothing) {
                Next::Nothing => return Ok(()),
                Next::Data(chunk) => self.data(chunk, piece),
                next => {
                    let wanted = if matches!(next, Next::Checksum(_)) { 4 } else { 8 };
                    let (taken, rest) = piece.split_at(piece.len().min(wanted - self.partial.len()));
                    self.partial.extend_from_slice(taken);
                    self.next = match self.partial.len() == wanted {
                        true => self.part(next)?,
                        false => next,
                    };
                    rest
                }
            };
        }
        Ok(())
    }

    /// The file, once all of it was pushed.
    ///
    /// # Errors
    /// When something is missing.
    pub(crate) fn finish(self) -> Result<Picture, BadPng> {
        match (self.next, self.size) {
            (Next::Signature, _) if !SIGNATURE.starts_with(&self.partial) => Err(BadPng::NotPng),
            (Next::Nothing, Some((width, height))) if self.has_pixels => {
                Ok(Picture { png: self.kept.into(), width, height })
            }
            (Next::Nothing, _) => Err(BadPng::Empty),
            _ => Err(BadPng::Cut { bytes: self.bytes }),
        }
    }

    /// Acts on what `partial` now holds in full; returns what comes next.
    fn part(&mut self, next: Next) -> Result<Next, BadPng> {
        let part = std::mem::take(&mut self.partial);
        match next {
            Next::Signature if part == SIGNATURE => {
                self.kept.extend_from_slice(&part);
                Ok(Next::Head)
            }
            Next::Checksum(chunk) => self.end(chunk, &part),
            Next::Head => self.begin(&part),
            Next::Signature | Next::Data(_) | Next::Nothing => Err(BadPng::NotPng),
        }
    }

    fn begin(&mut self, head: &[u8]) -> Result<Next, BadPng> {
        let (length, name) = head.split_at(4);
        let length = u32::from_be_bytes(length.try_into().unwrap_or_default());
        let name: [u8; 4] = name.try_into().unwrap_or_default();
        let is_first = self.size.is_none();
        if length > LARGEST_CHUNK || is_first != (name == *b"IHDR") || is_first && length != 13 {
            return Err(BadPng::NotPng);
        }
        let is_kept = name[0].is_ascii_uppercase() || VISIBLE.contains(&name) || self.texts == Texts::Keep;
        let start = is_kept.then_some(self.kept.len());
        if is_kept {
            self.kept.extend_from_slice(head);
        }
        let mut checksum = Hasher::new();
        checksum.update(&name);
        let chunk = Chunk { name, left: length as usize, checksum, start };
        Ok(if chunk.left == 0 { Next::Checksum(chunk) } else { Next::Data(chunk) })
    }

    /// Takes what belongs to the chunk; returns the rest.
    fn data<'a>(&mut self, mut chunk: Chunk, piece: &'a [u8]) -> &'a [u8] {
        let (data, rest) = piece.split_at(piece.len().min(chunk.left));
        chunk.checksum.update(data);
        chunk.left -= data.len();
        if chunk.start.is_some() {
            self.kept.extend_from_slice(data);
        }
        self.next = if chunk.left == 0 { Next::Checksum(chunk) } else { Next::Data(chunk) };
        rest
    }

    fn end(&mut self, chunk: Chunk, checksum: &[u8]) -> Result<Next, BadPng> {
        let Chunk { name, left: _, checksum: computed, start } = chunk;
        if computed.finalize().to_be_bytes() != *checksum {
            return Err(BadPng::Checksum { chunk: String::from_utf8_lossy(&name).into_owned() });
        }
        if let Some(start) = start {
            let data = self.kept.get(start + 8..).unwrap_or_default();
            match &name {
                b"IHDR" => self.size = Some(size(data).ok_or(BadPng::NotPng)?),
                b"IDAT" => self.has_pixels = true,
                _ => {}
            }
            match name[0].is_ascii_lowercase() && data.starts_with(STUB) {
                true => self.kept.truncate(start),
                false => self.kept.extend_from_slice(checksum),
            }
        }
        Ok(if name == *b"IEND" { Next::Nothing } else { Next::Head })
    }
}

fn size(header: &[u8]) -> Option<(u32, u32)> {
    let (width, rest) = header.split_first_chunk()?;
    let (height, _) = rest.split_first_chunk()?;
    let (width, height) = (u32::from_be_bytes(*width), u32::from_be_bytes(*height));
    (width > 0 && height > 0).then_some((width, height))
}

impl Picture {
    /// Has not one pixel a colour? The engine makes that of numbers that overflowed, and calls it a success. Stops at
    /// the first row that has some, so ordinary pictures are hardly decoded at all; a black one takes its time.
    ///
    /// # Errors
    /// When its pixels can't be read.
    pub(crate) fn is_black(&self) -> Result<bool, BadPng> {
        let mut decoder = Decoder::new(Cursor::new(&self.png));
        decoder.set_transformations(Transformations::normalize_to_color8());
        let mut reader = decoder.read_info()?;
        let (samples, colours) = match reader.output_color_type().0 {
            ColorType::Grayscale | ColorType::Indexed => (1, 1),
            ColorType::GrayscaleAlpha => (2, 1),
            ColorType::Rgb => (3, 3),
            ColorType::Rgba => (4, 3),
        };
        let is_coloured = |row: &[u8]| {
            let mut pixels = row.chunks_exact(samples);
            pixels.any(|pixel| pixel.iter().take(colours).any(|&sample| sample != 0))
        };
        while let Some(row) = reader.next_row()? {
            if is_coloured(row.data()) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use png::{BitDepth, ColorType, Encoder};
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{BadPng, Picture, Reader, Texts};

    const SECRET: &str = "sk-test-not-a-real-key";

    fn png(color: ColorType, depth: BitDepth, data: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, 2, 2);
        encoder.set_color(color);
        encoder.set_depth(depth);
        encoder.add_text_chunk("prompt".into(), SECRET.into()).expect("tEXt");
        encoder.add_ztxt_chunk("workflow".into(), SECRET.into()).expect("zTXt");
        encoder.add_itxt_chunk("parameters".into(), SECRET.into()).expect("iTXt");
        let mut writer = encoder.write_header().expect("a header");
        writer.write_chunk(png::chunk::ChunkType(*b"eXIf"), SECRET.as_bytes()).expect("a chunk");
        writer.write_chunk(png::chunk::ChunkType(*b"gAMA"), &45_455u32.to_be_bytes()).expect("a chunk");
        writer.write_image_data(data).expect("pixels");
        writer.write_chunk(png::chunk::ChunkType(*b"comf"), SECRET.as_bytes()).expect("a chunk");
        writer.finish().expect("a file");
        file
    }

    fn read(file: &[u8], texts: Texts, piece: usize) -> Result<Picture, BadPng> {
        let mut reader = Reader::new(texts, 0);
        for piece in file.chunks(piece) {
            reader.push(piece)?;
        }
        reader.finish()
    }

    fn holds(file: &[u8], text: &[u8]) -> bool {
        file.windows(text.len()).any(|window| window == text)
    }

    #[test]
    fn a_picture_keeps_its_pixels_and_loses_its_texts() {
        let file = png(ColorType::Rgb, BitDepth::Eight, &[7; 12]);
        assert!(holds(&file, SECRET.as_bytes()));
        for piece in [1, 3, 8, 1000] {
            let picture = read(&file, Texts::Strip, piece).expect("a PNG");
            assert_eq!((picture.width, picture.height), (2, 2));
            for gone in [&b"tEXt"[..], b"zTXt", b"iTXt", b"eXIf", b"comf", SECRET.as_bytes()] {
                assert!(!holds(&picture.png, gone), "{}", String::from_utf8_lossy(gone));
            }
            assert!(holds(&picture.png, b"gAMA"), "it changes how the picture looks");
            let mut decoder =
                png::Decoder::new(std::io::Cursor::new(&picture.png)).read_info().expect("a PNG");
            let mut pixels = [0; 12];
            decoder.next_frame(&mut pixels).expect("pixels");
            assert_eq!(pixels, [7; 12]);
        }
    }

    #[test]
    fn texts_are_kept_on_request_but_for_the_stub_of_ours() {
        let file = png(ColorType::Rgb, BitDepth::Eight, &[7; 12]);
        let picture = read(&file, Texts::Keep, 5).expect("a PNG");
        assert!(holds(&picture.png, b"tEXt") && holds(&picture.png, SECRET.as_bytes()));
        assert!(!holds(&picture.png, b"zTXt"), "the editor's file");
    }

    #[test]
    fn black_is_told_from_dark() {
        let mut dark = [0; 12];
        dark[11] = 1;
        let opaque: Vec<u8> = [0, 0, 0, 255].repeat(4);
        let table = [
            (png(ColorType::Rgb, BitDepth::Eight, &[0; 12]), true),
            (png(ColorType::Rgb, BitDepth::Eight, &dark), false),
            (png(ColorType::Rgba, BitDepth::Eight, &opaque), true),
            (png(ColorType::Grayscale, BitDepth::Eight, &[0; 4]), true),
            (png(ColorType::Grayscale, BitDepth::One, &[0b0100_0000, 0]), false),
            (png(ColorType::Rgb, BitDepth::Sixteen, &[1; 24]), false),
        ];
        for (i, (file, is_black)) in table.into_iter().enumerate() {
            let picture = read(&file, Texts::Strip, 64).expect("a PNG");
            assert_eq!(picture.is_black().expect("pixels"), is_black, "row {i}");
        }
    }

    #[test]
    fn half_a_file_and_another_kind_of_file_are_refused() {
        let file = png(ColorType::Rgb, BitDepth::Eight, &[9; 12]);
        for length in 0..file.len() {
            let error = read(&file[..length], Texts::Strip, 7).expect_err("half a file");
            assert!(matches!(error, BadPng::Cut { .. }), "{length}: {error}");
        }
        let error = read(b"RIFF....WEBP", Texts::Strip, 4).expect_err("WebP");
        assert!(matches!(error, BadPng::NotPng), "{error}");
        let error = read(&[0; 5000], Texts::Strip, 4).expect_err("zeros, as a crashed disk leaves them");
        assert!(matches!(error, BadPng::NotPng), "{error}");
    }

    #[test]
    fn what_follows_the_end_is_dropped() {
        let mut file = png(ColorType::Rgb, BitDepth::Eight, &[9; 12]);
        let whole = read(&file, Texts::Strip, 64).expect("a PNG");
        file.extend(b"more, after the end");
        assert_eq!(read(&file, Texts::Strip, 64).expect("a PNG"), whole);
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_noticed(at in any::<proptest::sample::Index>(), change in 1..=255u8) {
            let mut file = png(ColorType::Rgb, BitDepth::Eight, &[9; 12]);
            let at = at.index(file.len());
            file[at] ^= change;
            let is_noticed = read(&file, Texts::Strip, 11).is_err();
            prop_assert!(is_noticed, "byte {at}");
        }

        #[test]
        fn no_bytes_are_a_reason_to_panic(bytes in any::<Vec<u8>>(), piece in 1..9usize) {
            let mut file = super::SIGNATURE.to_vec();
            file.extend(&bytes);
            prop_assert_eq!(read(&file, Texts::Keep, piece).is_ok(), false);
        }
    }
}
