//! Files other than PNG: as small as a program can write them that readers take. The prompt and the graph stand in them
//! where ComfyUI puts them.
mod exif;
mod flac;
mod gif;
mod glb;
mod jpeg;
mod mp3;
mod mp4;
mod opus;
mod webm;
mod webp;

pub(crate) use self::{
    exif::exif,
    flac::flac,
    gif::gif,
    glb::glb,
    jpeg::jpeg,
    mp3::mp3,
    mp4::{about, mp4},
    opus::opus,
    webm::webm,
    webp::webp,
};

/// Keyword and text of what ComfyUI writes into a file: the prompt, and what the client wants put beside it.
pub(crate) type Texts<'t> = [(&'t str, String)];

/// A sound of one value throughout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sound {
    pub(crate) seconds: f64,
    pub(crate) sample_rate: u32,
    pub(crate) value: i16,
}

impl Sound {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, and takes NaN for 0"
    )]
    fn samples(&self, sample_rate: u32) -> u64 {
        (self.seconds * f64::from(sample_rate)) as u64
    }
}

/// A length of 32 bits, big-endian.
fn length_be(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

/// A length of 32 bits, little-endian.
fn length_le(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Pictures;

    fn grey(batch: usize) -> Pictures {
        Pictures::filled(batch, 20, 12, [200, 100, 50])
    }

    #[test]
    fn each_file_begins_as_its_kind_does() {
        let sound = Sound { seconds: 1.0, sample_rate: 44_100, value: 0 };
        assert!(jpeg(&grey(1), 0, &[]).starts_with(&[0xFF, 0xD8, 0xFF, 0xE0]));
        assert_eq!(&webp(&grey(1), 6.0, &[])[8..16], b"WEBPVP8L");
        assert_eq!(&webp(&grey(1), 6.0, b"MM")[8..16], b"WEBPVP8X");
        assert_eq!(&webp(&grey(2), 6.0, &[])[8..16], b"WEBPVP8X");
        assert_eq!(&mp4(&grey(2), 8.0, &[])[4..12], b"ftypisom");
        assert!(webm(&grey(2), 8.0, &[]).starts_with(&[0x1A, 0x45, 0xDF, 0xA3]));
        assert!(gif(&grey(2), 8.0).starts_with(b"GIF89a"));
        assert!(flac(&sound, &[]).starts_with(b"fLaC"));
        assert!(mp3(&sound, &[]).starts_with(b"ID3"));
        assert!(opus(&sound, &[]).starts_with(b"OggS\0\x02"));
        assert!(glb(7, &[]).starts_with(b"glTF"));
    }

    #[test]
    fn a_riff_file_says_how_long_it_is() {
        for (batch, exif) in [(1, &b"abc"[..]), (2, &[])] {
            let file = webp(&Pictures::filled(batch, 9, 7, [1, 2, 3]), 24.0, exif);
            let length = u32::from_le_bytes(file[4..8].try_into().unwrap());
            assert_eq!(length as usize + 8, file.len());
        }
    }

    #[test]
    fn an_mp4_file_reads_back() {
        let file = mp4(&grey(5), 8.0, &[("prompt", "{}".to_owned())]);
        assert_eq!(about(&file), Some((20, 12, 5)));
        assert_eq!(about(b"no video"), None);
    }
}
