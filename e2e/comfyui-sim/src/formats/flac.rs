//! FLAC: two channels of 16 bits, each block of one value, with Vorbis comments.
use super::{Sound, Texts, length_le};

/// Samples in a block.
const BLOCK: u16 = 4096;
/// The longest sound that is written whole, in blocks.
const MOST: u64 = 20_000;

/// A FLAC file.
pub(crate) fn flac(sound: &Sound, texts: &Texts<'_>) -> Vec<u8> {
    let samples = sound.samples(sound.sample_rate);
    // 20 bits of rate, 3 of channels less one, 5 of bits less one, 36 of samples.
    let about = u64::from(sound.sample_rate) << 44 | 1 << 41 | 15 << 36 | samples & 0xF_FFFF_FFFF;
    let [high, low] = BLOCK.to_be_bytes();
    // Block sizes, frame sizes unknown, and no checksum of the sound.
    let stream = [&[high, low, high, low, 0, 0, 0, 0, 0, 0][..], &about.to_be_bytes(), &[0; 16]].concat();
    let mut file = b"fLaC".to_vec();
    file.extend(metadata(0, false, &stream));
    file.extend(metadata(4, true, &comments(texts)));
    for (number, first) in
        (0..samples).step_by(usize::from(BLOCK)).enumerate().take_while(|(n, _)| (*n as u64) < MOST)
    {
        let length = u16::try_from((samples - first).min(u64::from(BLOCK))).unwrap_or(BLOCK);
        file.extend(block(u32::try_from(number).unwrap_or(0), length, sound.value));
    }
    file
}

fn metadata(kind: u8, is_last: bool, content: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = super::length_be(content.len());
    [&[kind | u8::from(is_last) << 7, a, b, c][..], content].concat()
}

/// Vorbis comments, as in Ogg.
pub(super) fn comments(texts: &Texts<'_>) -> Vec<u8> {
    let text = |text: &str| [&length_le(text.len())[..], text.as_bytes()].concat();
    let mut comments = text("comfyui-sim");
    comments.extend(length_le(texts.len()));
    for (keyword, value) in texts {
        comments.extend(text(&format!("{keyword}={value}")));
    }
    comments
}

fn block(number: u32, length: u16, value: i16) -> Vec<u8> {
    // Block sizes are fixed; this one is given in 16 bits at the end; the rate is the stream's; two channels of 16 bits.
    let mut block = vec![0xFF, 0xF8, 0x70, 0x18];
    // As characters are written in UTF-8.
    let mut bytes = [0; 4];
    block.extend(char::from_u32(number).unwrap_or('\0').encode_utf8(&mut bytes).bytes());
    block.extend((length - 1).to_be_bytes());
    block.push(u8::try_from(crc(&block, 8, 0x07)).unwrap_or(0));
    for _channel in 0..2 {
        block.push(0);
        block.extend(value.to_be_bytes());
    }
    let check = crc(&block, 16, 0x8005);
    block.extend(check.to_be_bytes());
    block
}

/// A checksum of so many bits.
fn crc(bytes: &[u8], bits: u32, polynomial: u16) -> u16 {
    let top = 1 << (bits - 1);
    let mask = u16::MAX >> (16 - bits);
    bytes.iter().fold(0, |mut crc: u16, byte| {
        crc ^= u16::from(*byte) << (bits - 8);
        for _ in 0..8 {
            crc = if crc & top == 0 { crc << 1 } else { crc << 1 ^ polynomial } & mask;
        }
        crc
    })
}
