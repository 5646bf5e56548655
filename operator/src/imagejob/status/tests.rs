use crds::{
    Decimal, ImageJobStatus,
    conditions::{find_condition, is_true},
};
use queue::{Outcome, StoredObject, TaskError};
use serde_json::json;

use super::{
    super::{
        listing::tests::{broken, made, ms, tallied},
        promise::Prospect,
    },
    *,
};
use crate::{
    fixtures::{at, record, record_with},
    index::PoolKey,
    workerpool::outlook::Expected,
};

fn terms() -> Terms {
    Terms {
        pool: PoolKey::new("studio", "sd15"),
        pool_uid: Some("0b2d5c9e-8a34-4a6f-b0a1-7c6d5e4f3a21".into()),
        class: "standard".into(),
        tenant: "studio".into(),
        model: Some("v1-5.safetensors".into()),
        work: Some("t:v1-5.safetensors".into()),
        units: Some(20.0),
        accepted: at(0),
        sla_seconds: 300,
        weight: 4,
        seed: Some(42),
        segments: Some(3),
        digest: None,
        output: None,
    }
}

fn expected(seconds: Option<i64>) -> Prospect {
    let expected = seconds.map_or(Expected::Unknown, |seconds| Expected::At(crate::node::time(at(seconds))));
    Prospect { expected, pool: "workers are coming up".into() }
}

fn accepted(mut record: JobRecord) -> JobRecord {
    record.told = queued(&record, terms(), &PoolSeen::Open, at(1));
    record
}

fn with_count(count: u32) -> JobRecord {
    accepted(record_with(json!({"spec": {"count": count}})))
}

fn follow(record: &JobRecord, state: &JobState, expected: &Prospect, now: i64) -> Told {
    following(record, state, &PoolSeen::Open, expected, at(now))
}

fn end(record: &JobRecord, end: End, state: &JobState, outcomes: &[Outcome]) -> ImageJobStatus {
    ended(record, end, state, &tallied(outcomes), at(400))
}

fn done(succeeded: u32, failed: u32) -> JobState {
    JobState { succeeded, failed, started_ms: Some(ms(5)), finished: true, ..JobState::default() }
}

/// Which conditions are True, and the reason and message of Ready.
fn said(status: &ImageJobStatus) -> (Vec<&str>, &str, &str) {
    let ready = find_condition(&status.conditions, ConditionType::Ready).unwrap();
    let mut kinds: Vec<&str> =
        status.conditions.iter().filter(|c| c.status == "True").map(|c| c.type_.as_str()).collect();
    kinds.sort_unstable();
    (kinds, &ready.reason, &ready.message)
}

/// Of the job's pool, `namespace/name`.
fn pool_of(status: &ImageJobStatus) -> String {
    let JobPool { namespace, name, uid: _ } = status.pool.as_ref().unwrap();
    format!("{namespace}/{name}")
}

/// Status, reason and message of Accepted.
fn acceptance(status: &ImageJobStatus) -> Option<(&str, &str, &str)> {
    let accepted = find_condition(&status.conditions, ConditionType::Accepted)?;
    Some((&accepted.status, &accepted.reason, &accepted.message))
}

#[test]
fn the_first_status_says_that_all_is_still_to_come_and_what_was_accepted() {
    let record = accepted(record());
    let status = shown(&record.told);
    assert_eq!(
        said(&status),
        (vec!["Accepted", "Reconciling"], "Waiting", "4 images waiting for a worker of studio/sd15")
    );
    let ready = find_condition(&status.conditions, ConditionType::Ready).unwrap();
    assert_eq!((ready.status.as_str(), ready.observed_generation), ("False", Some(1)));
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!((status.progress.as_deref(), status.seed), (Some("0/4"), Some(42)));
    assert_eq!((pool_of(&status), status.class.as_deref()), ("studio/sd15".into(), Some("standard")));
    assert_eq!(status.pool.unwrap().uid.as_deref(), Some("0b2d5c9e-8a34-4a6f-b0a1-7c6d5e4f3a21"));
    assert_eq!((status.tenant.as_deref(), record.told.sla), (Some("studio"), Some(Sla::Pending)));
    assert!(find_condition(&status.conditions, ConditionType::Late).is_none(), "there is still time");
    assert_eq!((status.sla_seconds, status.weight), (Some(300), Some(4)));
    assert_eq!((status.accepted_time, status.due_time), (Some(Time(at(0))), Some(Time(at(300)))));
}

