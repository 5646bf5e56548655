//! GIF: 256 fixed colours, without compression.
use crate::picture::Pictures;

/// The code that empties the table of codes, which otherwise grow longer than nine bits.
const CLEAR: u32 = 256;
const END: u32 = 257;
const BEFORE_CLEAR: usize = 250;

/// A GIF file of `fps` frames a second that repeats for ever.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 100 s a frame")]
pub(crate) fn gif(pictures: &Pictures, fps: f64) -> Vec<u8> {
    let size = |size: usize| u16::try_from(size).unwrap_or(u16::MAX).to_le_bytes();
    let sizes = [size(pictures.width), size(pictures.height)].concat();
    let mut file = [&b"GIF89a"[..], &sizes, &[0xF7, 0, 0]].concat();
    // Three bits of red, three of green, two of blue.
    for colour in 0..=255_u8 {
        file.extend([colour & 0xE0, colour << 3 & 0xE0, colour << 6]);
    }
    file.extend(b"\x21\xFF\x0BNETSCAPE2.0\x03\x01\0\0\0");
    let hundredths = ((100.0 / fps.max(0.01)) as u16).to_le_bytes();
    for pixels in &pictures.pixels {
        file.extend(
            [&[0x21, 0xF9, 4, 0][..], &hundredths, &[0, 0, 0x2C, 0, 0, 0, 0], &sizes, &[0, 8]].concat(),
        );
        for part in codes(pixels).chunks(255) {
            file.push(u8::try_from(part.len()).unwrap_or(255));
            file.extend(part);
        }
        file.push(0);
    }
    file.push(0x3B);
    file
}

/// Codes of nine bits, the first bit lowest.
fn codes(pixels: &[u8]) -> Vec<u8> {
    let (mut bytes, mut open, mut filled) = (Vec::new(), 0, 0);
    let mut put = |code: u32| {
        open |= code << filled;
        filled += 9;
        while filled >= 8 {
            bytes.push(open.to_le_bytes()[0]);
            open >>= 8;
            filled -= 8;
        }
    };
    for (index, pixel) in pixels.as_chunks::<3>().0.iter().enumerate() {
        if index % BEFORE_CLEAR == 0 {
            put(CLEAR);
        }
        let [red, green, blue] = *pixel;
        put(u32::from(red & 0xE0 | green >> 3 & 0x1C | blue >> 6));
    }
    put(END);
    put(0);
    bytes
}
