//! What a file is, told from how it begins.

use crate::{
    BadFile, Metadata,
    ebml::Ebml,
    exr::Exr,
    flac::Flac,
    gif::Gif,
    glb::Glb,
    iso::Iso,
    jpeg::Jpeg,
    mp3::{Frame, Mp3},
    ogg::Ogg,
    plain::Plain,
    png::Png,
    riff::Riff,
    safetensors::Safetensors,
    svg::Svg,
    walk::Walk,
};

/// So many bytes tell what a file is.
pub(crate) const SNIFFED: usize = 4096;
const OCTETS: &str = "application/octet-stream";

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names say it; the table in the crate's documentation says more")]
pub enum MediaType {
    Png,
    Jpeg,
    Webp,
    Gif,
    Avif,
    Svg,
    Exr,
    Mp4,
    Mov,
    M4a,
    Webm,
    Mkv,
    Flac,
    Wav,
    Mp3,
    Ogg,
    Opus,
    Glb,
    Gltf,
    Obj,
    Stl,
    Ply,
    Safetensors,
    Json,
    Text,
    Csv,
    Markdown,
    Srt,
    Vtt,
    Other,
}

/// How a kind is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// By its first bytes: a file so named that begins otherwise is damaged.
    Magic,
    /// By its name, if it is a text.
    TextName,
    /// By its name, whatever its bytes.
    Name,
}

/// Kind, IANA's name, extension, and how it is told. Source: <https://www.iana.org/assignments/media-types>; kinds
/// without a registered name are `application/octet-stream`.
const KINDS: [(MediaType, &str, &str, Told); 30] = [
    (MediaType::Png, "image/png", "png", Told::Magic),
    (MediaType::Jpeg, "image/jpeg", "jpg", Told::Magic),
    (MediaType::Webp, "image/webp", "webp", Told::Magic),
    (MediaType::Gif, "image/gif", "gif", Told::Magic),
    (MediaType::Avif, "image/avif", "avif", Told::Magic),
    (MediaType::Svg, "image/svg+xml", "svg", Told::TextName),
    (MediaType::Exr, "image/x-exr", "exr", Told::Magic),
    (MediaType::Mp4, "video/mp4", "mp4", Told::Magic),
    (MediaType::Mov, "video/quicktime", "mov", Told::Magic),
    (MediaType::M4a, "audio/mp4", "m4a", Told::Magic),
    (MediaType::Webm, "video/webm", "webm", Told::Magic),
    (MediaType::Mkv, "video/matroska", "mkv", Told::Magic),
    (MediaType::Flac, "audio/flac", "flac", Told::Magic),
    (MediaType::Wav, "audio/wav", "wav", Told::Magic),
    (MediaType::Mp3, "audio/mpeg", "mp3", Told::Magic),
    (MediaType::Ogg, "audio/ogg", "ogg", Told::Magic),
    (MediaType::Opus, "audio/ogg", "opus", Told::Magic),
    (MediaType::Glb, "model/gltf-binary", "glb", Told::Magic),
    (MediaType::Gltf, "model/gltf+json", "gltf", Told::TextName),
    (MediaType::Obj, "model/obj", "obj", Told::TextName),
    (MediaType::Stl, "model/stl", "stl", Told::Name),
    (MediaType::Ply, OCTETS, "ply", Told::Name),
    (MediaType::Safetensors, OCTETS, "safetensors", Told::Magic),
    (MediaType::Json, "application/json", "json", Told::TextName),
    (MediaType::Text, "text/plain; charset=utf-8", "txt", Told::TextName),
    (MediaType::Csv, "text/csv; charset=utf-8", "csv", Told::TextName),
    (MediaType::Markdown, "text/markdown; charset=utf-8", "md", Told::TextName),
    (MediaType::Srt, "text/plain; charset=utf-8", "srt", Told::TextName),
    (MediaType::Vtt, "text/vtt; charset=utf-8", "vtt", Told::TextName),
    (MediaType::Other, OCTETS, "bin", Told::Name),
];
/// Other extensions of the same kinds.
const ALIASES: [(&str, MediaType); 4] = [
    ("jpeg", MediaType::Jpeg),
    ("apng", MediaType::Png),
    ("latent", MediaType::Safetensors),
    ("oga", MediaType::Ogg),
];
/// The longest extension that is taken over from a name.
const LONGEST_EXTENSION: usize = 10;
/// What a browser would run. A file that is none of the kinds above does not get these extensions.
const RUNS: [&str; 6] = ["html", "htm", "xhtml", "js", "mjs", "xml"];