#[test]
fn what_is_told_is_read_back_as_it_was() {
    let mut record = accepted(record());
    let working = JobState { waiting: 2, running: 1, succeeded: 1, ..done(1, 0) };
    record.told = follow(&record, &working, &expected(Some(400)), 10);
    let status = serde_json::to_value(shown(&record.told)).unwrap();
    let read = record_with(json!({"status": status})).told;
    // What is not in the status is known until the operator is started again.
    let terms = Terms { model: None, work: None, units: None, ..terms() };
    assert_eq!(read, Told { terms: Some(terms.into()), ..record.told });
}

#[test]
fn a_pool_elsewhere_is_shown_with_its_namespace() {
    let mut record = record();
    let terms = Terms { pool: PoolKey::new("gpus", "shared"), ..terms() };
    record.told = queued(&record, terms, &PoolSeen::Open, at(1));
    assert_eq!(pool_of(&shown(&record.told)), "gpus/shared");
}

#[test]
fn a_job_says_at_once_that_nothing_will_start() {
    let reason = |change, pool: &PoolSeen| queued(&record_with(change), terms(), pool, at(1)).reason.unwrap();
    assert_eq!(reason(json!({}), &PoolSeen::Suspended), JobReason::PoolSuspended);
    let suspended = json!({"spec": {"suspend": true}});
    assert_eq!(reason(suspended, &PoolSeen::Suspended), JobReason::Suspended, "its user's own word first");
}

#[test]
fn a_job_under_way_says_how_far_it_is_or_what_it_waits_for() {
    let state = |waiting, running, succeeded| JobState { waiting, running, succeeded, ..JobState::default() };
    let suspended = JobState { suspended: true, ..state(3, 0, 1) };
    let no_class = || PoolSeen::WithoutClass("WorkerPool studio/sd15 has no class \"standard\"".into());
    let table = [
        (PoolSeen::Open, state(4, 0, 0), "Waiting", "4 images waiting for a worker, 0 of 4 done"),
        (PoolSeen::Open, state(1, 0, 3), "Waiting", "1 image waiting for a worker, 3 of 4 done"),
        (PoolSeen::Open, state(1, 1, 2), "Running", "1 image being made, 2 of 4 done"),
        (PoolSeen::Suspended, state(2, 2, 0), "Running", "2 images being made, 0 of 4 done"),
        (
            PoolSeen::Suspended,
            state(4, 0, 0),
            "PoolSuspended",
            "the WorkerPool is suspended; images wait until it goes on",
        ),
        (
            PoolSeen::Gone,
            state(4, 0, 0),
            "PoolNotFound",
            "the WorkerPool was deleted; images wait until it is back",
        ),
        (no_class(), state(4, 0, 0), "ClassNotFound", "WorkerPool studio/sd15 has no class \"standard\""),
        (PoolSeen::Open, suspended, "Suspended", "spec.suspend is true; 1 of 4 images done"),
    ];
    for (pool, state, reason, message) in table {
        let record = accepted(record());
        let told = following(&record, &state, &pool, &expected(Some(60)), at(2));
        let status = shown(&told);
        assert_eq!(said(&status), (vec!["Accepted", "Reconciling"], reason, message));
        assert_eq!(status.estimated_completion_time, Some(Time(at(60))));
        assert_eq!(status.class.as_deref(), Some("standard"), "what was said before stays");
    }
}

#[test]
fn a_problem_that_may_pass_is_waited_for_and_another_is_the_end() {
    let record = record();
    let told = waits(&record, &Problem::waits(JobReason::ClassNotFound, "no class"), at(2));
    let waiting = shown(&told);
    assert_eq!(said(&waiting), (vec!["Reconciling"], "ClassNotFound", "no class"));
    assert_eq!((waiting.completion_time, waiting.progress.as_deref()), (None, Some("0/4")));
    let last = refused(&record, &Problem::ends(JobReason::WorkflowInvalid, "no nodes"), at(2));
    assert_eq!(said(&last), (vec!["Failed", "Stalled"], "WorkflowInvalid", "no nodes"));
    assert_eq!((last.completion_time, last.counts.unwrap().waiting), (Some(Time(at(2))), 0));
}

