use std::collections::HashSet;

use queue::{Cut, SeedAt};

use super::*;

#[test]
fn work_that_a_newer_operator_knows_waits_for_it() {
    let of_type = |kind: &str| job_with(json!({"spec": {"work": {"type": kind, "textToImage": null}}}));
    let table = [
        (of_type("Upscale"), "this operator does not know spec.work.type; a newer one does"),
        (
            from_text(&json!({"family": "SD9"})),
            "this operator does not know the family of model \"v1-5.safetensors\"; a newer one does",
        ),
    ];
    for (job, message) in table {
        refused(&job, &references(), JobReason::WorkTypeUnknown, Course::Waits, message);
    }
    let without = "spec.work has no field of the name that its type gives";
    refused(&of_type("TextToImage"), &references(), JobReason::WorkflowInvalid, Course::Ends, without);
}

#[test]
fn units_grow_with_steps_and_area() {
    for (width, height, steps, units) in
        [(512, 512, 20, 20.0), (1024, 1024, 20, 80.0), (512, 768, 30, 45.0), (64, 64, 1, 0.015_625)]
    {
        let job = from_text(&json!({"width": width, "height": height, "steps": steps}));
        assert_eq!(accepted(&job, &references()).job.units, units);
        assert_eq!(record(&job).units(), Some(units), "as scaling learns it");
    }
    assert_eq!(record(&job()).units(), None, "what is left to the family is known once the job is accepted");
}

#[test]
fn a_seed_is_kept_and_a_drawn_one_is_the_jobs_own_and_leaves_room_for_all_its_images() {
    const LARGEST: u64 = (1 << 53) - 1;
    let given = from_text(&json!({"seed": 42}));
    assert_eq!(accepted(&given, &references()).terms.seed, Some(42));
    let uid = |n: u128| {
        format!("{:08x}-{:04x}-4000-8000-{:012x}", n % 7919, n % 65_536, n * 0x1234_5678_9abc % (1 << 48))
    };
    let mut drawn = HashSet::new();
    for n in 0..200 {
        let job = job_with(json!({"metadata": {"uid": uid(n)}}));
        let first = accepted(&job, &references());
        let seed = first.terms.seed.unwrap();
        assert_eq!(
            accepted(&job, &references()).terms.seed,
            Some(seed),
            "the same however often it is asked"
        );
        assert!(seed + 10_000 <= LARGEST, "{seed}");
        let at = SeedAt { node: "3".into(), input: "seed".into(), first: seed, counts: true };
        assert_eq!(task_of(&first).seeds, [at], "what the worker is told");
        drawn.insert(seed);
    }
    assert_eq!(drawn.len(), 200, "jobs draw different seeds");
}

#[test]
fn seeds_are_exact_up_to_the_largest_and_count_as_far_as_the_job_has_images() {
    let largest = u64::MAX.to_string();
    let text = |seed: &Value, same: bool| {
        let spec = json!({"sameSeed": same, "work": {"textToImage": {"seed": seed}}});
        job_with(json!({"spec": spec}))
    };
    let inline =
        |seed: &Value| of_images(4, with_graph(&json!({"3": {"inputs": {"seed": seed}}}), &json!({})));
    let table = [
        ("the largest", of_images(1, text(&json!(largest), false)), u64::MAX, true),
        ("the last that counts to it", text(&json!((u64::MAX - 3).to_string()), false), u64::MAX - 3, true),
        ("the largest for all", text(&json!(largest), true), u64::MAX, false),
        (
            "a decimal text in a graph",
            inline(&json!("15555555555555555555")),
            15_555_555_555_555_555_555,
            true,
        ),
    ];
    for (name, job, first, counts) in table {
        let accepted = accepted(&job, &references());
        let at = SeedAt { node: "3".into(), input: "seed".into(), first, counts };
        let task = task_of(&accepted);
        assert_eq!(task.graph["3"]["inputs"]["seed"], json!(first), "{name}: the engine is given a number");
        assert_eq!((task.seeds, accepted.terms.seed), (vec![at], Some(first)), "{name}");
    }
    let message = "spec.work.textToImage.seed 18446744073709551615 can't be counted up for 4 images";
    refused(&text(&json!(largest), false), &references(), JobReason::WorkflowInvalid, Course::Ends, message);
}

