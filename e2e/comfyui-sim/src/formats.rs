//! Files other than PNG: as small as a program can write them that a reader takes. Videos have the right head and no
//! frames: nothing here can play them.
use crate::picture::Pictures;

/// Pixels along a side of a JPEG block.
const BLOCK: usize = 8;

/// A JPEG file: every 8 × 8 block in its mean colour (the DC coefficients alone).
pub(crate) fn jpeg(pictures: &Pictures, index: usize) -> Vec<u8> {
    let (width, height) = (pictures.width, pictures.height);
    let mut file = vec![0xFF, 0xD8];
    let mut segment = |marker: u8, content: &[u8]| {
        file.extend([0xFF, marker]);
        file.extend(length_16(content.len() + 2));
        file.extend(content);
    };
    segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    // Quantisation: everything by 8, so that a DC coefficient is the block's mean less 128.
    segment(0xDB, &[&[0][..], &[8; 64]].concat());
    let size = [length_16(height), length_16(width)].concat();
    segment(0xC0, &[&[8][..], &size, &[3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]].concat());
    // DC: sixteen codes of five bits, for differences of 0 to 11 bits; AC: one code of a bit, the end of a block.
    let mut counts = [0; 16];
    counts[4] = 12;
    segment(0xC4, &[&[0x00][..], &counts, &(0..12).collect::<Vec<u8>>()].concat());
    segment(0xC4, &[&[0x10, 1][..], &[0; 15], &[0x00]].concat());
    segment(0xDA, &[3, 1, 0x00, 2, 0x00, 3, 0x00, 0, 63, 0]);
    let mut bits = Bits::default();
    let mut previous = [0; 3];
    for y in (0..height).step_by(BLOCK) {
        for x in (0..width).step_by(BLOCK) {
            let colours = ycbcr(mean(pictures, index, x, y));
            for (value, previous) in colours.into_iter().zip(&mut previous) {
                bits.dc(value - *previous);
                *previous = value;
                bits.put(0, 1);
            }
        }
    }
    file.extend(bits.finish_stuffed());
    file.extend([0xFF, 0xD9]);
    file
}

/// Big-endian, as JPEG's lengths and sizes are.
fn length_16(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

fn mean(pictures: &Pictures, index: usize, x: usize, y: usize) -> [i32; 3] {
    let pixels = pictures.pixels.get(index).map(Vec::as_slice).unwrap_or_default();
    let mut sum = [0; 3];
    let mut count = 0;
    for y in y..(y + BLOCK).min(pictures.height) {
        for x in x..(x + BLOCK).min(pictures.width) {
            let at = (y * pictures.width + x) * 3;
            for (sum, value) in sum.iter_mut().zip(&pixels[at..at + 3]) {
                *sum += i32::from(*value);
            }
            count += 1;
        }
    }
    sum.map(|sum| sum / count.max(1))
}

/// Each less 128.
fn ycbcr([red, green, blue]: [i32; 3]) -> [i32; 3] {
    let luma = (299 * red + 587 * green + 114 * blue) / 1000;
    [luma - 128, (blue - luma) * 564 / 1000, (red - luma) * 713 / 1000]
}

/// Bits, the first one highest.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    open: u32,
    filled: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        for bit in (0..count).rev() {
            self.open = self.open << 1 | (value >> bit & 1);
            self.filled += 1;
            if self.filled == 8 {
                self.bytes.push(self.open.to_le_bytes()[0]);
                (self.open, self.filled) = (0, 0);
            }
        }
    }

    /// A difference: how many bits it takes, then those.
    fn dc(&mut self, difference: i32) {
        let size = 32 - difference.unsigned_abs().leading_zeros();
        self.put(size, 5);
        let below_zero = if difference < 0 { (1 << size) - 1 - difference.unsigned_abs() } else { 0 };
        self.put(if difference < 0 { below_zero } else { difference.unsigned_abs() }, size);
    }

    /// Filled up with ones, and a zero after each byte that looks like a marker's first.
    fn finish_stuffed(mut self) -> Vec<u8> {
        while self.filled > 0 {
            self.put(1, 1);
        }
        self.bytes
            .into_iter()
            .flat_map(|byte| [byte].into_iter().chain((byte == 0xFF).then_some(0)))
            .collect()
    }
}

