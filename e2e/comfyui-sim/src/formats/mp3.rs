//! MP3: frames of silence after an ID3 tag.
use super::{Sound, Texts};

/// MPEG 1, layer III, 128 kbit/s, 44.1 kHz: 1152 samples in 417 bytes.
const FRAME: usize = 417;

/// An MP3 file.
pub(crate) fn mp3(sound: &Sound, texts: &Texts<'_>) -> Vec<u8> {
    let frame = [&[0xFF, 0xFB, 0x90, 0x64][..], &[0; FRAME - 4]].concat();
    let frames = usize::try_from(sound.samples(44_100) / 1152).unwrap_or_default();
    [tag(texts), frame.repeat(frames.clamp(1, 10_000))].concat()
}

/// A tag of version 2.4, of texts that users name, in UTF-8.
fn tag(texts: &Texts<'_>) -> Vec<u8> {
    let mut frames = Vec::new();
    for (keyword, text) in texts {
        let content = [b"\x03", keyword.as_bytes(), b"\0", text.as_bytes()].concat();
        frames.extend([&b"TXXX"[..], &sevenths(content.len()), &[0, 0], &content].concat());
    }
    [&b"ID3\x04\0\0"[..], &sevenths(frames.len()), &frames].concat()
}

/// A length in seven bits a byte.
fn sevenths(length: usize) -> [u8; 4] {
    [21, 14, 7, 0].map(|shift| u8::try_from(length >> shift & 0x7F).unwrap_or(0))
}