#[test]
fn a_job_says_whether_it_is_accepted_until_it_ends() {
    let record = record();
    let waiting = shown(&waits(&record, &Problem::waits(JobReason::PoolNotFound, "no pool"), at(2)));
    assert_eq!(acceptance(&waiting), Some(("False", "PoolNotFound", "no pool")));
    let accepted = accepted(record.clone());
    let first = shown(&accepted.told);
    let on_terms = Some(("True", "Accepted", "the job is queued on the terms in this status"));
    assert_eq!(acceptance(&first), on_terms);
    let since = &find_condition(&first.conditions, ConditionType::Accepted).unwrap().last_transition_time;
    assert_eq!(*since, Time(at(0)), "when it was accepted, not when that was written");
    let unavailable = Problem::waits(JobReason::QueueUnavailable, "no queue");
    assert_eq!(acceptance(&shown(&waits(&accepted, &unavailable, at(3)))), on_terms, "once is for ever");
    let ended = [
        ("complete", end(&accepted, End::Completed, &done(4, 0), &[])),
        ("failed", end(&accepted, End::ImagesFailed, &done(3, 1), &[])),
        ("cancelled", end(&accepted, End::Cancelled, &done(3, 0), &[])),
        ("cancelled without the queue", cancelled(&accepted, at(4))),
        ("refused", refused(&record, &Problem::ends(JobReason::WorkflowInvalid, "no nodes"), at(4))),
    ];
    for (how, status) in ended {
        assert_eq!(acceptance(&status), None, "{how}");
    }
}

#[test]
fn a_job_that_recovers_from_a_problem_says_nothing_of_it() {
    let mut record = record();
    record.told = waits(&record, &Problem::waits(JobReason::PoolNotFound, "no pool"), at(2));
    assert_eq!(accepted(record).told.reason, Some(JobReason::Waiting));
}

#[test]
fn a_complete_job_lists_its_images_and_what_they_cost() {
    let outcomes = [made(0, "spot", 4000, 20), made(1, "onDemand", 4000, 30)];
    let status = end(&with_count(2), End::Completed, &done(2, 0), &outcomes);
    assert_eq!(
        said(&status),
        (vec!["Complete", "Ready"], "Completed", "2 images made, 0.005 USD, 38 % below on-demand")
    );
    assert!(!is_true(&status.conditions, ConditionType::Reconciling));
    assert_eq!(status.completion_time, Some(Time(at(30))), "of the last image, not of our writing");
    assert_eq!((status.start_time.as_ref(), promised(&status)), (Some(&Time(at(5))), None), "it was in time");
    let image = &status.results[1];
    assert_eq!((image.index, image.outputs[0].url.as_str()), (1, "https://cdn.example.com/1.png"));
    assert_eq!((image.seed, image.gpu_seconds, image.attempts), (Some(43), Decimal::whole(4), 1));
    assert_eq!(status.results.iter().map(|i| i.amount.to_string()).collect::<Vec<_>>(), ["0.001", "0.004"]);
    let cost = status.cost.unwrap();
    assert_eq!(serde_json::to_value(cost.gpu_seconds).unwrap(), json!("8"));
    assert_eq!(cost.amount.to_string(), "0.005", "4 s at 0.90 and 4 s at 3.60 an hour");
}

#[test]
fn one_image_is_not_images() {
    let job = with_count(1);
    let status = end(&job, End::Completed, &done(1, 0), &[made(0, "spot", 1000, 20)]);
    assert_eq!(said(&status).2, "1 image made, 0.00025 USD, 75 % below on-demand");
    let status = end(&job, End::ImagesFailed, &done(0, 1), &[broken(0, "Timeout", "300 s are over")]);
    assert_eq!(said(&status).2, "1 of 1 image failed; image 0: Timeout: 300 s are over");
}

#[test]
fn the_promise_is_kept_up_to_its_last_second() {
    for (finished, late) in [(300, None), (301, Some(("True", "SlaMissed")))] {
        let outcomes = [made(0, "spot", 1000, finished)];
        let status = end(&with_count(1), End::Completed, &done(1, 0), &outcomes);
        assert_eq!(promised(&status), late, "{finished} s after it was accepted");
    }
}

