use std::time::Duration;

use bytes::Bytes;
use store::Latent;
use testkit::wait_for;
use tokio::time::timeout;

use crate::{open, output, server};

fn latent(steps: u32) -> Latent {
    let file = Bytes::from(vec![u8::try_from(steps).expect("small"); 1000]);
    Latent { steps, recipe: "20 steps of a lighthouse".into(), gpu_ms: 4_000, file }
}

#[tokio::test]
async fn a_latent_is_read_back_and_the_latest_counts() {
    let s3 = server().await;
    let store = open(&s3, &output(&s3)).await;
    let key = store.output().latent_key("7d3c", 0);
    assert_eq!(store.get_latent(&key).await.expect("answered"), None);

    for steps in [5, 10] {
        store.put_latent(&key, &latent(steps)).await.expect("stored");
        assert_eq!(store.get_latent(&key).await.expect("read"), Some(latent(steps)));
    }

    store.delete(&key).await.expect("deleted");
    assert_eq!(store.get_latent(&key).await.expect("answered"), None);
}

#[tokio::test]
async fn what_is_no_latent_of_ours_is_none() {
    let s3 = server().await;
    let store = open(&s3, &output(&s3)).await;
    store
        .put_file("generated/latents/x.latent", Bytes::from_static(b"?"), &crate::facts())
        .await
        .expect("put");
    assert_eq!(store.get_latent("generated/latents/x.latent").await.expect("read"), None);
}

/// As when its worker is killed: the server has the old latent or the new one then, and never parts of both.
#[tokio::test]
async fn a_writer_that_is_cut_off_leaves_a_whole_latent() {
    let s3 = server().await;
    let store = open(&s3, &output(&s3)).await;
    let key = store.output().latent_key("7d3c", 0);
    store.put_latent(&key, &latent(0)).await.expect("stored");
    for round in 1..80 {
        let cut_off = Duration::from_micros(50 * u64::from(round));
        let _ = timeout(cut_off, store.put_latent(&key, &latent(round))).await;
        let whole = wait_for("a whole latent", Duration::from_secs(5), async || {
            store.get_latent(&key).await.ok().flatten()
        });
        let found = whole.await.expect("a latent");
        assert_eq!(found, latent(found.steps), "round {round}");
    }
}
