use crds::conditions::{find_condition, is_true};
use queue::{Outcome, StoredImage, TaskError, TaskResult, WorkerId};
use serde_json::json;
use store::Output;

use super::{super::listing, *};
use crate::{
    fixtures::{at, job, job_with, pool, pool_with},
    prices::PriceHistory,
    workerpool::outlook::Expected,
};

fn ms(seconds: i64) -> u64 {
    u64::try_from(at(seconds).as_millisecond()).unwrap()
}

fn standard() -> Promise {
    Promise { class: "standard".into(), within: Duration::from_secs(300) }
}

fn expected(seconds: Option<i64>) -> Prospect {
    let expected = seconds.map_or(Expected::Unknown, |seconds| Expected::At(crate::node::time(at(seconds))));
    Prospect { expected, pool: "workers are coming up".into() }
}

fn results<'a>(outcomes: &'a [Outcome], output: &'a Output, pool: &'a WorkerPool) -> Results<'a> {
    Results { outcomes, output, prices: PriceHistory::of(pool), currency: &pool.spec.capacity.currency }
}

fn accepted(job: &ImageJob) -> ImageJob {
    let decided = Decided { seed: Some(42), segments: Some(3) };
    let status = queued(job, &PoolKey::new("studio", "sd15"), standard(), decided, false, at(1));
    ImageJob { status: Some(status), ..job.clone() }
}

fn made(index: u32, capacity: &str, gpu_ms: u64, at_seconds: i64) -> Outcome {
    let image = |key: String| StoredImage {
        key,
        url: None,
        etag: "e".into(),
        bytes: 1000,
        width: 512,
        height: 512,
        seed: Some(42 + u64::from(index)),
    };
    let result = TaskResult {
        images: vec![image(format!("{index}.png"))],
        gpu_ms,
        capacity: capacity.into(),
        worker: WorkerId("w".into()),
        found: false,
        dropped: Vec::new(),
    };
    Outcome { index, attempts: 1, finished_ms: ms(at_seconds), result: Ok(result) }
}

fn broken(index: u32, reason: &str, message: &str) -> Outcome {
    let error = TaskError { reason: queue::Reason::parse(reason), message: message.into() };
    Outcome { index, attempts: 3, finished_ms: ms(20), result: Err(error) }
}

fn output() -> Output {
    Output { public_url: Some("https://cdn.example.com".into()), ..Output::new("pictures") }
}

fn end(job: &ImageJob, end: End, state: &JobState, outcomes: &[Outcome]) -> ImageJobStatus {
    ended(job, end, state, &results(outcomes, &output(), &pool()), at(400))
}

fn done(succeeded: u32, failed: u32) -> JobState {
    JobState { succeeded, failed, started_ms: Some(ms(5)), ..JobState::default() }
}

/// Which conditions are True, and the reason and message of Ready.
fn shown(status: &ImageJobStatus) -> (Vec<&str>, &str, &str) {
    let ready = find_condition(&status.conditions, ConditionType::Ready).unwrap();
    let mut kinds: Vec<&str> =
        status.conditions.iter().filter(|c| c.status == "True").map(|c| c.type_.as_str()).collect();
    kinds.sort_unstable();
    (kinds, &ready.reason, &ready.message)
}

#[test]
fn the_first_status_says_that_all_is_still_to_come() {
    let status = accepted(&job()).status.unwrap();
    assert_eq!(
        shown(&status),
        (vec!["Reconciling"], "Waiting", "4 images waiting for a worker of studio/sd15")
    );
    let ready = find_condition(&status.conditions, ConditionType::Ready).unwrap();
    assert_eq!((ready.status.as_str(), ready.observed_generation), ("False", Some(1)));
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!((status.progress.as_deref(), status.seed), (Some("0/4"), Some(42)));
    assert_eq!((status.pool.as_deref(), status.class.as_deref()), (Some("sd15"), Some("standard")));
    assert_eq!((status.tenant.as_deref(), status.sla), (Some("studio"), Some(Sla::Pending)));
}

#[test]
fn a_pool_elsewhere_is_shown_with_its_namespace() {
    let status =
        queued(&job(), &PoolKey::new("gpus", "shared"), standard(), Decided::default(), false, at(1));
    assert_eq!(status.pool.as_deref(), Some("gpus/shared"));
}

