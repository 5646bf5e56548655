//! Masks: what of a picture is meant, from nothing (0) to all (255).
use crate::picture::Pictures;

/// A mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mask {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) values: Vec<u8>,
}

impl Mask {
    pub(crate) fn filled(width: usize, height: usize, value: u8) -> Self {
        Self { width, height, values: vec![value; width * height] }
    }

    pub(crate) fn inverted(&self) -> Self {
        self.with(self.values.iter().map(|value| 255 - value).collect())
    }

    fn with(&self, values: Vec<u8>) -> Self {
        Self { values, ..*self }
    }

    /// One channel of a batch's first picture: red, green, blue or alpha.
    pub(crate) fn of_channel(pictures: &Pictures, channel: &str) -> Self {
        let (width, height) = (pictures.width, pictures.height);
        let place = match channel {
            "green" => 1,
            "blue" => 2,
            "alpha" => {
                return pictures
                    .alpha
                    .as_deref()
                    .cloned()
                    .unwrap_or_else(|| Self::filled(width, height, 255));
            }
            _ => 0,
        };
        let pixels = pictures.pixels.first().map(Vec::as_slice).unwrap_or_default();
        Self { width, height, values: pixels.iter().skip(place).step_by(3).copied().collect() }
    }

    pub(crate) fn to_pictures(&self) -> Pictures {
        let pixels = vec![self.values.iter().flat_map(|value| [*value; 3]).collect()];
        Pictures { width: self.width, height: self.height, pixels, alpha: None }
    }

    /// Scaled by nearest neighbours.
    pub(crate) fn scaled(&self, width: usize, height: usize) -> Self {
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            let row = y * self.height / height * self.width;
            values.extend((0..width).map(|x| self.values[row + x * self.width / width]));
        }
        Self { width, height, values }
    }

    /// Each value becomes the largest one so many pixels around.
    pub(crate) fn grown(&self, by: usize) -> Self {
        let along = |values: &[u8], length: usize, step: usize, start: usize| -> Vec<u8> {
            let at = |i: usize| values[start + i * step];
            (0..length)
                .map(|i| (i.saturating_sub(by)..=(i + by).min(length - 1)).map(at).max().unwrap_or(0))
                .collect()
        };
        let mut rows = Vec::with_capacity(self.values.len());
        for y in 0..self.height {
            rows.extend(along(&self.values, self.width, 1, y * self.width));
        }
        let mut values = rows.clone();
        for x in 0..self.width {
            for (y, value) in along(&rows, self.height, self.width, x).into_iter().enumerate() {
                values[y * self.width + x] = value;
            }
        }
        self.with(values)
    }

    /// How much of the picture is meant, from 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        let sum: f64 = self.values.iter().map(|value| f64::from(*value)).sum();
        sum / 255.0 / crate::python::float_of(self.values.len().max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_grows_in_every_direction() {
        let mut mask = Mask::filled(5, 5, 0);
        mask.values[12] = 255;
        let grown = mask.grown(1);
        let rows: Vec<usize> =
            grown.values.chunks(5).map(|row| row.iter().filter(|value| **value > 0).count()).collect();
        assert_eq!(rows, [0, 3, 3, 3, 0]);
        assert!((grown.share() - 9.0 / 25.0).abs() < 1e-9);
        assert_eq!(mask.inverted().inverted(), mask);
    }
}
