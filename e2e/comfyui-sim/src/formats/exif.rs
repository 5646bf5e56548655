//! EXIF as Pillow writes it for ComfyUI: the prompt as the camera's model, the rest from its maker downwards.
use super::{Texts, length_be};

const MODEL: u16 = 0x0110;
const MAKER: u16 = 0x010F;
const TEXT: u16 = 2;

/// A TIFF structure of one directory; empty without texts.
pub(crate) fn exif(texts: &Texts<'_>) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut next = MAKER;
    for (keyword, text) in texts {
        let tag = if *keyword == "prompt" { MODEL } else { next };
        next -= u16::from(tag == next);
        entries.push((tag, format!("{keyword}:{text}\0").into_bytes()));
    }
    if entries.is_empty() {
        return Vec::new();
    }
    entries.sort();
    let count = u16::try_from(entries.len()).unwrap_or(u16::MAX);
    // Head, count, twelve bytes an entry, no further directory.
    let mut at = 8 + 2 + entries.len() * 12 + 4;
    let mut directory = [&b"MM\0\x2A\0\0\0\x08"[..], &count.to_be_bytes()].concat();
    let mut content = Vec::new();
    for (tag, text) in &entries {
        directory.extend(tag.to_be_bytes());
        directory.extend(TEXT.to_be_bytes());
        directory.extend(length_be(text.len()));
        directory.extend(length_be(at));
        let padded = text.len().next_multiple_of(2);
        content.extend(text);
        content.resize(content.len() + padded - text.len(), 0);
        at += padded;
    }
    [directory, vec![0; 4], content].concat()
}
