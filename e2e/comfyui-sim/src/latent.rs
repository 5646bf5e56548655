//! Latent images, and the `.latent` files in which ComfyUI stores them (safetensors).
use std::sync::Arc;

use serde_json::{Value, json};

use crate::mask::Mask;

/// The number of channels of a latent.
pub(crate) const CHANNELS: usize = 4;
/// The number of pixels per latent value in each direction.
pub(crate) const SCALE: usize = 8;

/// A batch of latent images.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Latent {
    pub(crate) batch: usize,
    /// The width in latent values, which is an eighth of the picture's.
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// The values, in the order batch, channel, height, width.
    pub(crate) data: Vec<f32>,
    /// What of it is to be painted anew; otherwise all.
    pub(crate) mask: Option<Arc<Mask>>,
}

impl Latent {
    pub(crate) fn empty(batch: usize, width: usize, height: usize) -> Self {
        Self { batch, width, height, data: vec![0.0; batch * CHANNELS * width * height], mask: None }
    }

    /// The number of values in one channel of one image.
    pub(crate) fn plane_size(&self) -> usize {
        self.width * self.height
    }

    /// The number of values in one image.
    pub(crate) fn image_size(&self) -> usize {
        CHANNELS * self.plane_size()
    }

    /// The same images so many times.
    pub(crate) fn repeated(&self, times: usize) -> Self {
        Self { batch: self.batch * times, data: self.data.repeat(times), mask: self.mask.clone(), ..*self }
    }

    /// Whether nothing is in it yet.
    pub(crate) fn is_blank(&self) -> bool {
        self.data.iter().all(|value| *value == 0.0)
    }

    /// Scales by nearest neighbours, whatever method the node asks for.
    pub(crate) fn scaled(&self, width: usize, height: usize) -> Self {
        let mut scaled = Self::empty(self.batch, width, height);
        let planes = self.data.chunks_exact(self.plane_size());
        for (plane, target) in planes.zip(scaled.data.chunks_exact_mut(width * height)) {
            for (i, value) in target.iter_mut().enumerate() {
                let (x, y) = (i % width, i / width);
                *value = plane[y * self.height / height * self.width + x * self.width / width];
            }
        }
        scaled.mask.clone_from(&self.mask);
        scaled
    }

    /// The `.latent` file; `metadata` is the text that ComfyUI stores with the tensors.
    pub(crate) fn to_file(&self, metadata: &Value) -> Vec<u8> {
        let size = self.data.len() * size_of::<f32>();
        let mut header = json!({
            "__metadata__": metadata,
            "latent_format_version_0": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]},
            "latent_tensor": {
                "dtype": "F32", "shape": [self.batch, CHANNELS, self.height, self.width], "data_offsets": [0, size],
            },
        })
        .to_string();
        // Safetensors aligns the data to 8 bytes with spaces.
        header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        file.extend(self.data.iter().flat_map(|value| value.to_le_bytes()));
        file
    }

    /// Reads a `.latent` file; the error is the message of the safetensors library.
    pub(crate) fn from_file(file: &[u8]) -> Result<Self, String> {
        let broken = |why: &str| format!("Error while deserializing header: {why}");
        let (length, rest) = file.split_first_chunk::<8>().ok_or_else(|| broken("header too small"))?;
        let length = u64::from_le_bytes(*length);
        if length > 100_000_000 {
            return Err(broken("header too large"));
        }
        let length = usize::try_from(length).map_err(|_| broken("header too large"))?;
        let (header, data) = rest.split_at_checked(length).ok_or_else(|| broken("invalid header length"))?;
        let header: Value =
            serde_json::from_slice(header).map_err(|_| broken("invalid header deserialization"))?;
        let tensor = &header["latent_tensor"];
        let whole = |value: &Value| value.as_u64().and_then(|value| usize::try_from(value).ok());
        let numbers = |field: &str| -> Vec<usize> {
            tensor[field].as_array().into_iter().flatten().filter_map(whole).collect()
        };
        let (&[batch, CHANNELS, height, width], &[start, end]) =
            (&numbers("shape")[..], &numbers("data_offsets")[..])
        else {
            return Err("'latent_tensor'".to_owned());
        };
        let data = data.get(start..end).ok_or_else(|| broken("MetadataIncompleteBuffer"))?;
        if data.len() != batch * CHANNELS * height * width * size_of::<f32>() {
            return Err(broken("TensorInvalidInfo"));
        }
        let data = data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok(Self { batch, width, height, data, mask: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latent_survives_its_file_to_the_last_bit() {
        let mut latent = Latent::empty(1, 9, 7);
        for (value, i) in latent.data.iter_mut().zip(0_u16..) {
            *value = f32::from(i).sin() * 14.6;
        }
        let file = latent.to_file(&json!({"prompt": "{}"}));
        assert_eq!(Latent::from_file(&file), Ok(latent));
    }

    #[test]
    fn a_file_that_is_none_is_refused_as_by_safetensors() {
        let error = Latent::from_file(b"not safetensors").unwrap_err();
        assert_eq!(error, "Error while deserializing header: header too large");
    }
}