#[test]
fn workers_are_told_all_of_a_text_to_image() {
    let job = job_with(json!({"spec": {"timeoutSeconds": 60, "work": {"textToImage": {
        "negativePrompt": "blurry", "width": 512, "height": 768, "steps": 30, "cfgScale": "6.5",
        "sampler": "dpmpp_2m", "scheduler": "karras", "seed": 7}}}}));
    let TaskSpec {
        graph,
        seeds,
        inputs,
        cut,
        outputs,
        form: _,
        black_is_wrong,
        labels: _,
        traceparent: _,
        timeout_seconds,
    } = task_of(&accepted(&job, &references()));
    let of = |id: &str, input: &str| graph[id]["inputs"][input].clone();
    assert_eq!(of("4", "ckpt_name"), "v1-5.safetensors");
    assert_eq!((of("6", "text"), of("7", "text")), (json!("a lighthouse at dusk"), json!("blurry")));
    assert_eq!((of("5", "width"), of("5", "height")), (json!(512), json!(768)));
    assert_eq!((of("3", "steps"), of("3", "cfg"), of("3", "seed")), (json!(30), json!(6.5), json!(7)));
    assert_eq!((of("3", "sampler_name"), of("3", "scheduler")), (json!("dpmpp_2m"), json!("karras")));
    assert_eq!(seeds, [SeedAt { node: "3".into(), input: "seed".into(), first: 7, counts: true }]);
    assert_eq!((inputs, cut, outputs), (vec![], None, vec!["9".to_owned()]));
    assert_eq!((black_is_wrong, timeout_seconds), (true, 60));
}

#[test]
fn segments_are_decided_once() {
    let told = |job: &ImageJob, references: &References, seconds: f64| {
        let accepted = validated_at(job, references, seconds).unwrap();
        let cut = task_of(&accepted).cut;
        let segments = cut.as_ref().map_or(1, |cut| cut.segments);
        assert_eq!(accepted.terms.segments, Some(segments), "what the worker is told");
        assert!(cut.is_none_or(|cut| cut == Cut { sampler: "3".into(), steps: 20, segments }));
        segments
    };
    assert_eq!(told(&job(), &references(), 45.0), 4);
    let longer = with_pool(json!({"spec": {"segmentSeconds": 20}}));
    assert_eq!(told(&job(), &longer, 45.0), 2, "as the pool says");
    let immediate = job_with(json!({"spec": {"class": "immediate"}}));
    assert_eq!(told(&immediate, &references(), 45.0), 1, "it runs on demand");

    // The pool has learned since, or was changed.
    let before = job_with(json!({"status": {"pool": pool_of("sd15"), "segments": 3}}));
    assert_eq!(told(&before, &references(), 45.0), 3);
    assert_eq!(told(&before, &references(), 4.0), 3);
    let whole = job_with(json!({"status": {"pool": pool_of("sd15")}}));
    assert_eq!(told(&whole, &references(), 45.0), 1, "it was accepted to be made in one piece");
}

#[test]
fn a_model_gets_its_familys_graph() {
    let accepted = accepted(&from_text(&json!({"model": "flux1-dev.safetensors"})), &references());
    let graph = task_of(&accepted).graph;
    let class = |id: &str| graph[id]["class_type"].as_str().unwrap();
    assert_eq!((class("4"), class("11"), class("13")), ("UNETLoader", "DualCLIPLoader", "FluxGuidance"));
    assert_eq!(graph["4"]["inputs"]["unet_name"], "flux1-dev.safetensors");
    assert_eq!(accepted.job.units, 80.0, "20 steps at 1024 × 1024");
    let model = "ae.safetensors+clip_l.safetensors+flux1-dev.safetensors+t5xxl_fp16.safetensors";
    assert_eq!((accepted.job.model.as_str(), accepted.job.work.as_str()), (model, "t:flux1-dev.safetensors"));
}

#[test]
fn what_the_pool_says_of_a_model_counts_unless_the_job_says_otherwise() {
    let listed = json!({"name": "painter.safetensors", "family": "FLUX1Dev",
        "inputs": {"textEncoder2": "t5xxl_fp8.safetensors", "vae": "pool.safetensors"}});
    let references = with_pool(json!({"spec": {"models": [listed]}}));
    let made = |more: &Value| {
        let mut asked = json!({"model": "painter.safetensors"});
        json_patch::merge(&mut asked, more);
        let accepted = accepted(&from_text(&asked), &references);
        let graph = task_of(&accepted).graph;
        let vae = graph.get("10").and_then(|node| node["inputs"]["vae_name"].as_str()).map(str::to_owned);
        (graph["4"]["class_type"].clone(), vae, accepted.job.model)
    };
    let model = "clip_l.safetensors+painter.safetensors+pool.safetensors+t5xxl_fp8.safetensors".to_owned();
    assert_eq!(made(&json!({})), (json!("UNETLoader"), Some("pool.safetensors".into()), model));
    let (_, vae, model) = made(&json!({"vae": "mine.safetensors"}));
    assert_eq!(vae.as_deref(), Some("mine.safetensors"));
    assert_eq!(model, "clip_l.safetensors+mine.safetensors+painter.safetensors+t5xxl_fp8.safetensors");
    let own_family = json!({"family": "SD15"});
    assert_eq!(made(&own_family), (json!("CheckpointLoaderSimple"), None, "painter.safetensors".into()));
}

