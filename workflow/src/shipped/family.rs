//! Families of models.

use crds::Family;

/// The family's name in the names of recipes.
pub(super) const fn slug(family: Family) -> Option<&'static str> {
    Some(match family {
        Family::SD15 => "sd15",
        Family::SDXL => "sdxl",
        Family::SDXLTurbo => "sdxl-turbo",
        Family::SDXLLightning => "sdxl-lightning",
        Family::SD35 => "sd35",
        Family::FLUX1Dev => "flux1-dev",
        Family::FLUX1Schnell => "flux1-schnell",
        Family::FLUX2 => "flux2",
        Family::QwenImage => "qwen-image",
        Family::ZImage => "z-image",
        Family::Unknown => return None,
    })
}

/// The family that a model's file name tells of, or none. Only the words that families use of themselves count, since a
/// wrong graph makes wrong images.
#[must_use]
pub fn family_of(model: &str) -> Option<Family> {
    let name: String =
        model.to_ascii_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let joined = name.replace('-', "");
    let has = |part: &str| joined.contains(part);
    let xl = has("sdxl") || name.split('-').any(|word| word == "xl");
    let found = if has("qwenimage") {
        Family::QwenImage
    } else if has("zimage") {
        Family::ZImage
    } else if has("flux2") {
        Family::FLUX2
    } else if has("flux") && has("schnell") {
        Family::FLUX1Schnell
    } else if has("flux") {
        Family::FLUX1Dev
    } else if xl && has("turbo") {
        Family::SDXLTurbo
    } else if xl && has("lightning") {
        Family::SDXLLightning
    } else if xl {
        Family::SDXL
    } else if has("sd35") || has("sd3medium") || has("stablediffusion3") {
        Family::SD35
    } else if has("v15") || has("sd15") || has("sdv15") || has("v14") || has("v21") || has("sd21") {
        Family::SD15
    } else {
        return None;
    };
    Some(found)
}