impl MediaType {
    /// What a file is, by its first 4 KiB and its name. Never fails: what is not known is [`MediaType::Other`].
    #[must_use]
    pub fn sniff(bytes: &[u8], name: &str) -> Self {
        let start = bytes.get(..SNIFFED).unwrap_or(bytes);
        let of_name = extension_of(name).and_then(|extension| Self::named(&extension));
        magic(start).unwrap_or_else(|| match of_name {
            Some((kind, Told::TextName)) if is_text(start) => kind,
            Some((kind, Told::Name)) => kind,
            _ if is_text(start) => Self::of_text(start),
            _ => Self::Other,
        })
    }

    /// IANA's name, for a `Content-Type` header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or(OCTETS, |(_, name, ..)| name)
    }

    /// Without a dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or("bin", |(_, _, extension, _)| extension)
    }

    /// The extensions of all kinds that have one; a file may have another: see [`Facts::extension`](crate::Facts::extension).
    pub fn extensions() -> impl Iterator<Item = &'static str> {
        KINDS.iter().map(|(_, _, extension, _)| *extension).chain(ALIASES.iter().map(|(alias, _)| *alias))
    }

    /// One picture, or several that a viewer shows as one.
    #[must_use]
    pub fn is_picture(self) -> bool {
        self.as_str().starts_with("image/")
    }

    /// Moving pictures, with or without sound.
    #[must_use]
    pub fn is_video(self) -> bool {
        self.as_str().starts_with("video/")
    }

    /// Sound alone.
    #[must_use]
    pub fn is_audio(self) -> bool {
        self.as_str().starts_with("audio/")
    }

    /// As [`MediaType::sniff`]; refuses what is not what its name says.
    pub(crate) fn tell(bytes: &[u8], extension: Option<&str>) -> Result<Self, BadFile> {
        let extension = extension.unwrap_or_default();
        let kind = Self::sniff(bytes, &format!(".{extension}"));
        match Self::named(extension) {
            Some((_, Told::Magic)) if magic(bytes).is_none() => {
                let is_start = !bytes.is_empty() && bytes.len() < 16;
                let extension = extension.to_owned();
                Err(match is_start {
                    true => BadFile::Cut { bytes: bytes.len() as u64 },
                    false => BadFile::Misnamed { extension },
                })
            }
            _ => Ok(kind),
        }
    }

    /// The extension for a file whose name has another, maybe.
    pub(crate) fn extension_for(self, named: Option<&str>) -> String {
        let Some(named) = named else { return self.extension().into() };
        let of_name = Self::named(named).map(|(kind, _)| kind);
        let is_kept = match of_name {
            Some(kind) => kind == self && named != "jpeg",
            None => self == Self::Other && !RUNS.contains(&named),
        };
        if is_kept { named.into() } else { self.extension().into() }
    }

    pub(crate) fn walk(self, metadata: Metadata, extension: Option<&str>) -> Box<dyn Walk> {
        let strip = metadata == Metadata::Strip;
        match self {
            Self::Png => Box::new(Png::new(strip)),
            Self::Jpeg => Box::new(Jpeg::new(strip)),
            Self::Webp => Box::new(Riff::webp(strip)),
            Self::Wav => Box::new(Riff::wav(strip)),
            Self::Gif => Box::new(Gif::new(strip)),
            Self::Avif => Box::new(Iso::avif(strip)),
            Self::Mp4 | Self::Mov | Self::M4a => Box::new(Iso::movie(strip)),
            Self::Webm | Self::Mkv => Box::new(Ebml::new(strip)),
            Self::Flac => Box::new(Flac::new(strip)),
            Self::Mp3 => Box::new(Mp3::new(strip)),
            Self::Ogg | Self::Opus => Box::new(Ogg::new(strip)),
            Self::Glb => Box::new(Glb::new(strip)),
            Self::Safetensors => Box::new(Safetensors::new(strip)),
            Self::Svg => Box::new(Svg::new(strip)),
            Self::Exr => Box::new(Exr::new(strip)),
            Self::Json | Self::Gltf => {
                let is_named = extension.and_then(Self::named).is_some_and(|(kind, _)| kind == self);
                Box::new(Plain::json(is_named))
            }
            Self::Obj | Self::Text | Self::Csv | Self::Markdown | Self::Srt | Self::Vtt => {
                Box::new(Plain::text())
            }
            Self::Stl | Self::Ply | Self::Other => Box::new(Plain::other()),
        }
    }

    fn named(extension: &str) -> Option<(Self, Told)> {
        let alias = ALIASES.iter().find(|(alias, _)| *alias == extension).map(|(_, kind)| *kind);
        let mut kinds = KINDS.iter();
        let (kind, _, _, told) =
            kinds.find(|(kind, _, known, _)| *known == extension || Some(*kind) == alias)?;
        Some((*kind, *told))
    }

    fn of_text(start: &[u8]) -> Self {
        let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
        match text.first() {
            Some(b'{' | b'[') => Self::Json,
            _ if text.starts_with(b"WEBVTT") => Self::Vtt,
            _ => Self::Text,
        }
    }
}