/// A WebP file: lossless, of several pictures an animation of `fps` frames a second.
pub(crate) fn webp(pictures: &Pictures, fps: f64) -> Vec<u8> {
    let frames: Vec<Vec<u8>> = pictures.pixels.iter().map(|pixels| vp8l(pictures, pixels)).collect();
    let mut chunks = Vec::new();
    if let [frame] = frames.as_slice() {
        chunks.extend(chunk(b"VP8L", frame));
    } else {
        let less_one = |size: usize| length_24(size.saturating_sub(1));
        let size = [less_one(pictures.width), less_one(pictures.height)].concat();
        // The flag of an animation; then background colour and "repeat for ever".
        chunks.extend(chunk(b"VP8X", &[&[0x02, 0, 0, 0][..], &size].concat()));
        chunks.extend(chunk(b"ANIM", &[0; 6]));
        for frame in &frames {
            let head = [&[0; 6][..], &size, &milliseconds(fps), &[0]].concat();
            chunks.extend(chunk(b"ANMF", &[head, chunk(b"VP8L", frame)].concat()));
        }
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

/// The head of an MP4 file.
pub(crate) fn mp4(pictures: &Pictures) -> Vec<u8> {
    let head = *b"\0\0\0\x18ftypisom\0\0\x02\0isommp41";
    let frames = pictures.pixels.len() * FRAME_BYTES;
    let length = u32::try_from(frames + 8).unwrap_or(u32::MAX).to_be_bytes();
    [&head[..], &length, b"mdat", &vec![0; frames]].concat()
}

/// The head of a WebM file.
pub(crate) fn webm(pictures: &Pictures) -> Vec<u8> {
    let head = *b"\x1A\x45\xDF\xA3\x9F\x42\x86\x81\x01\x42\xF7\x81\x01\x42\xF2\x81\x04\x42\xF3\x81\x08\x42\x82\x84webm";
    [&head[..], &vec![0; pictures.pixels.len() * FRAME_BYTES]].concat()
}

/// A FLAC file that says how long it is, and holds no sound.
pub(crate) fn flac(seconds: f64, sample_rate: u32) -> Vec<u8> {
    let samples = samples(seconds, sample_rate);
    // Block sizes, frame sizes unknown, 20 bits of rate, 3 of channels less one, 5 of bits less one, 36 of samples.
    let about = u64::from(sample_rate) << 44 | 1 << 41 | 15 << 36 | samples & 0xF_FFFF_FFFF;
    let head = [&b"fLaC\x80\0\0\x22\x10\0\x10\0\0\0\0\0\0\0"[..], &about.to_be_bytes(), &[0; 16]];
    head.concat()
}

/// An MP3 file of silence.
pub(crate) fn mp3(seconds: f64) -> Vec<u8> {
    /// MPEG 1, layer III, 128 kbit/s, 44.1 kHz: 1152 samples in 417 bytes.
    const FRAME: usize = 417;
    let frame = [&[0xFF, 0xFB, 0x90, 0x64][..], &[0; FRAME - 4]].concat();
    let frames = usize::try_from(samples(seconds, 44_100) / 1152).unwrap_or_default();
    frame.repeat(frames.clamp(1, 10_000))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and takes NaN for 0")]
fn samples(seconds: f64, sample_rate: u32) -> u64 {
    (seconds * f64::from(sample_rate)) as u64
}

/// What a frame of a video takes in the file.
const FRAME_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_begins_as_its_kind_does() {
        let one = Pictures::filled(1, 20, 12, [200, 100, 50]);
        let two = Pictures::filled(2, 20, 12, [200, 100, 50]);
        assert!(jpeg(&one, 0).starts_with(&[0xFF, 0xD8, 0xFF, 0xE0]));
        assert_eq!(&webp(&one, 6.0)[8..16], b"WEBPVP8L");
        assert_eq!(&webp(&two, 6.0)[8..16], b"WEBPVP8X");
        assert_eq!(&mp4(&two)[4..12], b"ftypisom");
        assert!(webm(&two).starts_with(&[0x1A, 0x45, 0xDF, 0xA3]));
        assert_eq!(flac(1.0, 44_100).len(), 4 + 4 + 34);
        assert_eq!(mp3(1.0).len(), 417 * 38);
    }

    #[test]
    fn a_riff_file_says_how_long_it_is() {
        for batch in [1, 2] {
            let file = webp(&Pictures::filled(batch, 9, 7, [1, 2, 3]), 24.0);
            let length = u32::from_le_bytes(file[4..8].try_into().unwrap());
            assert_eq!(length as usize + 8, file.len());
        }
    }
}
