//! Every graph that ships, with every option, against the node definitions of a real engine.

use std::collections::BTreeMap;

use crds::{ControlNet, Decimal, Family, ImageToImage, Lora, Sampling, TextToImage};
use workflow::{JobFacts, Rendered, check, check_paths, default_denied, denied, files};

use crate::recorded::ANY_FILES as ENGINE;

const JOB: JobFacts<'static> =
    JobFacts { files: &["photo", "hole", "edges"], count: 4, same_seed: false, drawn_seed: Some(7) };

fn plain(family: Family) -> Sampling {
    Sampling {
        model: "m.safetensors".into(),
        family: Some(family),
        prompt: "a barn".into(),
        ..Sampling::default()
    }
}

fn full(family: Family) -> Sampling {
    let lora = |name: &str| Lora { name: name.into(), weight: Decimal::from_thousandths(800) };
    let control = |model: &str| ControlNet {
        model: model.into(),
        image: "edges".into(),
        strength: Decimal::from_thousandths(500),
    };
    let recipe = workflow::text_to_image_recipe(family).expect("a recipe");
    let takes = |name: &str| recipe.spec.inputs.iter().any(|input| input.name == name);
    Sampling {
        negative_prompt: if takes("negativePrompt") { "a cow".into() } else { String::new() },
        steps: Some(12),
        cfg_scale: takes("cfgScale").then(|| Decimal::from_thousandths(2500)),
        sampler: Some("dpmpp_2m".into()),
        scheduler: takes("scheduler").then(|| "karras".into()),
        seed: Some(u64::MAX - 3),
        loras: vec![lora("a.safetensors"), lora("b.safetensors")],
        vae: Some("v.safetensors".into()),
        control_nets: if family == Family::FLUX2 {
            vec![]
        } else {
            vec![control("c.safetensors"), control("d.safetensors")]
        },
        ..plain(family)
    }
}

fn image_to_image(sampling: Sampling, mask: Option<&str>) -> ImageToImage {
    let strength = Decimal::from_thousandths(600);
    ImageToImage { sampling, image: "photo".into(), mask: mask.map(str::to_owned), strength }
}

fn fits(made: &Rendered, what: &str) {
    let misfits: Vec<String> =
        check(&made.graph, &ENGINE).err().unwrap_or_default().iter().map(ToString::to_string).collect();
    assert!(
        misfits.is_empty(),
        "{what}: {misfits:#?}\n{}",
        serde_json::to_string_pretty(&made.graph).expect("JSON")
    );
    assert!(denied(&made.graph, &default_denied(), Some(&ENGINE)).is_empty(), "{what}");
    assert!(check_paths(&made.graph, Some(&ENGINE)).is_empty(), "{what}");
    // Each file that the graph loads is one of the job's, and no other.
    let mut loaded: Vec<String> = files(&made.graph, Some(&ENGINE))
        .into_iter()
        .map(|file| format!("{}={}", file.path, file.name))
        .collect();
    let mut given: Vec<String> = made
        .files
        .iter()
        .flat_map(|(name, paths)| paths.iter().map(move |path| format!("{path}={name}")))
        .collect();
    loaded.sort();
    given.sort();
    assert_eq!(loaded, given, "{what}");
    assert_eq!((made.seeds.len(), made.outputs.as_slice()), (1, ["9".to_owned()].as_slice()), "{what}");
    // Whatever stands in the graph is used: a node that leads nowhere was put in wrongly.
    let linked = serde_json::to_string(&made.graph).expect("JSON");
    for id in made.graph.keys().filter(|id| *id != "9") {
        assert!(linked.contains(&format!("[\"{id}\",")), "{what}: node {id} is used by none");
    }
}

#[test]
fn every_shipped_graph_is_one_that_a_real_engine_takes() {
    for family in Family::ALL {
        for sampling in [plain(family), full(family)] {
            let what = format!("{family:?} {}", sampling.steps.is_some());
            let asked = TextToImage { sampling: sampling.clone(), width: Some(768), height: Some(640) };
            let made = workflow::text_to_image(&asked, family, &BTreeMap::new(), JOB).expect("a graph");
            fits(&made, &what);
            for mask in [None, Some("hole")] {
                let asked = image_to_image(sampling.clone(), mask);
                let made = workflow::image_to_image(&asked, family, &BTreeMap::new(), JOB).expect("a graph");
                fits(&made, &format!("{what} from an image, mask {mask:?}"));
            }
        }
    }
}

