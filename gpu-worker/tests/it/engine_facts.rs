//! What a worker tells of its engine.

use std::io::Read as _;

use flate2::read::GzDecoder;
use queue::EngineSeen;
use serde_json::Value;
use testkit::wait_for;

use crate::rig::{PATIENCE, Rig, steps_of};

impl Rig {
    async fn told(&self) -> Vec<EngineSeen> {
        let told = async || {
            let told = self.queue.engines().await.ok()?;
            (!told.is_empty()).then_some(told)
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