#[test]
fn a_job_says_at_once_that_nothing_will_start() {
    let at_a_paused_pool = |change| {
        let status = queued(
            &job_with(change),
            &PoolKey::new("studio", "sd15"),
            standard(),
            Decided::default(),
            true,
            at(1),
        );
        shown(&status).1.to_owned()
    };
    assert_eq!(at_a_paused_pool(json!({})), "PoolPaused");
    assert_eq!(
        at_a_paused_pool(json!({"spec": {"suspend": true}})),
        "Suspended",
        "its user's own wish first"
    );
}

#[test]
fn what_a_job_under_way_says() {
    let paused = pool_with(json!({"spec": {"paused": true}}));
    let pool = pool();
    let state = |waiting, running, succeeded| JobState { waiting, running, succeeded, ..JobState::default() };
    let suspended = JobState { suspended: true, ..state(3, 0, 1) };
    let table = [
        (Some(&pool), state(4, 0, 0), "Waiting", "4 images waiting for a worker, 0 of 4 done"),
        (Some(&pool), state(1, 0, 3), "Waiting", "1 image waiting for a worker, 3 of 4 done"),
        (Some(&pool), state(1, 1, 2), "Running", "1 image being made, 2 of 4 done"),
        (Some(&paused), state(2, 2, 0), "Running", "2 images being made, 0 of 4 done"),
        (
            Some(&paused),
            state(4, 0, 0),
            "PoolPaused",
            "the WorkerPool is paused; images wait until it goes on",
        ),
        (None, state(4, 0, 0), "PoolNotFound", "the WorkerPool was deleted; images wait until it is back"),
        (Some(&pool), suspended, "Suspended", "spec.suspend is true; 1 of 4 images done"),
    ];
    for (pool, state, reason, message) in table {
        let status = following(&accepted(&job()), &state, pool, &expected(Some(60)), at(2));
        assert_eq!(shown(&status), (vec!["Reconciling"], reason, message));
        assert_eq!(status.estimated_completion_time, Some(Time(at(60))));
        assert_eq!(status.class.as_deref(), Some("standard"), "what was said before stays");
    }
}

#[test]
fn a_problem_that_may_pass_is_waited_for_and_another_is_the_end() {
    let waiting = problem(&job(), &Problem::waiting(JobReason::PoolNotFound, "no pool"), at(2));
    assert_eq!(shown(&waiting), (vec!["Reconciling"], "PoolNotFound", "no pool"));
    assert_eq!((waiting.completion_time, waiting.progress.as_deref()), (None, Some("0/4")));
    let last = problem(&job(), &Problem::fatal(JobReason::ClassNotFound, "no class"), at(2));
    assert_eq!(shown(&last), (vec!["Failed", "Stalled"], "ClassNotFound", "no class"));
    assert_eq!((last.completion_time, last.counts.unwrap().waiting), (Some(Time(at(2))), 0));
}

#[test]
fn a_job_that_recovers_from_a_problem_says_nothing_of_it() {
    let mut job = job();
    job.status = Some(problem(&job, &Problem::waiting(JobReason::PoolNotFound, "no pool"), at(2)));
    assert_eq!(shown(&accepted(&job).status.unwrap()).1, "Waiting");
}

#[test]
fn a_complete_job_lists_its_images_and_what_they_cost() {
    let outcomes = [made(0, "spot", 4000, 20), made(1, "onDemand", 4000, 30)];
    let job = accepted(&job_with(json!({"spec": {"count": 2}})));
    let status = end(&job, End::Completed, &done(2, 0), &outcomes);
    assert_eq!(
        shown(&status),
        (vec!["Complete", "Ready"], "Completed", "2 images made, 0.005 USD, 38 % below on-demand")
    );
    assert!(!is_true(&status.conditions, ConditionType::Reconciling));
    assert_eq!(status.completion_time, Some(Time(at(30))), "of the last image, not of our writing");
    assert_eq!((status.start_time, status.sla), (Some(Time(at(5))), Some(Sla::Met)));
    let image = &status.images[1];
    assert_eq!((image.index, image.url.as_str()), (1, "https://cdn.example.com/1.png"));
    assert_eq!((image.seed, image.gpu_seconds, image.attempts), (Some(43), 4.0, 1));
    assert_eq!(status.images.iter().map(|i| i.amount.to_string()).collect::<Vec<_>>(), ["0.001", "0.004"]);
    let cost = status.cost.unwrap();
    assert_eq!(cost.gpu_seconds, 8.0);
    assert_eq!(cost.amount.to_string(), "0.005", "4 s at 0.90 and 4 s at 3.60 an hour");
    assert_eq!((cost.on_demand_amount.to_string().as_str(), cost.saving_percent), ("0.008", 38));
}

