//! What a worker tells of its engine.

use std::io::Read as _;

use comfyui_sim::{Answer, Fault, FaultKind};
use flate2::read::GzDecoder;
use queue::{EngineSeen, EnginesRead};
use serde_json::Value;
use testkit::wait_for;

use crate::rig::{PATIENCE, Rig, picture, steps_of};

impl Rig {
    async fn told(&self) -> Vec<EngineSeen> {
        let told = async || {
            let mut told = EnginesRead::default();
            self.queue.engines(&mut told).await.ok()?;
            (!told.engines.is_empty()).then_some(told.engines)
        };
        wait_for("what the engine has", PATIENCE, told).await.expect("told")
    }
}

fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut unpacked = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut unpacked).expect("gzip");
    unpacked
}

#[tokio::test]
async fn a_worker_tells_what_its_engine_has_and_stores_it_for_clients() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker_with(&["WORKER_TEMPLATE=2.a.b"]);
    let told = rig.told().await;
    let facts = &told[0].facts;
    assert_eq!((told.len(), facts.template.as_str()), (1, "2.a.b"));
    assert!(facts.version.starts_with("0."), "{facts:?}");
    let checkpoints = facts.models.iter().filter(|model| model.folder == "checkpoints");
    assert!(checkpoints.clone().count() > 0 && checkpoints.clone().all(|model| model.bytes.is_some()));

    let has_definitions = async || rig.queue.definitions(&facts.digest).await.ok()?;
    let packed = wait_for("the definitions", PATIENCE, has_definitions).await.expect("told");
    let definitions: Value = serde_json::from_slice(&unpacked(&packed)).expect("JSON");
    assert!(definitions["KSampler"]["input"].is_object());
    let stored = rig.store.get(facts.key.as_deref().expect("a key")).await.expect("stored");
    assert_eq!(stored, packed, "clients find the same in the bucket");
}

#[tokio::test]
async fn an_engine_that_comes_back_is_told_of_anew_and_a_queue_that_lost_it_hears_it_again() {
    let mut rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    let digest = rig.told().await[0].facts.digest.clone();
    let has_definitions = async || rig.queue.definitions(&digest).await.ok()?;
    wait_for("the definitions", PATIENCE, has_definitions).await.expect("told");
    rig.queue.delete_all().await.expect("emptied");
    rig.restart_engine().await;
    assert_eq!(rig.told().await[0].facts.digest, digest);
}

/// What can't be told holds no picture up, and is told as soon as the engine answers.
#[tokio::test]
async fn an_engine_that_does_not_list_what_it_has_works_all_the_same() {
    let rig = Rig::start(steps_of(0)).await;
    let fails = |route: &str, status| FaultKind::Answer { route: route.into(), how: Answer::Status(status) };
    let definitions = Fault { times: Some(2), ..Fault::always(fails("object_info", 500)) };
    // As an engine that is older than this route.
    rig.sim.set_faults(vec![definitions, Fault::always(fails("experiment", 404))]);
    let _worker = rig.worker().await;
    let job = rig.enqueue(picture(1), |_, _| ()).await;
    assert!(rig.outcomes(&job, 1).await[0].result.is_ok());
    let told = rig.told().await.remove(0).facts;
    let mut checkpoints = told.models.iter().filter(|model| model.folder == "checkpoints").peekable();
    assert!(checkpoints.peek().is_some() && checkpoints.all(|model| model.bytes.is_none()), "{told:?}");
}
