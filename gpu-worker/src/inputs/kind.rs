//! What a file is, by its first bytes. Nobody's word counts: not the name, nor the content type.

/// The kinds of files that are passed on, for people.
pub(super) const KINDS: &str =
    "MP4, MOV, WebM, MKV, AVI, WAV, MP3, M4A, FLAC, OGG, GLB, a latent or plain text";
/// The header of a safetensors file is at most so long
/// (<https://huggingface.co/docs/safetensors/index#format>).
const LONGEST_HEADER: u64 = 100_000_000;
/// Where an SVG or an HTML page shows what it is.
const HEAD: usize = 1024;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Png,
    Jpeg,
    WebP,
    /// Of a kind that the engine's nodes load; the extension by which they know it.
    Loadable(&'static str),
    /// Something else, in words.
    Other(&'static str),
}

impl Kind {
    pub(super) fn of(file: &[u8]) -> Self {
        let tag = |at: usize| file.get(at..at + 4).unwrap_or_default();
        match file {
            [] => Self::Other("empty"),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Self::Png,
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [b'R', b'I', b'F', b'F', ..] => match tag(8) {
                b"WEBP" => Self::WebP,
                b"WAVE" => Self::Loadable("wav"),
                b"AVI " => Self::Loadable("avi"),
                _ => Self::Other("of an unknown kind"),
            },
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => match tag(8) {
                b"avif" | b"avis" => Self::Other("an AVIF"),
                b"heic" | b"heix" | b"mif1" | b"msf1" => Self::Other("a HEIC"),
                b"M4A " => Self::Loadable("m4a"),
                b"qt  " => Self::Loadable("mov"),
                _ => Self::Loadable("mp4"),
            },
            [0x1a, 0x45, 0xdf, 0xa3, ..] => Self::Loadable(if has(file, b"webm") { "webm" } else { "mkv" }),
            [b'I', b'D', b'3', ..] | [0xff, 0xf2 | 0xf3 | 0xfa | 0xfb, ..] => Self::Loadable("mp3"),
            [b'f', b'L', b'a', b'C', ..] => Self::Loadable("flac"),
            [b'O', b'g', b'g', b'S', ..] => Self::Loadable("ogg"),
            [b'g', b'l', b'T', b'F', ..] => Self::Loadable("glb"),
            [b'G', b'I', b'F', b'8', ..] => Self::Other("a GIF"),
            [b'B', b'M', ..] => Self::Other("a BMP"),
            [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => Self::Other("a TIFF"),
            [b'%', b'P', b'D', b'F', ..] => Self::Other("a PDF"),
            [b'P', b'K', 3, 4, ..] => Self::Other("a ZIP archive"),
            _ if is_safetensors(file) => Self::Loadable("latent"),
            _ => text(file),
        }
    }
}

fn has(file: &[u8], word: &[u8]) -> bool {
    file[..file.len().min(HEAD)].windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}

/// Eight bytes that say how long the header is, and the header, which is JSON.
fn is_safetensors(file: &[u8]) -> bool {
    let Some((length, rest)) = file.split_first_chunk() else { return false };
    let length = u64::from_le_bytes(*length);
    length <= LONGEST_HEADER && length <= rest.len() as u64 && rest.first() == Some(&b'{')
}

fn text(file: &[u8]) -> Kind {
    let is_text = |text: &str| !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    match std::str::from_utf8(file) {
        Ok(_) if has(file, b"<svg") => Kind::Other("an SVG"),
        Ok(_) if has(file, b"<html") || has(file, b"<!doctype html") => Kind::Other("an HTML page"),
        Ok(text) if is_text(text) => Kind::Loadable("txt"),
        _ => Kind::Other("of an unknown kind"),
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn a_file_is_what_its_first_bytes_say() {
        let table: [(&[u8], Kind); 22] = [
            (b"", Kind::Other("empty")),
            (b"\x89PNG\r\n\x1a\n....", Kind::Png),
            (b"\xff\xd8\xff\xe0", Kind::Jpeg),
            (b"RIFF\0\0\0\0WEBPVP8 ", Kind::WebP),
            (b"RIFF\0\0\0\0WAVEfmt ", Kind::Loadable("wav")),
            (b"RIFF", Kind::Other("of an unknown kind")),
            (b"\0\0\0\x20ftypisom", Kind::Loadable("mp4")),
            (b"\0\0\0\x20ftypavif", Kind::Other("an AVIF")),
            (b"\x1a\x45\xdf\xa3\x01\0\0\x42\x82\x84webm", Kind::Loadable("webm")),
            (b"ID3\x04", Kind::Loadable("mp3")),
            (b"fLaC", Kind::Loadable("flac")),
            (b"OggS", Kind::Loadable("ogg")),
            (b"GIF89a", Kind::Other("a GIF")),
            (b"\x02\0\0\0\0\0\0\0{}", Kind::Loadable("latent")),
            (b"\xff\0\0\0\0\0\0\0{}", Kind::Other("of an unknown kind")),
            (b"<?xml version=\"1.0\"?>\n<svg xmlns=\"\">", Kind::Other("an SVG")),
            (b"<!DOCTYPE html><title>404", Kind::Other("an HTML page")),
            (b"a lighthouse, \xc3\xa9tude\n", Kind::Loadable("txt")),
            (b"\x80\x04\x95pickle", Kind::Other("of an unknown kind")),
            (b"PK\x03\x04archive/data.pkl", Kind::Other("a ZIP archive")),
            (b"\x7fELF\x02", Kind::Other("of an unknown kind")),
            (b"MZ\x90\0", Kind::Other("of an unknown kind")),
        ];
        for (file, kind) in table {
            assert_eq!(Kind::of(file), kind, "{:?}", String::from_utf8_lossy(file));
        }
    }
}
