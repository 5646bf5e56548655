//! Every story in `tests/scenarios` has the outcome recorded beside it (`golden/`), and none of its images is lost.
use std::{fs, path::Path};

use crate::{story::Story, world::World};

#[test]
fn every_story_has_the_recorded_outcome() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder.join("golden"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut names: Vec<String> = fs::read_dir(&folder)
        .expect("the scenarios")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".txt").map(str::to_owned))
        .collect();
    names.sort();
    assert!(names.len() >= 7, "scenarios are missing: {names:?}");
    for name in names {
        let text = fs::read_to_string(folder.join(format!("{name}.txt"))).expect("a scenario");
        let world = Story::read(&text).play();
        assert_eq!(world.unfinished(), 0, "{name}: images left undone");
        settings.bind(|| insta::assert_snapshot!(name, format!("{}\n\n{}", world.log(), summary(&world))));
    }
}

fn summary(world: &World) -> String {
    let tally = &world.tally;
    let price = |fleet: Option<&policy::Fleet>, seconds: u64| {
        fleet.map_or(0.0, |f| f.price_per_hour_micros as f64 * seconds as f64 / 3.6e9)
    };
    let spent = price(world.policy.spot.as_ref(), tally.spot)
        + price(world.policy.on_demand.as_ref(), tally.on_demand);
    format!(
        "{} images in time, {} late, {} interrupted\n\
         {} workers started, at most {} at once, {} left\n\
         {}s of work on {}s of spot and {}s of on-demand machines: {spent:.3}",
        tally.in_time,
        tally.late,
        tally.interrupted,
        tally.starts,
        tally.peak,
        world.worker_count(),
        tally.work,
        tally.spot,
        tally.on_demand,
    )
}
