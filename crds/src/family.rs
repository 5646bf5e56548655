use serde::{Deserialize, Serialize};

/// A family of models: all of one family are run by the same graph, see docs/models.md.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Stable Diffusion 1.x and 2.x, in one checkpoint.
    SD15,
    /// Stable Diffusion XL, in one checkpoint.
    SDXL,
    /// SDXL Turbo: 1 to 4 steps without guidance.
    SDXLTurbo,
    /// SDXL Lightning: 4 to 8 steps without guidance.
    SDXLLightning,
    /// Stable Diffusion 3 and 3.5.
    SD35,
    /// FLUX.1 dev, with distilled guidance.
    FLUX1Dev,
    /// FLUX.1 schnell: 4 steps without guidance.
    FLUX1Schnell,
    /// FLUX.2.
    FLUX2,
    /// Qwen-Image.
    QwenImage,
    /// Z-Image.
    ZImage,
    /// A family that this program does not know: a newer API has it. A job that needs it waits.
    #[serde(other)]
    Unknown,
}

impl Family {
    /// All that are known, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::SD15,
        Self::SDXL,
        Self::SDXLTurbo,
        Self::SDXLLightning,
        Self::SD35,
        Self::FLUX1Dev,
        Self::FLUX1Schnell,
        Self::FLUX2,
        Self::QwenImage,
        Self::ZImage,
    ];

    /// Its name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SD15 => "SD15",
            Self::SDXL => "SDXL",
            Self::SDXLTurbo => "SDXLTurbo",
            Self::SDXLLightning => "SDXLLightning",
            Self::SD35 => "SD35",
            Self::FLUX1Dev => "FLUX1Dev",
            Self::FLUX1Schnell => "FLUX1Schnell",
            Self::FLUX2 => "FLUX2",
            Self::QwenImage => "QwenImage",
            Self::ZImage => "ZImage",
            Self::Unknown => "Unknown",
        }
    }
}