#[test]
fn a_failed_job_says_why_and_keeps_what_was_made() {
    let stopped = |reason: &str| {
        let error = TaskError { reason: Reason::parse(reason), message: "as it is".into() };
        JobState { stopped: Some(error), ..done(3, 1) }
    };
    let table = [
        (
            done(3, 1),
            "OutOfMemory",
            "ImagesFailed",
            "1 of 4 images failed; image 3: OutOfMemory: 8 GiB wanted",
        ),
        (
            done(3, 1),
            "EngineRejected",
            "Rejected",
            "1 of 4 images failed; image 3: EngineRejected: 8 GiB wanted",
        ),
        (
            stopped("EngineCrashed"),
            "EngineCrashed",
            "EngineCrashed",
            "1 of 4 images failed; the rest was stopped: EngineCrashed: as it is",
        ),
        (
            stopped("EngineError"),
            "EngineError",
            "TooManyFailedImages",
            "1 of 4 images failed; the rest was stopped: EngineError: as it is",
        ),
    ];
    for (state, why, reason, message) in table {
        let outcomes = [made(0, "spot", 1000, 10), broken(3, why, "8 GiB wanted")];
        let status = end(&accepted(record()), End::ImagesFailed, &state, &outcomes);
        assert_eq!(said(&status), (vec!["Failed", "Stalled"], reason, message));
        assert_eq!((status.results.len(), promised(&status)), (1, None));
        assert_eq!(status.progress.as_deref(), Some("3/4"));
        let failure = &status.failures[0];
        assert_eq!((failure.index, failure.attempts), (3, 3));
    }
}

#[test]
fn a_cancelled_job_is_as_its_user_asked_and_promises_nothing() {
    let state = JobState { cancelled: 3, ..done(1, 0) };
    let status = end(&accepted(record()), End::Cancelled, &state, &[made(0, "spot", 1000, 10)]);
    assert_eq!(said(&status), (vec!["Failed", "Ready"], "Cancelled", "cancelled; 1 of 4 images made before"));
    assert_eq!((status.results.len(), promised(&status)), (1, None));
    assert_eq!(status.completion_time, Some(Time(at(400))));
    let counts = status.counts.unwrap();
    assert_eq!((counts.waiting, counts.running, counts.succeeded), (0, 0, 1));
}

#[test]
fn a_cancellation_without_the_queue_keeps_what_was_told() {
    let status = cancelled(&record(), at(2));
    assert_eq!(said(&status).2, "cancelled before any image was made");
    assert_eq!((status.completion_time, status.progress.as_deref()), (Some(Time(at(2))), Some("0/4")));

    let mut half = accepted(record());
    half.told = follow(&half, &JobState { waiting: 2, ..done(2, 0) }, &expected(None), 9);
    let status = cancelled(&half, at(10));
    assert_eq!(said(&status).2, "cancelled; 2 of 4 images made before");
    assert_eq!(status.counts.unwrap().waiting, 0);
}

#[test]
fn a_job_without_a_manifest_says_how_many_of_its_images_are_listed() {
    let many: Vec<Outcome> = (0..150).map(|index| made(index, "spot", 1000, 10)).collect();
    let status = end(&with_count(300), End::Cancelled, &done(150, 0), &many);
    assert_eq!(said(&status).2, "cancelled; 150 of 300 images made before, only the first 100 are listed");
    let object = StoredObject { key: "a.json".into(), url: None, etag: "e".into(), bytes: 9 };
    let listed = JobState { listing: Some(Ok(object)), ..done(150, 0) };
    let status = end(&with_count(300), End::Cancelled, &listed, &many);
    assert_eq!(said(&status).2, "cancelled; 150 of 300 images made before");

    // A few images whose addresses are long take as much room as many.
    let long = |index| {
        let mut outcome = made(index, "spot", 1000, 10);
        let Ok(result) = &mut outcome.result else { panic!("an image") };
        result.outputs[0].key = "k".repeat(10_000);
        outcome
    };
    let few: Vec<Outcome> = (0..30).map(long).collect();
    let status = end(&with_count(30), End::Completed, &done(30, 0), &few);
    let (_, _, message) = said(&status);
    assert!(message.ends_with(&format!(", only the first {} are listed", status.results.len())), "{message}");
}

#[test]
fn lists_and_messages_stay_bounded() {
    let outcomes: Vec<Outcome> = (0..200)
        .map(|index| made(index, "spot", 1000, 20))
        .chain((200..300).map(|index| broken(index, "Timeout", &"x".repeat(50_000))))
        .collect();
    let status = end(&with_count(10_000), End::ImagesFailed, &done(200, 100), &outcomes);
    assert_eq!((status.results.len(), status.failures.len()), (100, 20));
    assert_eq!(status.failures[0].message.chars().count(), 1024);
    assert!(said(&status).2.chars().count() <= 4096);
    assert_eq!(status.cost.unwrap().gpu_seconds, Decimal::whole(200), "of all images, listed or not");
}