#[test]
fn one_image_is_not_images() {
    let job = accepted(&job_with(json!({"spec": {"count": 1}})));
    let status = end(&job, End::Completed, &done(1, 0), &[made(0, "spot", 1000, 20)]);
    assert_eq!(shown(&status).2, "1 image made, 0.00025 USD, 75 % below on-demand");
    let status = end(&job, End::ImagesFailed, &done(0, 1), &[broken(0, "Timeout", "300 s are over")]);
    assert_eq!(shown(&status).2, "1 of 1 image failed; image 0: Timeout: 300 s are over");
}

#[test]
fn the_promise_is_kept_up_to_its_last_second() {
    let job = accepted(&job_with(json!({"spec": {"count": 1}})));
    for (finished, sla) in [(300, Sla::Met), (301, Sla::Missed)] {
        let status = end(&job, End::Completed, &done(1, 0), &[made(0, "spot", 1000, finished)]);
        assert_eq!(status.sla, Some(sla), "{finished} s after its creation");
    }
}

#[test]
fn a_failed_job_says_why_and_keeps_what_was_made() {
    let table = [
        ("OutOfMemory", "ImagesFailed", "1 of 4 images failed; image 3: OutOfMemory: 8 GiB wanted"),
        (ENGINE_REJECTED, "Rejected", "1 of 4 images failed; image 3: EngineRejected: 8 GiB wanted"),
    ];
    for (why, reason, message) in table {
        let outcomes = [made(0, "spot", 1000, 10), broken(3, why, "8 GiB wanted")];
        let status = end(&accepted(&job()), End::ImagesFailed, &done(3, 1), &outcomes);
        assert_eq!(shown(&status), (vec!["Failed", "Stalled"], reason, message));
        assert_eq!((status.images.len(), status.sla), (1, Some(Sla::Missed)));
        assert_eq!(status.progress.as_deref(), Some("3/4"));
        let failure = &status.failures[0];
        assert_eq!((failure.index, failure.attempts), (3, 3));
    }
}

#[test]
fn a_cancelled_job_keeps_its_record_and_promises_nothing() {
    let state = JobState { cancelled: 3, ..done(1, 0) };
    let status = end(&accepted(&job()), End::Cancelled, &state, &[made(0, "spot", 1000, 10)]);
    assert_eq!(
        shown(&status),
        (vec!["Failed", "Stalled"], "Cancelled", "cancelled; 1 of 4 images made before")
    );
    assert_eq!((status.images.len(), status.sla), (1, None));
    assert_eq!(status.completion_time, Some(Time(at(400))));
    let counts = status.counts.unwrap();
    assert_eq!((counts.waiting, counts.running, counts.succeeded), (0, 0, 1));
}

#[test]
fn a_cancellation_without_the_queue_keeps_what_was_listed() {
    let status = cancelled(&job(), at(2));
    assert_eq!(shown(&status).2, "cancelled before any image was made");
    assert_eq!((status.completion_time, status.progress.as_deref()), (Some(Time(at(2))), Some("0/4")));

    let mut half = accepted(&job());
    let mut listed =
        following(&half, &JobState { waiting: 2, ..done(2, 0) }, Some(&pool()), &expected(None), at(9));
    listed.images =
        end(&half, End::Completed, &done(2, 0), &[made(0, "spot", 1, 8), made(1, "spot", 1, 9)]).images;
    half.status = Some(listed);
    let status = cancelled(&half, at(10));
    assert_eq!(shown(&status).2, "cancelled; 2 of 4 images made before");
    assert_eq!((status.images.len(), status.counts.unwrap().waiting), (2, 0));
}

