//! What the engine gets of a stranger's file: a PNG of a picture's pixels, or a file of a kind that its nodes load.

use bytes::Bytes;
use media::{BadInput, Limits, MediaType, check_input, clean_input};
use queue::InputKind;

/// A file for the engine, and the extension by which its nodes know it. What a file is, its bytes say: not its name, nor
/// its content type. Takes as long as its pixels take: to be called where nobody waits.
pub(super) fn clean(
    file: &Bytes,
    kind: InputKind,
    max_pixels: Option<u64>,
) -> Result<(Bytes, &'static str), BadInput> {
    let found = MediaType::sniff(file, "");
    let most = Limits::default();
    // The limit of bytes is the input's own, and was kept.
    let limits = Limits {
        bytes: u64::MAX,
        pixels: max_pixels.map_or(most.pixels, |pixels| pixels.min(most.pixels)),
        ..most
    };
    if kind == InputKind::Picture || found.is_picture() {
        return Ok((clean_input(file, &limits)?.bytes.into(), MediaType::Png.extension()));
    }
    check_input(file, "", &limits)?;
    Ok((file.clone(), found.extension()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_of_more_pixels_than_the_input_may_have_is_refused() {
        let mut png = Vec::new();
        let mut encoder = png::Encoder::new(&mut png, 8, 4);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().and_then(|mut writer| writer.write_image_data(&[0; 32])).unwrap();
        let png = Bytes::from(png);
        assert!(clean(&png, InputKind::Picture, Some(32)).is_ok());
        assert!(clean(&png, InputKind::Picture, None).is_ok());
        let refused = clean(&png, InputKind::File, Some(31)).unwrap_err();
        assert!(matches!(refused, BadInput::TooManyPixels { .. }), "{refused}");
    }
}