#[test]
fn the_listing_that_a_worker_stored_is_where_the_worker_says() {
    let listing = |url: Option<&str>| {
        let object =
            StoredObject { key: "a.json".into(), url: url.map(str::to_owned), etag: "e".into(), bytes: 9 };
        let state = JobState { listing: Some(Ok(object)), ..done(200, 0) };
        end(&with_count(200), End::Completed, &state, &[made(0, "spot", 1000, 20)]).manifest_url
    };
    assert_eq!(
        listing(Some("https://old.example.com/a.json")).as_deref(),
        Some("https://old.example.com/a.json")
    );
    assert_eq!(listing(None).as_deref(), Some("https://cdn.example.com/a.json"));
}

/// What it says of the promise: status and reason of Late.
fn promised(status: &ImageJobStatus) -> Option<(&str, &str)> {
    let late = find_condition(&status.conditions, ConditionType::Late)?;
    Some((&late.status, &late.reason))
}

#[test]
fn a_job_that_will_be_late_says_so_until_it_will_not_or_is() {
    let waiting = JobState { waiting: 4, ..JobState::default() };
    let mut record = accepted(record());
    let missed = Some(("True", "SlaMissed"));
    let table = [
        (200, 10, Sla::Pending, None),
        (400, 20, Sla::AtRisk, Some(("True", "SlaAtRisk"))),
        (280, 30, Sla::Pending, Some(("False", "SlaRecovered"))),
        (400, 40, Sla::AtRisk, Some(("True", "SlaAtRisk"))),
        (400, 301, Sla::Missed, missed),
    ];
    for (done, now, sla, late) in table {
        record.told = follow(&record, &waiting, &expected(Some(done)), now);
        assert_eq!((record.told.sla, promised(&shown(&record.told))), (Some(sla), late), "at {now} s");
    }
    let late = record;
    let last = [made(3, "spot", 1000, 320)];
    assert_eq!(promised(&end(&late, End::Completed, &done(4, 0), &last)), missed);
    let failed = end(&late, End::ImagesFailed, &done(3, 1), &[broken(3, "Timeout", "300 s are over")]);
    assert_eq!(promised(&failed), None, "that it failed says enough");
    let cancelled = end(&late, End::Cancelled, &done(3, 0), &last);
    assert_eq!(promised(&cancelled), None);
    assert_eq!(overdue(&late, at(400)), None, "said once");
}

#[test]
fn a_job_that_was_at_risk_and_made_it_was_in_time() {
    let waiting = JobState { waiting: 4, ..JobState::default() };
    let mut record = accepted(record());
    record.told = follow(&record, &waiting, &expected(Some(400)), 10);
    let status = end(&record, End::Completed, &done(4, 0), &[made(3, "spot", 1000, 290)]);
    assert_eq!(promised(&status), Some(("False", "SlaRecovered")));
}

#[test]
fn time_that_runs_out_while_the_queue_is_away_is_told_all_the_same() {
    let record = accepted(record());
    assert_eq!(overdue(&record, at(300)), None);
    let told = overdue(&record, at(301)).unwrap();
    let status = shown(&told);
    assert_eq!((told.sla, promised(&status)), (Some(Sla::Missed), Some(("True", "SlaMissed"))));
    assert_eq!(said(&status).1, "Waiting", "nothing else is known");
}

#[test]
fn the_due_clock_stands_still_while_a_job_is_suspended() {
    let state = |suspended| JobState { waiting: 4, suspended, ..JobState::default() };
    let mut record = accepted(record());
    record.told = follow(&record, &state(true), &expected(None), 100);
    assert_eq!((record.told.due(), record.told.sla), (None, Some(Sla::Pending)));
    record.told = follow(&record, &state(true), &expected(None), 50_000);
    assert_eq!(record.told.sla, Some(Sla::Pending), "a day later");
    assert_eq!(resumed(&record, at(50_100)), at(50_000), "100 s of its promise were used up");
    record.told = follow(&record, &state(false), &expected(None), 50_100);
    assert_eq!(record.told.due(), Some(at(50_300)));
    let status = shown(&record.told);
    assert_eq!((status.suspended_seconds, status.suspended_time), (Some(50_000), None));
    assert_eq!(status.due_time, Some(Time(at(50_300))));
}

#[test]
fn a_job_that_is_queued_again_stays_late() {
    let mut record = accepted(record());
    record.told = overdue(&record, at(301)).unwrap();
    assert_eq!(accepted(record).told.sla, Some(Sla::Missed));
}
