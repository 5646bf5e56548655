use serde_json::{Value, json};

use super::*;
use crate::fixtures::{CREATED, job_with, pool_of};

const A: &str = "aaaaaaaa-0000-4000-8000-000000000000";
const B: &str = "bbbbbbbb-0000-4000-8000-000000000000";

fn object(uid: &str, version: u64, change: Value) -> JobObject {
    let mut value = serde_json::to_value(job_with(change)).unwrap();
    value["metadata"]["uid"] = uid.into();
    value["metadata"]["resourceVersion"] = version.to_string().into();
    serde_json::from_str(&value.to_string()).unwrap()
}

fn apply(jobs: &Jobs, uid: &str, version: u64, change: Value) {
    jobs.apply(object(uid, version, change)).unwrap();
}

fn uid(text: &str) -> Uid {
    text.parse().unwrap()
}

fn complete() -> Value {
    json!({"status": {"completionTime": CREATED, "observedGeneration": 1, "conditions": [
        {"type": "Complete", "status": "True", "reason": "Completed", "message": "",
         "lastTransitionTime": CREATED}]}})
}

#[test]
fn a_new_job_and_a_new_spec_are_changes_and_a_new_status_is_none() {
    let jobs = Jobs::default();
    apply(&jobs, A, 1, json!({}));
    assert_eq!(jobs.take(9), [Change::Job(uid(A), Why::Spec)]);
    apply(&jobs, A, 2, json!({"status": {"pool": pool_of("sd15")}}));
    assert_eq!(jobs.take(9), []);
    apply(&jobs, A, 3, json!({"metadata": {"generation": 2}, "spec": {"suspend": true}}));
    assert_eq!(jobs.take(9), [Change::Job(uid(A), Why::Spec)]);
}

#[test]
fn a_job_is_one_change_however_often_it_is_marked() {
    let jobs = Jobs::default();
    apply(&jobs, A, 1, json!({}));
    apply(&jobs, B, 1, json!({"spec": {"poolRef": {"name": "sd15"}}}));
    jobs.take(9);
    jobs.mark(uid(A), Why::Progress);
    jobs.mark_pool(&PoolKey::new("studio", "sd15"), Why::Pool);
    jobs.mark(uid(A), Why::Turn);
    jobs.mark(uid(A), Why::Progress);
    assert_eq!(jobs.take(1), [Change::Job(uid(A), Why::Turn)]);
    assert_eq!(jobs.take(9), [Change::Job(uid(B), Why::Pool)]);
}

#[test]
fn what_the_watch_shows_late_does_not_undo_what_was_written_since() {
    let jobs = Jobs::default();
    apply(&jobs, A, 1, json!({}));
    let told = Told { message: "written".into(), ..Told::default() };
    jobs.tell(uid(A), Some(3), told);
    apply(&jobs, A, 2, json!({"metadata": {"generation": 1}}));
    assert_eq!(&*jobs.live(uid(A)).unwrap().told.message, "written");
    jobs.end(uid(A), 5, crate::fixtures::at(0));
    apply(&jobs, A, 4, json!({}));
    assert!(jobs.live(uid(A)).is_none(), "a job that ended stays ended");
    assert_eq!(jobs.ended(uid(A)).unwrap().version, 5);
}

#[test]
fn jobs_that_a_list_does_not_show_are_missing_and_stay_until_it_is_sure() {
    let jobs = Jobs::default();
    apply(&jobs, A, 1, json!({"spec": {"poolRef": {"name": "sd15"}}}));
    apply(&jobs, B, 1, json!({}));
    jobs.take(9);
    jobs.begin_list();
    jobs.listed(uid(B));
    apply(&jobs, B, 1, json!({}));
    jobs.end_list();
    let pool = Some(PoolKey::new("studio", "sd15"));
    let missing =
        Change::Missing { uid: uid(A), namespace: "studio".into(), name: "lighthouse".into(), pool };
    assert_eq!(jobs.take(9), [missing, Change::Listed]);
    assert_eq!(jobs.standing(uid(A)), Standing::Live);
}

#[test]
fn a_deleted_job_is_told_with_the_pool_that_may_have_it_queued() {
    let jobs = Jobs::default();
    apply(&jobs, A, 1, json!({"status": {"pool": {"namespace": "shared", "name": "sdxl"}}}));
    apply(&jobs, B, 1, complete());
    jobs.take(9);
    jobs.delete(uid(A));
    jobs.delete(uid(B));
    assert_eq!(jobs.take(9), [Change::Deleted(uid(A), Some(PoolKey::new("shared", "sdxl")))]);
    assert_eq!(jobs.of_pool(&PoolKey::new("shared", "sdxl")), []);
}

#[test]
fn ended_jobs_are_told_when_their_time_to_live_is_over() {
    let jobs = Jobs::default();
    let mut ended = complete();
    ended["spec"] = json!({"ttlSecondsAfterFinished": 60});
    apply(&jobs, A, 1, ended);
    let (expired, next) = jobs.take_expired(crate::fixtures::at(20));
    assert_eq!((expired, next), (vec![], Some(Duration::from_secs(40))));
    assert_eq!(jobs.take_expired(crate::fixtures::at(60)), (vec![uid(A)], None));
}

#[test]
fn the_pools_default_counts_for_ended_jobs_without_a_time_to_live() {
    let jobs = Jobs::default();
    let pool = PoolKey::new("shared", "sdxl");
    let mut ended = complete();
    ended["status"]["pool"] = json!({"namespace": "shared", "name": "sdxl"});
    apply(&jobs, A, 1, ended.clone());
    ended["spec"] = json!({"ttlSecondsAfterFinished": 600});
    apply(&jobs, B, 1, ended);
    let expired = |ttl: Option<u32>, seconds| {
        jobs.expired_by(|key| ttl.filter(|_| *key == pool), crate::fixtures::at(seconds))
    };
    assert_eq!(expired(Some(60), 59), []);
    assert_eq!(expired(Some(60), 60), [uid(A)]);
    assert_eq!(expired(None, 9999), []);
}

#[test]
fn specs_are_kept_within_a_bound_and_until_the_job_is_accepted() {
    let jobs = Jobs::default();
    let long = "x".repeat(texts::BYTES / 2);
    apply(&jobs, A, 1, json!({"spec": {"work": {"textToImage": {"prompt": long}}}}));
    apply(&jobs, B, 1, json!({"spec": {"work": {"textToImage": {"prompt": long}}}}));
    assert!(jobs.text(uid(A)).is_some() && jobs.text(uid(B)).is_none());
    apply(&jobs, A, 2, json!({"status": {"pool": pool_of("sd15")}}));
    assert!(jobs.text(uid(A)).is_none());
    apply(&jobs, B, 2, json!({"spec": {"work": {"textToImage": {"prompt": long}}}}));
    assert!(jobs.text(uid(B)).is_some());
}