#[test]
fn values_that_a_pool_gives_for_a_model_are_checked_and_counted_as_a_jobs_own() {
    let with = |inputs: Value| {
        let listed = json!({"name": "v1-5.safetensors", "family": "SD15", "inputs": inputs});
        with_pool(json!({"spec": {"models": [listed], "limits": {"maxSteps": 50}}}))
    };
    let numbers = with(json!({"steps": 40, "width": 1024, "cfgScale": "6.5"}));
    let accepted = accepted(&job(), &numbers);
    assert_eq!(accepted.job.units, 80.0, "40 steps at 1024 × 512");
    assert_eq!(task_of(&accepted).graph["3"]["inputs"]["cfg"], json!(6.5), "a decimal text is a number");
    let own = from_text(&json!({"steps": 10, "width": 512, "height": 512}));
    assert_eq!(self::accepted(&own, &numbers).job.units, 10.0, "the job's own values count first");

    let at = "spec.models[v1-5.safetensors].inputs";
    let table = [
        (
            json!({"steps": 5000}),
            format!("{at}.steps of the pool: is 5000; give a whole number from 1 to 1000"),
        ),
        (json!({"prompts": "x"}), format!("{at}.prompts of the pool: the recipe has no such input; ")),
    ];
    for (inputs, message) in table {
        let problem = validated(&job(), &with(inputs)).unwrap_err();
        assert_eq!((problem.reason, problem.course), (JobReason::RecipeInvalid, Course::Waits));
        assert!(problem.message.starts_with(&message), "{}", problem.message);
    }
    let message = "60 steps, and the pool allows at most 50 (spec.limits.maxSteps)";
    refused(&job(), &with(json!({"steps": 60})), JobReason::LimitExceeded, Course::Waits, message);
}

#[test]
fn what_a_family_does_not_take_ends_the_job() {
    let asked = json!({"model": "flux1-dev.safetensors", "negativePrompt": "blurry"});
    let message =
        "spec.work.textToImage.negativePrompt: models of the family FLUX1Dev take none; leave it out";
    refused(&from_text(&asked), &references(), JobReason::WorkflowInvalid, Course::Ends, message);
}

#[test]
fn what_the_pool_does_not_allow_waits_for_the_pool() {
    let plain = || from_text(&json!({"width": 512, "height": 512, "steps": 20}));
    let table = [
        (
            json!({"workflows": false}),
            with_inputs(&json!({})),
            "the pool takes no workflows (spec.limits.workflows)",
        ),
        (
            json!({"models": ["sdxl/*"]}),
            plain(),
            "model \"v1-5.safetensors\" is not one that the pool allows: sdxl/* (spec.limits.models)",
        ),
        (
            json!({"models": ["v1-5.safetensors"]}),
            from_text(&json!({"loras": [{"name": "style.safetensors"}]})),
            "model \"style.safetensors\" is not one that the pool allows: v1-5.safetensors (spec.limits.models)",
        ),
        (json!({"maxCount": 3}), plain(), "4 images, and the pool allows at most 3 (spec.limits.maxCount)"),
        (json!({"maxSteps": 19}), plain(), "20 steps, and the pool allows at most 19 (spec.limits.maxSteps)"),
        (
            json!({"maxSteps": 20}),
            with_inputs(&json!({})),
            "30 steps, and the pool allows at most 20 (spec.limits.maxSteps)",
        ),
        (
            json!({"maxPixels": 262_143}),
            plain(),
            "262144 pixels, and the pool allows at most 262143 (spec.limits.maxPixels)",
        ),
        (
            json!({"maxPixels": 1_000_000}),
            with_graph(
                &json!({"5": {"class_type": "EmptyLatentImage", "inputs": {"width": ["1", 0], "height": 1024}},
                        "1": {"class_type": "PrimitiveInt", "inputs": {"value": 1024}}}),
                &json!({}),
            ),
            "1048576 pixels, and the pool allows at most 1000000 (spec.limits.maxPixels)",
        ),
        (
            json!({"denyNodes": ["save*"]}),
            with_inputs(&json!({})),
            "node 9: the pool does not run nodes of class \"SaveImage\", by its rule \"save*\" (spec.limits.denyNodes)",
        ),
        (
            json!({}),
            with_graph(&json!({"20": {"class_type": "LoadImageFromUrl"}}), &json!({})),
            "node 20: the pool does not run nodes of class \"LoadImageFromUrl\", by its rule \"*FromUrl*\" of @default \
             (spec.limits.denyNodes)",
        ),
        (
            json!({"denyNodes": ["KSampler"]}),
            plain(),
            "node 3: the pool does not run nodes of class \"KSampler\", by its rule \"KSampler\" (spec.limits.denyNodes)",
        ),
    ];
    for (limits, mut job, message) in table {
        let strict = with_pool(json!({"spec": {"limits": limits}}));
        refused(&job, &strict, JobReason::LimitExceeded, Course::Waits, message);
        job.status = serde_json::from_value(json!({"pool": pool_of("sd15")})).unwrap();
        assert!(validated(&job, &strict).is_ok(), "what was accepted before stays so: {message}");
    }
    let just = json!({"workflows": false, "models": ["v1-*"], "maxCount": 4, "maxSteps": 20, "maxPixels": 262_144,
                      "denyNodes": ["*Url*"]});
    assert!(validated(&plain(), &with_pool(json!({"spec": {"limits": just}}))).is_ok());
}
