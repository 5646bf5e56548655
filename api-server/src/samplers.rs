//! Samplers and noise schedules by the names that A1111's web UI gave them, which many clients use. The engine's own names
//! are taken too.

/// The web UI's name, and the engine's.
pub(crate) const SAMPLERS: [(&str, &str); 10] = [
    ("Euler a", "euler_ancestral"),
    ("Euler", "euler"),
    ("DPM++ 2M", "dpmpp_2m"),
    ("DPM++ SDE", "dpmpp_sde"),
    ("DPM++ 2M SDE", "dpmpp_2m_sde"),
    ("Heun", "heun"),
    ("LMS", "lms"),
    ("DDIM", "ddim"),
    ("UniPC", "uni_pc"),
    ("LCM", "lcm"),
];

/// The web UI's name, and the engine's.
pub(crate) const SCHEDULERS: [(&str, &str); 8] = [
    ("Automatic", "normal"),
    ("Normal", "normal"),
    ("Karras", "karras"),
    ("Exponential", "exponential"),
    ("SGM Uniform", "sgm_uniform"),
    ("Simple", "simple"),
    ("DDIM", "ddim_uniform"),
    ("Beta", "beta"),
];

/// The schedule that older clients put behind the sampler's name.
const KARRAS: &str = " karras";

/// The engine's names of a sampler and a schedule. Names that are not listed pass as they are.
pub(crate) fn engine_names(
    sampler: Option<String>,
    scheduler: Option<String>,
) -> (Option<String>, Option<String>) {
    let Some(sampler) = sampler else { return (None, scheduler.map(|name| engine_name(&SCHEDULERS, name))) };
    let stem = sampler.len().checked_sub(KARRAS.len()).and_then(|end| sampler.split_at_checked(end));
    match stem.filter(|(_, ending)| ending.eq_ignore_ascii_case(KARRAS)) {
        Some((stem, _)) => (Some(engine_name(&SAMPLERS, stem.to_owned())), Some("karras".to_owned())),
        None => (Some(engine_name(&SAMPLERS, sampler)), scheduler.map(|name| engine_name(&SCHEDULERS, name))),
    }
}

fn engine_name(names: &[(&str, &str)], name: String) -> String {
    let found = names.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim()));
    found.map_or(name, |(_, engine)| (*engine).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_web_uis_names_become_the_engines() {
        for (sampler, scheduler, wanted) in [
            (Some("Euler a"), None, (Some("euler_ancestral"), None)),
            (Some("DPM++ 2M Karras"), Some("Automatic"), (Some("dpmpp_2m"), Some("karras"))),
            (Some("DPM++ 2M SDE"), Some("karras"), (Some("dpmpp_2m_sde"), Some("karras"))),
            (Some("UniPC"), Some("automatic"), (Some("uni_pc"), Some("normal"))),
            (Some("res_multistep"), Some("sgm_uniform"), (Some("res_multistep"), Some("sgm_uniform"))),
            (None, Some("SGM Uniform"), (None, Some("sgm_uniform"))),
            (Some("é karras"), None, (Some("é"), Some("karras"))),
            (Some("日本語日本語"), None, (Some("日本語日本語"), None)),
        ] {
            let (a, b) = engine_names(sampler.map(str::to_owned), scheduler.map(str::to_owned));
            assert_eq!((a.as_deref(), b.as_deref()), wanted, "{sampler:?} {scheduler:?}");
        }
    }
}
