//! What the custom samplers are given: noise, guiders, samplers and noise levels.
use super::{Data, Guider, Inputs, Made, Schedule};
use crate::{exception::Exception, files::Files};

pub(super) fn run(class: &str, inputs: &Inputs<'_>, _files: &Files) -> Result<Option<Made>, Exception> {
    let schedule = |scheduler: &str, denoise: f64| {
        let (scheduler, steps) = (scheduler.to_owned(), inputs.int("steps"));
        Data::Sigmas(Schedule { scheduler, steps, denoise, taken: (0, usize::MAX) }).into()
    };
    Ok(Some(match class {
        "RandomNoise" => Data::Noise(Some(inputs.int("noise_seed"))).into(),
        "DisableNoise" => Data::Noise(None).into(),
        "KSamplerSelect" => Data::Sampler(inputs.text("sampler_name").to_owned()).into(),
        "BasicScheduler" => schedule(inputs.text("scheduler"), inputs.float("denoise")),
        "SDTurboScheduler" => schedule("sgm_uniform", inputs.float("denoise")),
        "Flux2Scheduler" | "KarrasScheduler" | "ExponentialScheduler" | "BetaSamplingScheduler" => {
            schedule(&class.replace("Scheduler", "").to_lowercase(), 1.0)
        }
        "SplitSigmas" => {
            let schedule = sigmas(inputs)?;
            let (start, end) = schedule.taken;
            let cut = start.saturating_add(inputs.int("step"));
            let of = |taken| Data::Sigmas(Schedule { taken, ..schedule.clone() });
            Made { data: vec![of((start, cut.min(end))), of((cut, end))], shown: None }
        }
        "BasicGuider" => {
            let words = inputs.conditioning("conditioning")?;
            let (model, negative) = (inputs.model()?, words.clone());
            Data::Guider(Guider { model, positive: words, negative, cfg: 1.0 }).into()
        }
        "CFGGuider" => Data::Guider(Guider {
            model: inputs.model()?,
            positive: inputs.conditioning("positive")?,
            negative: inputs.conditioning("negative")?,
            cfg: inputs.float("cfg"),
        })
        .into(),
        _ => return Ok(None),
    }))
}

fn sigmas<'i>(inputs: &'i Inputs<'_>) -> Result<&'i Schedule, Exception> {
    match inputs.linked.get("sigmas") {
        Some(Data::Sigmas(schedule)) => Ok(schedule),
        _ => Err(Exception::not_subscriptable()),
    }
}
