use k8s_openapi::api::core::v1::Pod;
use queue::{LeaseSeen, TaskId, TaskKind, WorkerId, WorkerState};
use serde_json::{Value, json};

use super::*;
use crate::{
    credentials::QueueAddress,
    fixtures::{at, pool},
    index::worker_record,
    node::karpenter::Awaited,
};

const NOW: i64 = 1000;
/// What every worker of the tests was made from, unless it says otherwise.
fn template() -> Template {
    let queue = QueueAddress { url: "redis://queue".into(), tls: queue::Tls::default() };
    Template::of(&pool(), &pod::Given { worker_image: "w".into(), queue: queue.into() })
}

fn ms(seconds: i64) -> u64 {
    u64::try_from(at(seconds).as_millisecond()).unwrap()
}

/// A worker Pod of the pool as it is now, on node `n1`, changed by `change`.
fn pod_with(name: &str, change: &Value) -> Pod {
    let mut pod = json!({
        "metadata": {
            "name": name,
            "namespace": "studio",
            "labels": {"imagejob.dev/pool": "sd15", "imagejob.dev/capacity": "spot"},
            "annotations": {"imagejob.dev/template": template().text(Capacity::Spot), "imagejob.dev/model": "warm"},
            "creationTimestamp": "2026-01-01T00:05:00Z",
        },
        "spec": {"nodeName": "n1", "containers": []},
        "status": {"phase": "Running", "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:06:00Z"}]},
    });
    json_patch::merge(&mut pod, change);
    serde_json::from_value(pod).unwrap()
}

fn seen(name: &str, silent_seconds: i64) -> WorkerSeen {
    WorkerSeen {
        worker: WorkerId(name.into()),
        order: queue::Order::Work,
        state: WorkerState::Ready,
        capacity: "spot".into(),
        trouble: None,
        loaded: Some("v1-5".into()),
        notice: None,
        seen_ms: ms(NOW - silent_seconds),
        idle_since_ms: Some(ms(900)),
    }
}

fn lease(holder: &str) -> LeaseSeen {
    LeaseSeen {
        task: TaskId { job: queue::JobUid("a".into()), index: 0 },
        kind: TaskKind::Image,
        attempt: 2,
        worker: WorkerId(holder.into()),
        tenant: "studio".into(),
        class: "standard".into(),
        model: "v1-5".into(),
        work: "textToImage v1-5".into(),
        units: 20.0,
        due_ms: ms(1300),
        started_ms: ms(990),
        expires_ms: ms(1005),
        progress: Some((5, 20)),
    }
}

fn stats(workers: Vec<WorkerSeen>, leases: Vec<LeaseSeen>) -> Option<Stats> {
    Some(Stats { now_ms: ms(NOW), workers, leases, ..Stats::default() })
}

/// These Pods, with a healthy node `n1` in zone `a`, and what workers were told of late.
fn observed_told(pods: &[Pod], stats: Option<Stats>, told: &[(&str, Order)]) -> Observed {
    observed_records(pods.iter().map(record).collect(), stats, told)
}

/// Of a Pod, with the healthy node `n1` in zone `a`.
fn record(pod: &Pod) -> WorkerRecord {
    let labels = json!({"topology.kubernetes.io/zone": "a"});
    let node =
        json!({"metadata": {"name": "n1", "labels": labels, "creationTimestamp": "2026-01-01T00:05:30Z"}});
    let node = serde_json::from_value(node).unwrap();
    let on_it = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some("n1");
    worker_record(pod, on_it.then_some(&node), at(NOW))
}

fn observed_records(workers: Vec<WorkerRecord>, stats: Option<Stats>, told: &[(&str, Order)]) -> Observed {
    observe(Sights {
        pool: &pool(),
        workers,
        stats,
        readable_for: Duration::from_secs(3600),
        coming: vec![],
        refused: vec![],
        told: &|worker| told.iter().find(|(name, _)| *name == worker).map(|(_, order)| *order),
        template: &template(),
        now: at(NOW),
    })
}

fn observed(pods: &[Pod], stats: Option<Stats>) -> Observed {
    observed_told(pods, stats, &[])
}

fn one(change: &Value, stats: Option<Stats>) -> Worker {
    observed(&[pod_with("w", change)], stats).seen.workers.remove(0)
}

