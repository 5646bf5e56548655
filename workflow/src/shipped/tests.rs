use super::*;

#[test]
fn a_file_s_name_tells_its_family() {
    let table = [
        ("v1-5-pruned-emaonly.safetensors", Some(Family::SD15)),
        ("sd_xl_base_1.0.safetensors", Some(Family::SDXL)),
        ("juggernautXL_v9.safetensors", None),
        ("sub/dreamshaper-xl.safetensors", Some(Family::SDXL)),
        ("sd_xl_turbo_1.0_fp16.safetensors", Some(Family::SDXLTurbo)),
        ("sdxl_lightning_4step.safetensors", Some(Family::SDXLLightning)),
        ("sd3.5_large_fp8_scaled.safetensors", Some(Family::SD35)),
        ("sd3_medium_incl_clips.safetensors", Some(Family::SD35)),
        ("flux1-dev.safetensors", Some(Family::FLUX1Dev)),
        ("flux1-krea-dev_fp8_scaled.safetensors", Some(Family::FLUX1Dev)),
        ("FLUX.1-schnell.gguf", Some(Family::FLUX1Schnell)),
        ("flux2_dev_fp8mixed.safetensors", Some(Family::FLUX2)),
        ("FLUX.2-dev.safetensors", Some(Family::FLUX2)),
        ("qwen_image_2512_fp8_e4m3fn.safetensors", Some(Family::QwenImage)),
        ("z_image_turbo_bf16.safetensors", Some(Family::ZImage)),
        ("my-style.safetensors", None),
    ];
    for (name, family) in table {
        assert_eq!(family_of(name), family, "{name}");
    }
}

#[test]
fn every_recipe_that_ships_can_be_read_and_is_found() {
    assert_eq!(READ.len(), TEXTS.len());
    for (name, recipe) in READ.iter() {
        assert_eq!(recipe.metadata.name.as_deref(), Some(*name));
    }
    for family in Family::ALL {
        assert!(
            text_to_image_recipe(family).is_some() && image_to_image_recipe(family).is_some(),
            "{family:?}"
        );
    }
    assert!(text_to_image_recipe(Family::Unknown).is_none());
}
