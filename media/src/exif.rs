//! The one thing in EXIF that changes how a picture looks. Source: <https://www.cipa.jp/std/documents/e/DC-X008-Translation-2023-E.pdf>.

use crate::walk::{be, le};

const ORIENTATION: u64 = 0x0112;

/// How a picture is to be turned, 2 to 8, by EXIF's TIFF part. `None`: not at all.
pub(crate) fn orientation(tiff: &[u8]) -> Option<u8> {
    let number = match tiff.get(..4)? {
        b"II*\0" => le,
        b"MM\0*" => be,
        _ => return None,
    };
    let start = usize::try_from(number(tiff, 4, 4)?).ok()?;
    let entries = usize::try_from(number(tiff, start, 2)?).ok()?;
    let found = (0..entries)
        .map(|n| start.saturating_add(2 + 12 * n))
        .find(|entry| number(tiff, *entry, 2) == Some(ORIENTATION))?;
    let value = u8::try_from(number(tiff, found.saturating_add(8), 2)?).ok()?;
    (2..=8).contains(&value).then_some(value)
}

/// EXIF's TIFF part with an orientation and nothing else.
pub(crate) fn minimal(orientation: u8) -> Vec<u8> {
    let mut tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    tiff.extend_from_slice(&[orientation, 0, 0, 0, 0, 0, 0]);
    tiff
}

#[cfg(test)]
mod tests {
    use super::{minimal, orientation};

    #[test]
    fn an_orientation_survives_and_nothing_else_does() {
        for value in 0..=255 {
            let kept = (2..=8).contains(&value).then_some(value);
            assert_eq!(orientation(&minimal(value)), kept, "{value}");
        }
        assert_eq!(orientation(b"II*\0\xff\xff\xff\xff"), None);
    }
}
