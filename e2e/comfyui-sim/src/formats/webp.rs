//! WebP: lossless, without any compression.
use crate::picture::Pictures;

/// The flags of an extended file.
const HAS_EXIF: u8 = 0x08;
const IS_ANIMATED: u8 = 0x02;

/// A WebP file, of several pictures an animation of `fps` frames a second, with this EXIF if there is any.
pub(crate) fn webp(pictures: &Pictures, fps: f64, exif: &[u8]) -> Vec<u8> {
    let frames: Vec<Vec<u8>> = pictures.pixels.iter().map(|pixels| vp8l(pictures, pixels)).collect();
    let less_one = |size: usize| length_24(size.saturating_sub(1));
    let size = [less_one(pictures.width), less_one(pictures.height)].concat();
    let flags = if exif.is_empty() { 0 } else { HAS_EXIF } | if frames.len() == 1 { 0 } else { IS_ANIMATED };
    let mut chunks = Vec::new();
    if flags != 0 {
        chunks.extend(chunk(b"VP8X", &[&[flags, 0, 0, 0][..], &size].concat()));
    }
    if let [frame] = frames.as_slice() {
        chunks.extend(chunk(b"VP8L", frame));
    } else {
        // Background colour, and "repeat for ever".
        chunks.extend(chunk(b"ANIM", &[0; 6]));
        for frame in &frames {
            let head = [&[0; 6][..], &size, &milliseconds(fps), &[0]].concat();
            chunks.extend(chunk(b"ANMF", &[head, chunk(b"VP8L", frame)].concat()));
        }
    }
    if !exif.is_empty() {
        chunks.extend(chunk(b"EXIF", exif));
    }
    [&b"RIFF"[..], &length_32(chunks.len() + 4), b"WEBP", &chunks].concat()
}

fn length_32(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

fn length_24(length: usize) -> [u8; 3] {
    let [a, b, c, _] = length_32(length);
    [a, b, c]
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 100 s a frame")]
fn milliseconds(fps: f64) -> [u8; 3] {
    length_24((1000.0 / fps.max(0.01)) as usize)
}

/// A chunk of a RIFF file: name, length, content, and a byte where the length is odd.
fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let padding = vec![0; content.len() % 2];
    [&name[..], &length_32(content.len()), content, &padding].concat()
}

/// One picture as a VP8L bitstream without any transform, each colour a code of eight bits.
fn vp8l(pictures: &Pictures, pixels: &[u8]) -> Vec<u8> {
    /// Symbols for lengths of copies, which follow the greens.
    const COPIES: u32 = 24;
    let mut bits = LowFirst::default();
    let size = |size: usize| u32::try_from(size.saturating_sub(1)).unwrap_or_default();
    bits.put(0x2F, 8);
    bits.put(size(pictures.width), 14);
    bits.put(size(pictures.height), 14);
    // No alpha, version 0; no transform, no colour cache, one group of codes.
    bits.put(0, 1 + 3 + 1 + 1 + 1);
    bits.code_of_bytes(COPIES);
    bits.code_of_bytes(0);
    bits.code_of_bytes(0);
    bits.code_of_one(255);
    bits.code_of_one(0);
    for pixel in pixels.as_chunks::<3>().0 {
        let [red, green, blue] = *pixel;
        for colour in [green, red, blue] {
            bits.put(u32::from(colour.reverse_bits()), 8);
        }
    }
    bits.finish()
}

/// Bits, the first one lowest.
#[derive(Default)]
struct LowFirst {
    bytes: Vec<u8>,
    open: u64,
    filled: u32,
}

impl LowFirst {
    fn put(&mut self, value: u32, count: u32) {
        self.open |= u64::from(value) << self.filled;
        self.filled += count;
        while self.filled >= 8 {
            self.bytes.push(self.open.to_le_bytes()[0]);
            self.open >>= 8;
            self.filled -= 8;
        }
    }

    /// A code in which each of 256 symbols has eight bits, and `unused` more have none.
    fn code_of_bytes(&mut self, unused: u32) {
        // Not simple; lengths of the twelve first code lengths, in their fixed order, of which those for "0" (third)
        // and "8" (twelfth) have one bit each.
        self.put(0, 1);
        self.put(12 - 4, 4);
        for place in 0..12 {
            self.put(u32::from(place == 2 || place == 11), 3);
        }
        // For the whole alphabet.
        self.put(0, 1);
        for _ in 0..256 {
            self.put(1, 1);
        }
        self.put(0, unused);
    }

    /// A code of one symbol, which takes no bits.
    fn code_of_one(&mut self, symbol: u32) {
        // Simple, one symbol, of eight bits.
        self.put(1, 1);
        self.put(0, 1);
        self.put(1, 1);
        self.put(symbol, 8);
    }

    fn finish(mut self) -> Vec<u8> {
        self.put(0, 7);
        self.bytes
    }
}
