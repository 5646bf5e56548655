use std::io::Cursor;

use bytes::Bytes;
use png::{ColorType, Decoder, DecodingError, Transformations};

/// A PNG, looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// The file.
    pub(crate) png: Bytes,
    /// Pixels.
    pub(crate) width: u32,
    /// Pixels.
    pub(crate) height: u32,
    /// Not one pixel has a colour: what the engine makes of numbers that overflowed, and calls a success.
    pub(crate) black: bool,
}

impl Image {
    /// Reads the size and looks for colour; stops at the first row that has some, so ordinary pictures are
    /// hardly decoded at all.
    ///
    /// # Errors
    /// When it is not a PNG, or a broken one.
    pub(crate) fn read(png: Bytes) -> Result<Self, DecodingError> {
        let mut decoder = Decoder::new(Cursor::new(&png));
        decoder.set_transformations(Transformations::normalize_to_color8());
        let mut reader = decoder.read_info()?;
        let (width, height) = reader.info().size();
        let (samples, colours) = match reader.output_color_type().0 {
            ColorType::Grayscale | ColorType::Indexed => (1, 1),
            ColorType::GrayscaleAlpha => (2, 1),
            ColorType::Rgb => (3, 3),
            ColorType::Rgba => (4, 3),
        };
        let coloured = |row: &[u8]| {
            row.chunks_exact(samples).any(|pixel| pixel[..colours].iter().any(|&sample| sample != 0))
        };
        let mut black = true;
        while black {
            let Some(row) = reader.next_row()? else { break };
            black = !coloured(row.data());
        }
        Ok(Self { png, width, height, black })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use png::{BitDepth, ColorType, Encoder};

    use super::Image;

    fn png(color: ColorType, depth: BitDepth, data: &[u8]) -> Bytes {
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, 2, 2);
        encoder.set_color(color);
        encoder.set_depth(depth);
        let mut writer = encoder.write_header().expect("a header");
        writer.write_image_data(data).expect("pixels");
        writer.finish().expect("a file");
        file.into()
    }

    #[test]
    fn black_is_told_from_dark() {
        let mut dark = [0; 12];
        dark[11] = 1;
        let opaque: Vec<u8> = [0, 0, 0, 255].repeat(4);
        let table = [
            (png(ColorType::Rgb, BitDepth::Eight, &[0; 12]), true),
            (png(ColorType::Rgb, BitDepth::Eight, &dark), false),
            (png(ColorType::Rgba, BitDepth::Eight, &opaque), true),
            (png(ColorType::Grayscale, BitDepth::Eight, &[0; 4]), true),
            (png(ColorType::Grayscale, BitDepth::One, &[0b0100_0000, 0]), false),
            (png(ColorType::Rgb, BitDepth::Sixteen, &[1; 24]), false),
        ];
        for (i, (file, black)) in table.into_iter().enumerate() {
            let image = Image::read(file).expect("a PNG");
            assert_eq!((image.width, image.height, image.black), (2, 2, black), "row {i}");
        }
    }

    #[test]
    fn what_is_no_png_is_refused() {
        Image::read(Bytes::from_static(b"RIFF....WEBP")).expect_err("not a PNG");
        let whole = png(ColorType::Rgb, BitDepth::Eight, &[0; 12]);
        Image::read(whole.slice(..40)).expect_err("cut off");
    }
}
