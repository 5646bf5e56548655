//! JPEG: every 8 × 8 block in its mean colour.
use crate::picture::Pictures;

/// Pixels along a side of a JPEG block.
const BLOCK: usize = 8;

/// A JPEG file of the DC coefficients alone, with this EXIF if there is any.
pub(crate) fn jpeg(pictures: &Pictures, index: usize, exif: &[u8]) -> Vec<u8> {
    let (width, height) = (pictures.width, pictures.height);
    let mut file = vec![0xFF, 0xD8];
    let mut segment = |marker: u8, content: &[u8]| {
        file.extend([0xFF, marker]);
        file.extend(length_16(content.len() + 2));
        file.extend(content);
    };
    segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    if !exif.is_empty() {
        segment(0xE1, &[b"Exif\0\0", exif].concat());
    }
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