#[test]
fn the_phase_of_a_worker() {
    let unscheduled = json!({"spec": {"nodeName": null}});
    let here = json!({});
    let starting = Phase::Starting { scheduled: time("2026-01-01T00:06:00Z".parse().unwrap()) };
    let idle = Phase::Idle { since: Time::from_millis(ms(900)) };
    let table = [
        (
            "no node yet",
            &unscheduled,
            stats(vec![], vec![]),
            Phase::Unscheduled { machine: policy::Machine::Unknown },
        ),
        ("never heard of", &here, stats(vec![], vec![]), starting),
        ("heard of", &here, stats(vec![seen("w", 3)], vec![]), idle),
        ("at work", &here, stats(vec![seen("w", 3)], vec![lease("w")]), Phase::Busy),
        ("not known while the queue is away", &here, None, starting),
    ];
    for (name, change, stats, phase) in table {
        assert_eq!(one(change, stats).phase, phase, "{name}");
    }
}

#[test]
fn a_worker_that_no_machine_would_do_for_does_not_make_machines_scarce() {
    let unplaced = |message: &str| {
        json!({"spec": {"nodeName": null}, "status": {"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]}})
    };
    let look = |message| {
        let pod = pod_with("w", &unplaced(message));
        observed(&[pod], stats(vec![], vec![]))
    };
    let scarce = look("3 Insufficient nvidia.com/gpu");
    assert_eq!(scarce.seen.workers[0].created, time("2026-01-01T00:05:00Z".parse().unwrap()));
    let words = |observed: &Observed| observed.seen.workers[0].no_machine.clone().unwrap();
    assert_eq!(words(&scarce), "3 Insufficient nvidia.com/gpu");
    assert_eq!(scarce.impossible, None);
    let hopeless = look("persistentvolumeclaim \"models\" not found");
    assert_eq!(hopeless.seen.workers[0].created, time(at(NOW)), "it has yet to begin to wait");
    assert_eq!(words(&hopeless), "persistentvolumeclaim \"models\" not found");
    let told = hopeless.impossible.unwrap();
    assert_eq!(told, "Pod w: persistentvolumeclaim \"models\" not found");
}

#[test]
fn what_the_autoscaler_says_of_a_machine_comes_before_what_the_scheduler_says() {
    let waiting = |message: &str| {
        let condition =
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message});
        record(&pod_with("w", &json!({"spec": {"nodeName": null}, "status": {"conditions": [condition]}})))
    };
    let look = |record: WorkerRecord, machine, words: &str| {
        let awaited = Awaited { machine, words: Some(words.to_owned()) };
        let record = WorkerRecord { awaited, ..record };
        observed_records(vec![record], stats(vec![], vec![]), &[]).seen.workers.remove(0)
    };
    let few = "3 Insufficient nvidia.com/gpu";
    let at = time(at(NOW));
    for machine in [policy::Machine::Refused, policy::Machine::Launched { at }] {
        let worker = look(waiting(few), machine, "NodePool gpu-spot: limits");
        assert_eq!(worker.phase, Phase::Unscheduled { machine });
        assert_eq!(worker.no_machine.as_deref(), Some("NodePool gpu-spot: limits"));
    }
    let claim = "persistentvolumeclaim \"models\" not found";
    let worker = look(waiting(claim), policy::Machine::Refused, "no instance type");
    assert_eq!(worker.phase, Phase::Unscheduled { machine: policy::Machine::Unknown }, "no machine would do");
    assert_eq!(worker.no_machine.as_deref(), Some(claim));
}

#[test]
fn only_a_machine_that_came_for_a_worker_tells_how_long_machines_take() {
    let waited = |change: &Value| waited_for_new_machine(&record(&pod_with("w", change)));
    assert_eq!(waited(&json!({})), Some(Duration::from_secs(60)), "made 30 s after the Pod, and joined");
    let later = json!({"metadata": {"creationTimestamp": "2026-01-01T00:05:40Z"}});
    assert_eq!(waited(&later), None, "it was there");
    assert_eq!(waited(&json!({"spec": {"nodeName": null}})), None, "it has none");
}

#[test]
fn pods_that_were_refused_are_handed_to_the_policy() {
    let refused = policy::Refused {
        capacity: policy::Capacity::Spot,
        zone: Some("a".into()),
        workers: 1,
        at: time(at(NOW)),
        why: "exceeded quota".into(),
    };
    let observed = observe(Sights {
        pool: &pool(),
        workers: vec![],
        stats: stats(vec![], vec![]),
        readable_for: Duration::from_secs(3600),
        coming: vec![],
        refused: vec![refused.clone()],
        told: &|_| None,
        template: &template(),
        now: at(NOW),
    });
    assert_eq!(observed.seen.refused, [refused]);
}

#[test]
fn where_a_worker_is_and_what_it_has_loaded() {
    let worker = one(&json!({}), stats(vec![seen("w", 3)], vec![]));
    assert_eq!((worker.node.as_deref(), worker.zone.as_deref()), (Some("n1"), Some("a")));
    assert_eq!(worker.model.as_deref(), Some("v1-5"), "as it says itself");
    assert_eq!((worker.capacity, worker.health), (policy::Capacity::Spot, Health::Healthy));
    let planned = json!({"spec": {"nodeName": null, "nodeSelector": {"topology.kubernetes.io/zone": "b"}},
                         "metadata": {"labels": {"imagejob.dev/capacity": "onDemand"}}});
    let worker = one(&planned, stats(vec![], vec![]));
    assert_eq!(
        (worker.zone.as_deref(), worker.model.as_deref()),
        (Some("b"), Some("warm")),
        "as it was asked to"
    );
    assert_eq!(worker.capacity, policy::Capacity::OnDemand);
}

#[test]
fn what_a_machine_tells_its_worker_counts_and_it_is_said_who_told() {
    let notice = Some(queue::Notice::Doomed { left: Duration::from_secs(100) });
    let told = stats(vec![WorkerSeen { notice, ..seen("w", 1) }], vec![lease("w")]);
    let observed = observed(&[pod_with("w", &json!({}))], told);
    let worker = &observed.seen.workers[0];
    assert_eq!(worker.health, Health::Doomed { deadline: time(at(1100)) });
    assert_eq!(observed.cause(&worker.id), " (metadata service: the machine is taken away)");
}

#[test]
fn a_machine_is_paid_for_from_when_it_has_a_worker_until_it_is_gone() {
    let machines = |change: &Value, stats| {
        let observed = observed(&[pod_with("w", change)], stats);
        observed.machines(at(NOW)).len()
    };
    let heard = |silent| stats(vec![seen("w", silent)], vec![]);
    let failed = json!({"status": {"phase": "Failed"}});
    let table = [
        ("without a node", json!({"spec": {"nodeName": null}}), heard(1), 0),
        ("at work", json!({}), heard(1), 1),
        ("starting", json!({}), stats(vec![], vec![]), 1),
        ("doomed", json!({"metadata": {"deletionTimestamp": "2026-01-01T00:17:00Z"}}), heard(1), 1),
        ("its Pod stays though its node is gone", json!({"spec": {"nodeName": "vanished"}}), heard(1), 0),
        ("failed", failed, heard(1), 0),
    ];
    for (name, change, stats, paid_for) in table {
        assert_eq!(machines(&change, stats), paid_for, "{name}");
    }
}

#[test]
fn a_worker_that_was_taken_away_idle_is_no_loss() {
    let going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:17:00Z"}});
    let gone =
        json!({"metadata": {"deletionTimestamp": "2026-01-01T00:17:00Z"}, "status": {"phase": "Succeeded"}});
    let retired = || stats(vec![WorkerSeen { order: queue::Order::Retire, ..seen("w", 1) }], vec![]);
    assert_eq!(one(&going, retired()).order, Order::Doomed, "it need not be told");
    assert_eq!(one(&gone, retired()).order, Order::Evicted, "nor its loss");
    let working = stats(vec![seen("w", 1)], vec![]);
    assert_eq!(one(&going, working).order, Order::Work, "somebody else deletes it: it must be told");
}

#[test]
fn a_lease_without_a_pod_is_held_by_one_of_ours_that_is_gone_or_by_one_that_runs_by_itself() {
    let held = stats(vec![], vec![lease("sd15-spot-0123456789"), lease("desk-under-the-window")]);
    let observed = observed(&[], held);
    let mut health: Vec<_> = observed.seen.workers.iter().map(|w| (w.id.0.as_str(), w.health)).collect();
    health.sort_unstable_by_key(|(name, _)| *name);
    assert_eq!(health, [("desk-under-the-window", Health::Healthy), ("sd15-spot-0123456789", Health::Gone)]);
    assert!(observed.seen.workers.iter().all(|worker| worker.phase == Phase::Busy));
}

#[test]
fn what_a_worker_was_told_a_moment_ago_counts_before_the_queue_shows_it() {
    let pods = [pod_with("w", &json!({}))];
    let heard = || stats(vec![seen("w", 3)], vec![]);
    for order in [Order::Evicted, Order::Hold, Order::Retire] {
        assert_eq!(observed_told(&pods, heard(), &[("w", order)]).seen.workers[0].order, order);
    }
}

#[test]
fn what_workers_are_made_of_is_compared_with_what_they_would_be_made_of_now() {
    let made = |template: &str| json!({"metadata": {"annotations": {"imagejob.dev/template": template}}});
    let now = template().text(Capacity::Spot);
    let (version, hashes) = now.split_once('.').unwrap();
    let runs = hashes.split_once('.').unwrap().0;
    let (moved, other) = (format!("{version}.{runs}.0"), format!("{version}.0.0"));
    let waiting = |mut change: Value| {
        change["spec"] = json!({"nodeName": null});
        change
    };
    let mut doomed = made(&other);
    doomed["metadata"]["deletionTimestamp"] = "2026-01-01T00:17:00Z".into();
    let pods = [
        pod_with("busy", &made(&other)),
        pod_with("idle", &made(&other)),
        pod_with("idle-moved", &made(&moved)),
        pod_with("waiting-moved", &waiting(made(&moved))),
        pod_with("waiting", &waiting(json!({}))),
        pod_with("doomed", &doomed),
        pod_with("new", &json!({})),
    ];
    let stats = stats(vec![seen("busy", 1), seen("idle", 1), seen("idle-moved", 1)], vec![lease("busy")]);
    let observed = observed(&pods, stats);
    let of = |template| {
        let workers = observed.seen.workers.iter().filter(|worker| worker.template == template);
        workers.map(|worker| worker.id.0.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(of(policy::Template::Outdated), ["busy", "idle", "doomed"]);
    assert_eq!(of(policy::Template::Moved), ["idle-moved", "waiting-moved"]);
}

#[test]
fn the_queue_is_seen_as_it_is_and_one_that_cannot_be_read_is_not_empty() {
    assert_eq!(observed(&[], None).seen.queue, None);
    let backlog = queue::Backlog {
        class: "standard".into(),
        model: "v1-5".into(),
        work: "textToImage v1-5".into(),
        due_ms: ms(1300),
        tasks: 3,
        units: 60.0,
    };
    let stats = Stats { backlog: vec![backlog], ..stats(vec![], vec![lease("w")]).unwrap() };
    let queue = observed(&[], Some(stats)).seen.queue.unwrap();
    assert_eq!((queue.backlog[0].tasks, queue.backlog[0].units), (3, 60.0));
    assert_eq!(queue.running[0].progress, Some((5, 20)));
}

#[test]
fn containers_that_will_not_come_up_by_waiting_are_trouble() {
    let waiting = |reason: &str, message: Value| {
        let state = json!({"waiting": {"reason": reason, "message": message}});
        let status = json!({"name": "engine", "image": "", "imageID": "", "ready": false, "restartCount": 3,
                            "state": state});
        let pods = [pod_with("w", &json!({"status": {"initContainerStatuses": [status]}}))];
        observed(&pods, stats(vec![], vec![])).trouble
    };
    assert_eq!(
        waiting("ImagePullBackOff", json!("no such image")).as_deref(),
        Some("container engine of Pod w: ImagePullBackOff: no such image")
    );
    assert_eq!(
        waiting("CrashLoopBackOff", Value::Null).as_deref(),
        Some("container engine of Pod w: CrashLoopBackOff")
    );
    assert_eq!(waiting("PodInitializing", Value::Null), None);
}

#[test]
fn a_pod_that_ended_before_its_worker_spoke_failed_and_one_whose_machine_went_is_gone() {
    let ended = |reason: &str| {
        let status = json!({"phase": "Failed", "reason": reason, "message": "Pod was rejected"});
        json!({"status": status})
    };
    let refused = one(&ended("OutOfnvidia.com/gpu"), stats(vec![], vec![]));
    assert_eq!((refused.phase, refused.health), (Phase::Failed, Health::Healthy));
    let trouble = refused.trouble.unwrap();
    assert_eq!(trouble.message, "OutOfnvidia.com/gpu: Pod was rejected");
    let went = one(&ended("NodeShutdown"), stats(vec![], vec![]));
    assert_eq!(went.health, Health::Gone);
    let spoke = one(&ended("OOMKilled"), stats(vec![seen("w", 3)], vec![]));
    assert_eq!(spoke.health, Health::Gone);
}

#[test]
fn a_worker_that_waits_for_something_is_not_ready_and_says_why() {
    let trouble = queue::Trouble { reason: queue::Reason::OutputMissing, message: "no such bucket".into() };
    let waits = WorkerSeen { state: WorkerState::Starting, trouble: Some(trouble), ..seen("w", 1) };
    let worker = one(&json!({}), stats(vec![waits], vec![]));
    assert!(matches!(worker.phase, Phase::Starting { .. }));
    let trouble = worker.trouble.unwrap();
    assert_eq!((trouble.fault, trouble.message.as_str()), (policy::Fault::Pool, "no such bucket"));
}
