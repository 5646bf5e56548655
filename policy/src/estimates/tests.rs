use super::*;

fn task_of(work: &str, model: &str, units: f64, seconds: f64) -> Sample {
    let (work, model) = (work.to_owned(), model.to_owned());
    Sample::Task { work, model, units, took: Duration::from_secs_f64(seconds) }
}

fn task(units: f64, seconds: f64) -> Sample {
    task_of("", "sd15", units, seconds)
}

fn near(got: f64, want: f64) {
    assert!((got - want).abs() < 1e-6, "{got} instead of {want}");
}

#[test]
fn learns_a_fixed_part_and_a_part_per_unit() {
    let mut estimates = Estimates::default();
    for units in [20.0, 40.0, 80.0, 20.0, 40.0, 80.0] {
        estimates.observe(&task(units, 1.0 + 0.1 * units));
    }
    near(estimates.task_seconds("", "sd15", 60.0), 7.0);
    near(estimates.task_seconds("", "sd15", 20.0), 3.0);
}

#[test]
fn the_first_sample_replaces_the_prior() {
    let mut estimates = Estimates::default();
    near(estimates.task_seconds("", "sd15", 20.0), 8.0);
    estimates.observe(&task(20.0, 2.0));
    near(estimates.task_seconds("", "sd15", 20.0), 2.0);
    near(estimates.task_seconds("", "unseen", 20.0), 2.0);
}

#[test]
fn kinds_of_work_with_one_model_are_learned_apart() {
    let mut estimates = Estimates::default();
    for _ in 0..20 {
        estimates.observe(&task_of("image/sd15", "sd15", 20.0, 3.0));
        estimates.observe(&task_of("workflow/sd15/ab12", "sd15", 1.0, 60.0));
    }
    near(estimates.task_seconds("image/sd15", "sd15", 20.0), 3.0);
    near(estimates.task_seconds("workflow/sd15/ab12", "sd15", 1.0), 60.0);
    let unknown = estimates.task_seconds("workflow/sd15/cd34", "sd15", 1.0);
    assert!(unknown > 3.0 && unknown < 60.0, "like others with its model: {unknown}");
    near(estimates.task_seconds("workflow//ef56", "", 1.0), 4.2);
}

#[test]
fn what_is_planned_lies_above_the_mean_the_more_tasks_vary_and_the_fewer_there_are() {
    let mut estimates = Estimates::default();
    for seconds in [2.0, 10.0].into_iter().cycle().take(60) {
        estimates.observe(&task(20.0, seconds));
    }
    let mean = estimates.task_seconds("", "sd15", 20.0);
    let planned = |tasks| estimates.task_seconds_planned("", "sd15", 20.0, tasks) - mean;
    assert!((3.0..5.0).contains(&planned(1)), "{}", planned(1));
    near(planned(100), planned(1) / 10.0);
}

#[test]
fn a_task_that_takes_longer_than_expected_tells_before_it_is_done() {
    let mut estimates = Estimates::default();
    estimates.takes_at_least("", "sd15", 20.0, 5.0);
    near(estimates.task_seconds("", "sd15", 20.0), 8.0);
    estimates.takes_at_least("", "sd15", 20.0, 150.0);
    near(estimates.task_seconds("", "sd15", 20.0), 150.0);
    let mut settled = Estimates::default();
    for _ in 0..5 {
        settled.observe(&task(20.0, 3.0));
    }
    settled.takes_at_least("", "sd15", 20.0, 150.0);
    near(settled.task_seconds("", "sd15", 20.0), 3.0);
}

#[test]
fn one_outlier_moves_it_little_and_a_new_pace_is_learned() {
    let mut estimates = Estimates::default();
    for _ in 0..40 {
        estimates.observe(&task(20.0, 3.0));
    }
    estimates.observe(&task(20.0, 3000.0));
    assert!(estimates.task_seconds("", "sd15", 20.0) < 3.5);
    for _ in 0..60 {
        estimates.observe(&task(20.0, 12.0));
    }
    assert!((estimates.task_seconds("", "sd15", 20.0) - 12.0).abs() < 0.6);
}

#[test]
fn the_other_capacity_stands_in_until_there_is_a_start_up_of_ones_own() {
    let mut estimates = Estimates::default();
    let started = |capacity, s| Sample::Started { capacity, took: Duration::from_secs(s) };
    estimates.observe(&started(Capacity::Spot, 80));
    near(estimates.start_seconds(Capacity::OnDemand), 80.0);
    estimates.observe(&started(Capacity::OnDemand, 50));
    near(estimates.start_seconds(Capacity::OnDemand), 50.0);
    assert!(estimates.start_seconds_planned(Capacity::Spot) > 80.0);
}

#[test]
fn slow_machines_are_the_usual_and_a_shortage_is_not() {
    let usual = |waits: &[u64]| {
        let mut estimates = Estimates::default();
        for s in waits {
            let (capacity, took) = (Capacity::Spot, Duration::from_secs(*s));
            estimates.observe(&Sample::Placed { capacity, took });
        }
        estimates.usual_wait(Capacity::Spot)
    };
    assert_eq!(usual(&[]), None);
    assert_eq!(usual(&[480]), Some(480));
    assert_eq!(usual(&[480, 500, 470, 490]), Some(480));
    assert_eq!(usual(&[15, 900, 900, 14, 900, 900, 16, 900]), Some(16));
}

#[test]
fn a_flood_of_kinds_stays_small() {
    let mut estimates = Estimates::default();
    for i in 0..1000 {
        estimates.observe(&task_of(&format!("w{i}"), "m", 20.0, 3.0));
    }
    assert_eq!(estimates.tasks.len(), MAX_KINDS);
    assert!(estimates.tasks.contains_key("w999"));
}