/// The extension of a name, in small letters, if it is one that can be taken over.
pub(crate) fn extension_of(name: &str) -> Option<String> {
    let (_, extension) = name.rsplit_once('.')?;
    let is_plain = (1..=LONGEST_EXTENSION).contains(&extension.len())
        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_plain.then(|| extension.to_ascii_lowercase())
}

fn magic(start: &[u8]) -> Option<MediaType> {
    let at = |offset: usize, text: &[u8]| start.get(offset..).is_some_and(|rest| rest.starts_with(text));
    Some(match () {
        () if at(0, b"\x89PNG\r\n\x1a\n") => MediaType::Png,
        () if at(0, b"\xff\xd8\xff") => MediaType::Jpeg,
        () if at(0, b"RIFF") && at(8, b"WEBP") => MediaType::Webp,
        () if at(0, b"RIFF") && at(8, b"WAVE") => MediaType::Wav,
        () if at(0, b"GIF87a") || at(0, b"GIF89a") => MediaType::Gif,
        () if at(0, b"\x76\x2f\x31\x01") => MediaType::Exr,
        () if at(4, b"ftyp") => brand(start)?,
        () if at(4, b"moov") || at(4, b"wide") || at(4, b"mdat") => MediaType::Mov,
        () if at(0, b"\x1a\x45\xdf\xa3") => match start.get(..64.min(start.len())) {
            Some(head) if crate::walk::find(head, b"matroska").is_some() => MediaType::Mkv,
            _ => MediaType::Webm,
        },
        () if at(0, b"fLaC") => MediaType::Flac,
        () if at(0, b"OggS") && at(28, b"OpusHead") => MediaType::Opus,
        () if at(0, b"OggS") => MediaType::Ogg,
        () if at(0, b"ID3") || Frame::are_at(start) => MediaType::Mp3,
        () if at(0, b"glTF") => MediaType::Glb,
        () if at(8, b"{\"") && crate::walk::le(start, 0, 8)? < 1 << 27 => MediaType::Safetensors,
        () if is_svg(start) => MediaType::Svg,
        () => return None,
    })
}

/// The kind of an ISO base media file: its first brand tells, or those it is compatible with.
fn brand(start: &[u8]) -> Option<MediaType> {
    let end = usize::try_from(crate::walk::be32(start, 0)?).ok()?.min(start.len());
    let brands = start.get(8..end.max(12))?;
    let mut known = brands.chunks_exact(4).map(|brand| match brand {
        b"avif" | b"avis" => Some(MediaType::Avif),
        b"qt  " => Some(MediaType::Mov),
        b"M4A " | b"M4B " => Some(MediaType::M4a),
        b"isom" | b"iso2" | b"iso4" | b"iso5" | b"iso6" | b"mp41" | b"mp42" | b"avc1" | b"M4V " | b"dash" => {
            Some(MediaType::Mp4)
        }
        _ => None,
    });
    known.find_map(|kind| kind)
}

/// Text is UTF-8 without control characters; the last character may be cut off.
fn is_text(start: &[u8]) -> bool {
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => start
            .get(..error.valid_up_to())
            .and_then(|part| std::str::from_utf8(part).ok())
            .unwrap_or_default(),
        Err(_) => return false,
    };
    !text.is_empty()
        && !text.chars().any(|letter| letter.is_control() && !matches!(letter, '\n' | '\r' | '\t' | '\x0c'))
}

/// An `svg` element is the first there is.
fn is_svg(start: &[u8]) -> bool {
    let mut text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    for (opening, closing) in [("<?xml", "?>"), ("<!--", "-->"), ("<!DOCTYPE", ">"), ("<!--", "-->")] {
        if text.starts_with(opening.as_bytes()) {
            let Some(end) = crate::walk::find(text, closing.as_bytes()) else { return false };
            text = text.get(end + closing.len()..).unwrap_or_default().trim_ascii_start();
        }
    }
    text.strip_prefix(b"<svg").is_some_and(|rest| !rest.first().is_some_and(u8::is_ascii_alphanumeric))
}
