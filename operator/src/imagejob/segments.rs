//! In how many segments a picture is made: as many as pay. Pure.
//!
//! A cut cost 10 ms when it was measured (ComfyUI 0.3.64 on a CPU); at five times that, segments of ten seconds cost half
//! a percent. What they save: a lost machine costs half a segment, not half a picture.

use crds::ClassCapacity;
use workflow::Graph;

/// More would only make small latents many.
const MAX_SEGMENTS: u32 = 32;

/// Samplers that can be cut: each draws noise once, before its first step. euler, ddim, heun and dpm_2 look at nothing
/// but the latent, so a cut changes it by rounding only (measured: 2e-7). The others also look at the steps before, and
/// after a cut begin as at the start of a picture (measured for dpmpp_2m, lms and uni_pc: 3 to 30 percent of the pixels
/// change by 1 or 2 of 255).
///
/// Not among them are samplers that draw noise at every step (`*_ancestral*`, `*_sde*`, `lcm`, `ddpm`, `seeds_*`,
/// `sa_solver*`): after a cut their noise begins anew, and the picture would be another one. Nor those that choose
/// their steps by where they begin and end (`dpm_fast`, `dpm_adaptive`, `heunpp2`), nor any we do not know.
const CAN_BE_CUT: [&str; 12] = [
    "euler",
    "ddim",
    "heun",
    "dpm_2",
    "lms",
    "dpmpp_2m",
    "uni_pc",
    "uni_pc_bh2",
    "ipndm",
    "ipndm_v",
    "deis",
    "res_multistep",
];

/// The sampler and the steps of a KSampler node that can be cut; `None` for any other node, and for one that does not
/// begin with noise alone or whose settings come from other nodes.
pub(crate) fn can_be_cut<'a>(graph: &'a Graph, id: &str) -> Option<(&'a str, u32)> {
    let node = graph.get(id).filter(|node| node["class_type"] == "KSampler")?;
    let inputs = &node["inputs"];
    let begins_with_noise = inputs["denoise"].as_f64() == Some(1.0);
    let steps = u32::try_from(inputs["steps"].as_u64()?).ok()?;
    Some((inputs["sampler_name"].as_str()?, steps)).filter(|_| begins_with_noise)
}

/// `picture_seconds`: what it should take. `segment_seconds`: what a segment should take at least; 0: there shall be
/// but one.
pub(crate) fn segments(
    sampler: &str,
    steps: u32,
    capacity: ClassCapacity,
    picture_seconds: f64,
    segment_seconds: u32,
) -> u32 {
    let lasts = capacity == ClassCapacity::OnDemand;
    if lasts || segment_seconds == 0 || !CAN_BE_CUT.contains(&sampler) {
        return 1;
    }
    let fit = picture_seconds / f64::from(segment_seconds);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped to the range
    let fit = fit.clamp(1.0, f64::from(MAX_SEGMENTS)) as u32;
    fit.min(steps)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_sampler_that_begins_with_noise_and_has_its_settings_can_be_cut() {
        let of = |class: &str, steps: serde_json::Value, denoise: f64| {
            let inputs = json!({"steps": steps, "denoise": denoise, "sampler_name": "euler"});
            let graph = json!({"3": {"class_type": class, "inputs": inputs}});
            can_be_cut(graph.as_object().unwrap(), "3").map(|(sampler, steps)| (sampler.to_owned(), steps))
        };
        assert_eq!(of("KSampler", json!(20), 1.0), Some(("euler".to_owned(), 20)));
        assert_eq!(of("KSampler", json!(20), 0.6), None);
        assert_eq!(of("KSampler", json!(["9", 0]), 1.0), None);
        assert_eq!(of("SamplerCustom", json!(20), 1.0), None);
    }

    #[test]
    fn a_picture_has_as_many_segments_as_pay() {
        let table = [
            ("shorter than two segments", "euler", 20, 19.9, 10, 1),
            ("two fit", "euler", 20, 20.0, 10, 2),
            ("five and a half fit", "dpmpp_2m", 50, 55.0, 10, 5),
            ("very long", "euler", 1000, 86_400.0, 10, 32),
            ("no more than steps", "euler", 3, 600.0, 10, 3),
            ("switched off", "euler", 20, 600.0, 0, 1),
            ("its noise would begin anew", "euler_ancestral", 20, 600.0, 10, 1),
            ("likewise", "dpmpp_2m_sde", 20, 600.0, 10, 1),
            ("likewise", "lcm", 20, 600.0, 10, 1),
            ("unknown", "somebodys_own", 20, 600.0, 10, 1),
        ];
        for (why, sampler, steps, seconds, segment, expected) in table {
            assert_eq!(segments(sampler, steps, ClassCapacity::Spot, seconds, segment), expected, "{why}");
        }
    }

    #[test]
    fn machines_that_stay_need_no_cuts() {
        assert_eq!(segments("euler", 20, ClassCapacity::OnDemand, 600.0, 10), 1);
        assert_eq!(segments("euler", 20, ClassCapacity::SpotThenOnDemand, 600.0, 10), 20);
    }
}