#[test]
fn every_shipped_recipe_is_one_that_a_real_engine_takes_as_it_stands() {
    for (name, _) in workflow::shipped_recipes() {
        let family = Family::ALL.into_iter().find(|family| {
            [workflow::text_to_image_recipe(*family), workflow::image_to_image_recipe(*family)]
                .into_iter()
                .flatten()
                .any(|recipe| recipe.metadata.name.as_deref() == Some(name))
        });
        assert!(family.is_some(), "{name}");
    }
    for family in Family::ALL {
        for recipe in [workflow::text_to_image_recipe(family), workflow::image_to_image_recipe(family)] {
            let graph = recipe.and_then(|recipe| recipe.spec.graph.as_ref()).expect("a graph");
            assert_eq!(check(graph, &ENGINE), Ok(()), "{family:?}");
        }
    }
}

#[test]
fn what_is_asked_for_stands_in_the_graph() {
    let asked = TextToImage { sampling: full(Family::SDXL), width: Some(768), height: None };
    let made = workflow::text_to_image(&asked, Family::SDXL, &BTreeMap::new(), JOB).expect("a graph");
    let node = |id: &str| &made.graph[id]["inputs"];
    assert_eq!(node("5")["width"], 768);
    assert_eq!(node("5")["height"], 1024, "the family's");
    assert_eq!((&node("3")["seed"], &node("3")["cfg"]), (&(u64::MAX - 3).into(), &2.5.into()));
    assert_eq!(node("6")["clip"], serde_json::json!(["41", 1]), "the second LoRA's");
    assert_eq!(node("41")["model"], serde_json::json!(["40", 0]));
    assert_eq!(node("8")["vae"], serde_json::json!(["39", 0]));
    assert_eq!(node("3")["positive"], serde_json::json!(["65", 0]), "the second ControlNet's");
    assert_eq!(
        made.model,
        "a.safetensors+b.safetensors+c.safetensors+d.safetensors+m.safetensors+v.safetensors"
    );
    assert_eq!(made.cut.as_deref(), Some("3"));
    assert!((made.units - 12.0 * 768.0 * 1024.0 / 262_144.0).abs() < 1e-9);
}

#[test]
fn what_a_family_does_not_take_is_told() {
    let told = |family: Family, change: &dyn Fn(&mut Sampling)| {
        let mut asked = image_to_image(plain(family), None);
        change(&mut asked.sampling);
        workflow::image_to_image(&asked, family, &BTreeMap::new(), JOB).expect_err("refused").to_string()
    };
    let control =
        ControlNet { model: "c.safetensors".into(), image: "edge".into(), strength: Decimal::whole(1) };
    assert_eq!(
        told(Family::FLUX1Dev, &|asked| asked.negative_prompt = "a cow".into()),
        "inputs.negativePrompt: models of the family FLUX1Dev take none; leave it out"
    );
    assert_eq!(
        told(Family::FLUX1Schnell, &|asked| asked.cfg_scale = Some(Decimal::whole(2))),
        "inputs.cfgScale: models of the family FLUX1Schnell take none; leave it out"
    );
    assert_eq!(
        told(Family::SD15, &|asked| asked.control_nets = vec![control.clone()]),
        "inputs.controlNets[0].image: is \"edge\", which is no entry of the job's spec.inputs; it has photo, hole, edges"
    );
    assert!(
        told(Family::FLUX2, &|asked| asked.control_nets = vec![control.clone()])
            .contains("has no ControlNet node")
    );
    assert!(told(Family::Unknown, &|_| ()).starts_with("inputs.family: this operator does not know it"));
    let mut asked = image_to_image(plain(Family::SD15), Some("gap"));
    asked.image = "pohto".into();
    let told = workflow::image_to_image(&asked, Family::SD15, &BTreeMap::new(), JOB)
        .expect_err("refused")
        .to_string();
    assert_eq!(
        told,
        "inputs.image: is \"pohto\"; give the name of an entry of spec.inputs: photo, hole, edges"
    );
}
