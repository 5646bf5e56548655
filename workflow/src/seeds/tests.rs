use serde_json::json;

use super::*;

fn sampler(seed: &Value) -> Graph {
    let nodes = json!({"3": {"class_type": "KSampler", "inputs": {"seed": seed, "steps": 4}}});
    nodes.as_object().unwrap().clone()
}

fn count(count: u32) -> SeedRules<'static> {
    SeedRules { count, ..SeedRules::default() }
}

#[test]
fn seeds_are_whole_numbers_in_the_end_or_refused_with_words() {
    let settled = |seed: Value, images| {
        let mut graph = sampler(&seed);
        settle_seeds(&mut graph, count(images))
            .map(|seeds| (graph["3"]["inputs"]["seed"].clone(), seeds))
            .map_err(|problem| problem.to_string())
    };
    for (seed, whole) in [
        (json!(7), 7),
        (json!(7.0), 7),
        (json!(" 7"), 7),
        (json!("15555555555555555555"), 15_555_555_555_555_555_555),
        (json!(u64::MAX - 1), u64::MAX - 1),
    ] {
        let seeds = vec![SeedAt { path: InputPath::new("3", "seed"), first: whole }];
        assert_eq!(settled(seed, 2), Ok((json!(whole), seeds)));
    }
    assert_eq!(settled(json!(-1), 1), Ok((json!(-1), vec![])), "the engine judges it");
    let refused = [
        (
            json!(15_555_555_555_555_555_890.0),
            "seed is above 9223372036854775807 and was rounded on its way; give it as",
        ),
        (json!(7.5), "seed is 7.5, not a whole number"),
        (json!("seven"), "seed is \"seven\", not a whole number"),
        (json!(null), "seed is null, not a whole number"),
        (json!(u64::MAX), "seed 18446744073709551615 can't be counted up for 2 images"),
    ];
    for (seed, why) in refused {
        let told = settled(seed, 2).unwrap_err();
        assert!(told.starts_with(&format!("node 3 (KSampler): {why}")), "{told}");
    }
    assert_eq!(settled(json!(u64::MAX), 1).unwrap().0, json!(u64::MAX));
}

#[test]
fn a_seed_that_is_linked_is_followed_to_its_number() {
    let with = |other: Value, images| {
        let mut graph = sampler(&json!(["10", 0]));
        graph.insert("10".into(), other);
        settle_seeds(&mut graph, count(images))
            .map(|seeds| (graph["3"]["inputs"]["seed"].clone(), seeds.len()))
            .map_err(|problem| problem.to_string())
    };
    let primitive = json!({"class_type": "PrimitiveInt", "inputs": {"value": 42}});
    assert_eq!(with(primitive, 2), Ok((json!(42), 1)));
    let counts_itself = json!({"class_type": "Seed", "inputs": {"seed": 5}});
    assert_eq!(with(counts_itself, 2), Ok((json!(["10", 0]), 1)), "its own seed is counted up");
    let sum = json!({"class_type": "Add", "inputs": {"a": 1, "b": 2}});
    assert_eq!(with(sum.clone(), 1), Ok((json!(["10", 0]), 0)));
    let told = with(sum, 2).unwrap_err();
    assert!(told.contains("seed is linked to node 10, whose value can't be"), "{told}");
}

#[test]
fn several_images_without_a_seed_need_a_word() {
    let graph = json!({"1": {"class_type": "EmptyImage", "inputs": {"width": 64, "use_seed": true,
        "control_seed": "fixed"}}});
    let mut graph = graph.as_object().unwrap().clone();
    let told = settle_seeds(&mut graph, count(4)).unwrap_err().to_string();
    assert!(told.contains("all 4 images would be the same") && told.contains("sameSeed: true"), "{told}");
    assert_eq!(settle_seeds(&mut graph, count(1)), Ok(vec![]));
    assert_eq!(
        settle_seeds(&mut graph, SeedRules { count: 4, same: true, ..SeedRules::default() }),
        Ok(vec![])
    );
}

#[test]
fn images_of_one_seed_may_have_the_largest() {
    let graph = json!({"3": {"class_type": "KSampler", "inputs": {"seed": u64::MAX}}});
    let settled = |same: bool| {
        let mut graph = graph.as_object().unwrap().clone();
        let rules = SeedRules { count: 4, same, ..SeedRules::default() };
        settle_seeds(&mut graph, rules).map(|seeds| seeds[0].first).map_err(|problem| problem.to_string())
    };
    assert_eq!(settled(true), Ok(u64::MAX));
    let told = settled(false).unwrap_err();
    assert!(told.ends_with("18446744073709551615 can't be counted up for 4 images"), "{told}");
}

#[test]
fn the_user_may_name_the_seeds() {
    let graph = json!({
        "3": {"class_type": "KSampler", "inputs": {"seed": ["11", 0]}},
        "4": {"class_type": "KSampler", "inputs": {"seed": 5}},
        "11": {"class_type": "PrimitiveInt", "inputs": {"value": 1}},
        "12": {"class_type": "Dice", "inputs": {"value": "8", "sides": ["3", 0]}},
    });
    let settled = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut graph = graph.as_object().unwrap().clone();
        let rules = SeedRules { named: &names, count: 3, ..SeedRules::default() };
        let seeds = settle_seeds(&mut graph, rules).map_err(|problem| problem.to_string())?;
        count_up(&mut graph, &seeds, 2);
        let at = |id: &str, input: &str| graph[id]["inputs"][input].clone();
        Ok([at("3", "seed"), at("4", "seed"), at("11", "value"), at("12", "value")])
    };
    assert_eq!(settled(&["12.value"]), Ok([json!(3), json!(7), json!(1), json!(10)]), "and those by name");
    assert_eq!(
        settled(&["11.value"]),
        Ok([json!(["11", 0]), json!(7), json!(3), json!("8")]),
        "it stays linked"
    );
    let refused = [
        ("12.vlue", "node 12 (Dice) has no input \"vlue\"; it has value, sides; did you mean \"value\"?"),
        ("value", "write it as node.input, e.g. 6.text"),
        ("12.sides", "is linked to node 3, whose value can't be counted up; name an input that is a number"),
    ];
    for (path, why) in refused {
        assert_eq!(settled(&[path]), Err::<[Value; 4], _>(format!("seedInputs[{path:?}]: {why}")));
    }
}