#[test]
fn lists_and_messages_stay_bounded() {
    let job = accepted(&job_with(json!({"spec": {"count": 10_000}})));
    let outcomes: Vec<Outcome> = (0..200)
        .map(|index| made(index, "spot", 1000, 20))
        .chain((200..300).map(|index| broken(index, "Timeout", &"x".repeat(50_000))))
        .collect();
    let status = end(&job, End::ImagesFailed, &done(200, 100), &outcomes);
    assert_eq!((status.images.len(), status.failures.len()), (100, 20));
    assert_eq!(status.failures[0].message.chars().count(), 1024);
    assert!(shown(&status).2.chars().count() <= 4096);
    assert_eq!(status.cost.unwrap().gpu_seconds, 200.0, "of all images, listed or not");
}

#[test]
fn further_images_of_a_workflow_are_listed_beside_the_first() {
    let mut outcome = made(0, "spot", 1000, 10);
    let result = outcome.result.as_mut().unwrap();
    let more = StoredImage { key: "0-1.png".into(), ..result.images[0].clone() };
    result.images.extend(std::iter::repeat_n(more, 30));
    let image = listing::image(&outcome, &results(&[], &output(), &pool())).unwrap();
    assert_eq!(image.extra.len(), 20);
    assert_eq!(image.extra[0].url, "https://cdn.example.com/0-1.png");
}

#[test]
fn the_listing_says_of_an_image_what_the_status_says() {
    let mut of_a_workflow = made(1, "spot", 1000, 10);
    let result = of_a_workflow.result.as_mut().unwrap();
    result.images.push(StoredImage { key: "1-1.png".into(), ..result.images[0].clone() });
    let outcomes = [made(0, "onDemand", 500, 9), of_a_workflow, broken(2, "Timeout", "300 s are over")];
    let (output, pool) = (output(), pool());
    let results = results(&outcomes, &output, &pool);
    let mut status = ImageJobStatus::default();
    list(&mut status, &results);

    let manifest = serde_json::to_value(listing::manifest(&job(), &results)).unwrap();

    assert_eq!((&manifest["namespace"], &manifest["name"]), (&json!("studio"), &json!("lighthouse")));
    assert_eq!(manifest["images"], serde_json::to_value(&status.images).unwrap());
    assert_eq!(manifest["images"][0]["capacity"], "OnDemand");
    assert_eq!(manifest["images"][1]["extra"][0]["url"], "https://cdn.example.com/1-1.png");
}

#[test]
fn prices_that_are_missing_are_taken_from_the_other_fleet() {
    let spot_only = pool_with(json!({"spec": {"capacity": {"onDemand": null}}}));
    let outcomes = [made(0, "onDemand", 3_600_000, 10), made(1, "???", 3_600_000, 10)];
    let cost = listing::cost(&results(&outcomes, &output(), &spot_only));
    assert_eq!((cost.amount.to_string(), cost.on_demand_amount.to_string()), ("1.80".into(), "1.80".into()));
}

#[test]
fn a_listing_that_cannot_be_written_is_no_end() {
    let job = accepted(&job_with(json!({"spec": {"count": 200}})));
    let status = unlisted(&job, &done(200, 0), "store: bucket pictures: access denied", at(9));
    let message =
        "200 images made; their listing can't be written yet: store: bucket pictures: access denied";
    assert_eq!(shown(&status), (vec!["Reconciling"], "Running", message));
    assert_eq!(status.progress.as_deref(), Some("200/200"));
}

#[test]
fn an_ended_job_acknowledges_a_change_and_nothing_else() {
    let mut job = accepted(&job());
    let outcomes = [made(0, "spot", 1000, 10)];
    job.status = Some(end(&job, End::Completed, &done(4, 0), &outcomes));
    assert_eq!(observed(&job), None);
    job.metadata.generation = Some(2);
    let patch::Observed { generation, conditions } = observed(&job).unwrap();
    assert_eq!(generation, Some(2));
    for (old, new) in job.status.unwrap().conditions.iter().zip(conditions) {
        assert_eq!(new.observed_generation, Some(2));
        assert_eq!((old.last_transition_time.0, &old.status), (new.last_transition_time.0, &new.status));
    }
}

