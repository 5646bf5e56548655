//! Files that an engine makes and that users hand in: what they are, whether they are whole, and what they look like
//! without the texts that the engine writes into them. No clock, no network, no file system.
//!
//! [`Reader`] takes a file in pieces and gives it on, checked and stripped, for as many kinds as a node of ComfyUI can
//! list. ComfyUI writes the whole prompt into each file: negative prompts, names of models, keys of hosted models.
//! Whoever sees the picture could read it.
//!
//! | kind | extension | what is checked | what is stripped |
//! |---|---|---|---|
//! | PNG, APNG | png | chunks with their checksums, up to IEND | chunks that do not change the look |
//! | JPEG | jpg | segments, up to EOI | EXIF (but its orientation), XMP, comments, all but JFIF, ICC, Adobe |
//! | WebP | webp | chunks, by the file's length | EXIF, XMP, unknown chunks: `JUNK`, zeros |
//! | GIF | gif | blocks, up to the trailer | comments, XMP and other applications' blocks |
//! | AVIF | avif | boxes, with `meta` and `mdat` | EXIF, XMP: zeros; not if they stand before `meta` |
//! | SVG | svg | ends with `</svg>` | `metadata` elements, comments; up to 8 MiB |
//! | OpenEXR | exr | blocks of lines, if it has one part without tiles | texts in its header: spaces |
//! | MP4, MOV, M4A | mp4, mov, m4a | boxes, with `moov` and `mdat` | `udta`, `meta`, `uuid`: `free`, zeros |
//! | WebM, Matroska | webm, mkv | elements; if its length is unknown, that it ends between two | tags, chapters, attachments, title: `Void`, zeros |
//! | FLAC | flac | frames, by their checksums; as many samples as it says | comments, pictures, others: padding |
//! | WAV | wav | chunks, by the file's length | `LIST`, `id3 ` and others: `JUNK`, zeros |
//! | MP3 | mp3 | frames; as many as the first one says | ID3v1, ID3v2, APE |
//! | Ogg (Opus, Vorbis) | opus, ogg | pages with their checksums, up to each stream's last | comments: zeros; not those of other codecs |
//! | GLB | glb | its length | `extras` of the file and of its `asset` |
//! | safetensors, latents | safetensors, latent | its header, its length | `__metadata__` |
//! | JSON, glTF | json, gltf | that it can be parsed, up to 1 MiB | the engine adds nothing |
//! | texts | txt, csv, md, srt, vtt, obj | nothing | the engine adds nothing |
//! | all others | their own, or bin | that it is not all zeros | nothing, and [`Facts::is_stripped`] says so |
//!
//! What follows a file's own end is dropped. A file whose name has the extension of a kind that its bytes would tell, and
//! whose bytes do not, is refused. Memory: at most 8 MiB of a file are held, and mostly a few bytes; a part that would
//! take more (a header, comments) is not stripped, and [`Facts::is_stripped`] says so.
//!
//! [`is_black`] and [`convert`] look at pixels; [`clean_input`], [`check_input`] and [`with_alpha_of`] are for files of users.

mod avif;
mod bad;
mod convert;
mod ebml;
mod exif;
mod exr;
mod flac;
mod gif;
mod glb;
mod input;
mod iso;
mod jpeg;
mod kind;
mod mp3;
mod ogg;
mod pixels;
mod plain;
mod png;
mod reader;
mod riff;
mod safetensors;
mod svg;
mod walk;

pub use self::{
    bad::BadFile,
    convert::{Converted, Format, Unconverted, convert},
    input::{BadInput, Limits, Png, check_input, clean_input, with_alpha_of},
    kind::MediaType,
    pixels::is_black,
    reader::{Facts, Metadata, Reader},
};
