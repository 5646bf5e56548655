//! Pictures made in segments: what was done before an interruption is not done again, and does not show.

use std::io::Cursor;

use bytes::Bytes;
use comfyui_sim::{Fault, FaultKind};
use queue::{JobUid, Outcome, TaskResult};
use store::Latent;
use testkit::wait_for;

use crate::rig::{PATIENCE, Picture, Rig, Worker, picture, steps_of};

const STEPS: u32 = 40;
const SEGMENTS: u32 = 4;

/// Cut after 10, 20 and 30 steps, by a sampler that shows where it was cut.
fn in_segments() -> Picture {
    Picture { segments: SEGMENTS, sampler: "dpmpp_2m", ..picture(STEPS) }
}

fn key(rig: &Rig, job: &JobUid) -> String {
    rig.store.output().latent_key(&job.0, 0)
}

/// What is kept of the job's image. While it is being replaced, the server of the tests gives out neither.
async fn latent(rig: &Rig, job: &JobUid) -> Option<Latent> {
    let key = key(rig, job);
    let read = wait_for("a whole latent", PATIENCE, async || rig.store.get_latent(&key).await.ok());
    read.await.expect("an answer")
}

/// Waits until so many steps of the job's image are kept.
async fn kept(rig: &Rig, job: &JobUid, steps: u32) -> Latent {
    wait_for("a latent to be kept", PATIENCE, async || latent(rig, job).await.filter(|l| l.steps >= steps))
        .await
        .expect("kept")
}

/// The latent goes before its task's last word: whatever kills the worker then, somebody has the task and removes it.
async fn is_removed_first(rig: &Rig, job: &JobUid) {
    assert_eq!(latent(rig, job).await, None, "it is still there when the picture is reported");
}

async fn nothing_is_kept(rig: &Rig, job: &JobUid) {
    let gone =
        wait_for("the latent to go", PATIENCE, async || latent(rig, job).await.is_none().then_some(()));
    gone.await.expect("gone");
}

/// The machine goes: worker and engine at once.
async fn lose(rig: &mut Rig, worker: &mut Worker) {
    rig.sim.stop();
    worker.kill9();
    rig.restart_engine().await;
}

/// A job in the middle of its only image, whose machine was lost once `steps` of it were kept.
async fn interrupted(rig: &mut Rig, steps: u32) -> JobUid {
    let mut worker = rig.worker().await;
    let job = rig.enqueue(in_segments(), |_, _| ()).await;
    kept(rig, &job, steps).await;
    lose(rig, &mut worker).await;
    job
}