#[test]
fn an_image_costs_what_its_machine_cost_when_it_was_made() {
    let prices = [
        json!({"since": at(0), "spot": "0.90", "onDemand": "3.60"}),
        json!({"since": at(15), "spot": "1.80", "onDemand": "3.60"}),
    ];
    let cost_so_far = json!({"perHour": "0", "onDemandPerHour": "0", "currency": "USD", "prices": prices});
    let pool = pool_with(json!({"status": {"cost": cost_so_far}}));
    let outcomes = [made(0, "spot", 4000, 10), made(1, "spot", 4000, 20)];
    let output = output();
    let results = results(&outcomes, &output, &pool);
    let amounts: Vec<String> = listing::made(&results).map(|image| image.amount.to_string()).collect();
    assert_eq!(amounts, ["0.001", "0.002"]);
    assert_eq!(listing::cost(&results).amount.to_string(), "0.003");
}

/// What it says of the promise: sla, the status and reason of Late.
fn promise(status: &ImageJobStatus) -> (Option<Sla>, Option<(&str, &str)>) {
    let late = find_condition(&status.conditions, ConditionType::Late);
    (status.sla, late.map(|late| (late.status.as_str(), late.reason.as_str())))
}

#[test]
fn a_job_that_will_be_late_says_so_until_it_will_not_or_is() {
    let waiting = JobState { waiting: 4, ..JobState::default() };
    let mut job = accepted(&job());
    assert_eq!(job.status.as_ref().unwrap().due_time, Some(Time(at(300))));
    let mut say = |done, now| {
        job.status = Some(following(&job, &waiting, Some(&pool()), &expected(Some(done)), at(now)));
        job.clone()
    };
    assert_eq!(promise(&say(200, 10).status.unwrap()), (Some(Sla::Pending), None));
    let at_risk = (Some(Sla::AtRisk), Some(("True", "SlaAtRisk")));
    assert_eq!(promise(&say(400, 20).status.unwrap()), at_risk);
    assert_eq!(promise(&say(280, 30).status.unwrap()), (Some(Sla::Pending), Some(("False", "SlaRecovered"))));
    assert_eq!(promise(&say(400, 40).status.unwrap()), at_risk);
    let missed = (Some(Sla::Missed), Some(("True", "SlaMissed")));
    let late = say(400, 301);
    assert_eq!(promise(late.status.as_ref().unwrap()), missed);
    let last = [made(3, "spot", 1000, 320)];
    assert_eq!(promise(&end(&late, End::Completed, &done(4, 0), &last)), missed);
    let failed = end(&late, End::ImagesFailed, &done(3, 1), &[broken(3, "Timeout", "300 s are over")]);
    assert_eq!(promise(&failed), (Some(Sla::Missed), None), "that it failed says enough");
    let cancelled = end(&late, End::Cancelled, &done(3, 0), &last);
    assert_eq!(promise(&cancelled), (None, None));
    assert_eq!(overdue(&late, at(400)), None, "said once");
}

#[test]
fn a_job_that_was_at_risk_and_made_it_was_in_time() {
    let waiting = JobState { waiting: 4, ..JobState::default() };
    let mut job = accepted(&job());
    job.status = Some(following(&job, &waiting, Some(&pool()), &expected(Some(400)), at(10)));
    let status = end(&job, End::Completed, &done(4, 0), &[made(3, "spot", 1000, 290)]);
    assert_eq!(promise(&status), (Some(Sla::Met), Some(("False", "SlaRecovered"))));
}

#[test]
fn time_that_runs_out_while_the_queue_is_away_is_told_all_the_same() {
    let job = accepted(&job());
    assert_eq!(overdue(&job, at(300)), None);
    let status = overdue(&job, at(301)).unwrap();
    assert_eq!(promise(&status), (Some(Sla::Missed), Some(("True", "SlaMissed"))));
    assert_eq!(shown(&status).1, "Waiting", "nothing else is known");
}

#[test]
fn a_job_that_is_queued_again_stays_late() {
    let mut job = accepted(&job());
    job.status = overdue(&job, at(301));
    assert_eq!(accepted(&job).status.unwrap().sla, Some(Sla::Missed));
}