/// Steps that a worker did not take, since an earlier attempt had.
async fn resumed(worker: &Worker) -> u32 {
    let (_, metrics) = worker.page("/metrics").await.expect("metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix("gpu_worker_steps_resumed_total "));
    line.expect("a metric").parse().expect("a number")
}

fn result(outcome: &Outcome) -> &TaskResult {
    outcome.result.as_ref().expect("a picture")
}

async fn pixels(rig: &Rig, outcome: &Outcome) -> Vec<u8> {
    let file = rig.store.get(&result(outcome).outputs[0].key).await.expect("stored");
    let mut reader = png::Decoder::new(Cursor::new(file)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    reader.next_frame(&mut pixels).expect("pixels");
    pixels
}

#[tokio::test]
async fn after_a_lost_machine_a_picture_goes_on_at_its_last_cut_and_looks_the_same() {
    let mut rig = Rig::start(steps_of(30)).await;
    let job = interrupted(&mut rig, 20).await;

    let worker = rig.worker().await;
    let outcome = rig.outcomes(&job, 1).await.remove(0);

    assert_eq!(outcome.attempts, 2);
    let done = resumed(&worker).await;
    assert!(done >= 20, "{done} steps resumed");
    assert_eq!(rig.sim.stats().steps, u64::from(STEPS - done), "no step is taken twice");
    let spent = result(&outcome).gpu_ms;
    assert!(spent >= u64::from(STEPS) * 30, "{spent} ms: both attempts count");
    is_removed_first(&rig, &job).await;

    let undisturbed = rig.enqueue(in_segments(), |_, _| ()).await;
    let whole = rig.outcomes(&undisturbed, 1).await.remove(0);
    is_removed_first(&rig, &undisturbed).await;
    assert_eq!(whole.attempts, 1);
    assert_eq!(pixels(&rig, &outcome).await, pixels(&rig, &whole).await);
}

#[tokio::test]
async fn an_engine_that_dies_between_segments_goes_on_where_it_was() {
    let mut rig = Rig::start(steps_of(30)).await;
    let worker = rig.worker().await;
    let job = rig.enqueue(in_segments(), |job, _| job.retries = 2).await;
    kept(&rig, &job, 10).await;
    rig.sim.stop();
    rig.restart_engine().await;
    let outcome = rig.outcomes(&job, 1).await.remove(0);
    let done = resumed(&worker).await;
    assert!(done >= 10, "{done} steps resumed");
    assert_eq!((outcome.attempts, rig.sim.stats().steps), (2, u64::from(STEPS - done)));
}

#[tokio::test]
async fn progress_is_told_over_all_segments() {
    let mut rig = Rig::start(steps_of(150)).await;
    let job = interrupted(&mut rig, 10).await;
    let _worker = rig.worker().await;
    let told = wait_for("progress of the second attempt", PATIENCE, async || {
        let lease = rig.queue.stats().await.expect("stats").leases.into_iter().next()?;
        lease.progress.filter(|_| lease.attempt == 2)
    });
    let (steps, of) = told.await.expect("told");
    assert_eq!(of, STEPS);
    assert!(steps > 10, "{steps} told, at least 10 of them by the first attempt");
    rig.queue.cancel(&job).await.expect("cancelled");
    nothing_is_kept(&rig, &job).await;
    rig.engine_idles().await;
}

#[tokio::test]
async fn a_latent_of_no_use_costs_no_more_than_its_steps() {
    let mut rig = Rig::start(steps_of(30)).await;
    type Spoil = fn(Latent) -> Option<Latent>;
    let spoil: [(&str, Spoil); 4] = [
        ("junk", |latent| Some(Latent { file: Bytes::from_static(b"not safetensors"), ..latent })),
        ("another recipe", |latent| Some(Latent { recipe: "another picture".into(), ..latent })),
        ("no cut", |latent| Some(Latent { steps: 13, ..latent })),
        ("missing", |_| None),
    ];
    for (what, spoil) in spoil {
        let job = interrupted(&mut rig, 10).await;
        match spoil(latent(&rig, &job).await.expect("kept")) {
            Some(spoilt) => rig.store.put_latent(&key(&rig, &job), &spoilt).await.expect("put"),
            None => rig.store.delete(&key(&rig, &job)).await.expect("deleted"),
        }
        let mut worker = rig.worker().await;
        let outcome = rig.outcomes(&job, 1).await.remove(0);
        assert!(outcome.result.is_ok(), "{what}: {outcome:?}");
        assert_eq!((outcome.attempts, rig.sim.stats().steps), (2, u64::from(STEPS)), "{what}");
        nothing_is_kept(&rig, &job).await;
        worker.kill9();
    }
}

#[tokio::test]
async fn without_a_bucket_for_latents_the_picture_is_made_all_the_same() {
    let mut rig = Rig::start(steps_of(50)).await;
    let worker = rig.worker().await;
    let job = rig.enqueue(in_segments(), |_, _| ()).await;
    rig.engine_works().await;
    rig.s3.stop();
    wait_for("a latent that can't be kept", PATIENCE, async || {
        worker.log().contains("latent not kept").then_some(())
    })
    .await
    .expect("tried");
    worker.is_ready().await;
    rig.restart_s3().await;
    let outcome = rig.outcomes(&job, 1).await.remove(0);
    assert!(outcome.result.is_ok(), "{outcome:?}");
    assert_eq!((outcome.attempts, rig.sim.stats().steps), (1, u64::from(STEPS)));
    nothing_is_kept(&rig, &job).await;
}

#[tokio::test]
async fn what_fails_begins_anew() {
    let rig = Rig::start(steps_of(20)).await;
    let worker = rig.worker().await;
    // In the third segment, and again when its memory was freed.
    rig.sim.set_faults(vec![Fault { step: 25, ..Fault::always(FaultKind::OutOfMemory) }]);
    let job = rig.enqueue(in_segments(), |_, _| ()).await;
    worker.says("/metrics", 200, "gpu_worker_failures_total{reason=\"OutOfMemory\"} 1").await;
    nothing_is_kept(&rig, &job).await;
}

#[tokio::test]
async fn a_cancelled_job_leaves_no_latent() {
    let rig = Rig::start(steps_of(50)).await;
    let _worker = rig.worker().await;
    let job = rig.enqueue(in_segments(), |_, _| ()).await;
    kept(&rig, &job, 10).await;
    rig.queue.cancel(&job).await.expect("cancelled");
    rig.engine_idles().await;
    nothing_is_kept(&rig, &job).await;
}

#[tokio::test]
async fn a_picture_in_one_piece_keeps_nothing_on_its_way() {
    let rig = Rig::start(steps_of(1)).await;
    let _worker = rig.worker().await;
    let job = rig.enqueue(picture(STEPS), |_, _| ()).await;
    assert!(rig.outcomes(&job, 1).await[0].result.is_ok());
    let requests = rig.s3.requests();
    assert!(!requests.iter().any(|request| request.path.contains("/latents/")), "{requests:?}");
}
