//! How a worker is set up: keys, files and names as they stand in Secrets and templates.

use queue::{Queue, Reason, WorkerState};
use testkit::{Redis, RedisOptions, Transport, wait_for};

use crate::rig::{PATIENCE, Rig, picture, steps_of};

#[tokio::test]
async fn line_breaks_behind_keys_and_urls_do_no_harm() {
    let rig = Rig::start(steps_of(0)).await;
    let key = format!("AWS_ACCESS_KEY_ID={}\n", rig.s3.options().access_key);
    let secret = format!("AWS_SECRET_ACCESS_KEY={}\r\n", rig.s3.options().secret_key);
    let endpoint = format!("--s3-endpoint={}\r\n", rig.s3.endpoint());
    let redis = format!("--redis=redis://{}\n", rig.redis_proxy.address());
    let worker =
        rig.worker_with(&[&key, &secret, &endpoint, &redis, "AWS_REGION=eu-west-3\n", "BUCKET=images\n"]);
    worker.is_ready().await;
    let job = rig.enqueue(picture(1), |_, _| ()).await;
    assert!(rig.outcomes(&job, 1).await[0].result.is_ok());
}

#[tokio::test]
async fn a_key_that_no_request_can_carry_is_told_by_name_and_ends_nothing() {
    let rig = Rig::start(steps_of(0)).await;
    for key in ["AWS_ACCESS_KEY_ID=te\nst", "AWS_ACCESS_KEY_ID=t\u{e9}st", "AWS_SESSION_TOKEN=to ken"] {
        let worker = rig.worker_with(&[key]);
        let (name, _) = key.split_once('=').expect("a name");
        worker.says("/readyz", 503, name).await;
        let told = wait_for("the trouble", PATIENCE, async || rig.seen(&worker).await?.trouble);
        let trouble = told.await.expect("told");
        assert!(trouble.reason == Reason::OutputDenied && trouble.message.contains(name), "{trouble:?}");
    }
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_told_in_the_queue_before_the_worker_is_ready() {
    let rig = Rig::start(steps_of(0)).await;
    let worker = rig.worker_with(&["--bucket=imagse"]);
    let told = wait_for("the trouble", PATIENCE, async || {
        let seen = rig.seen(&worker).await?;
        Some((seen.state, seen.trouble?))
    });
    let (state, trouble) = told.await.expect("told");
    assert_eq!((state, trouble.reason), (WorkerState::Starting, Reason::OutputMissing));
    assert!(trouble.message.contains("imagse"), "{trouble:?}");
}

#[tokio::test]
async fn what_can_never_work_ends_the_worker_and_is_left_in_the_termination_log() {
    let rig = Rig::start(steps_of(0)).await;
    for (flag, word) in [
        ("--redis=http://nowhere", "REDIS_URL"),
        ("REDIS_CA_FILE=/no/such/file.pem", "REDIS_CA_FILE"),
        ("--bucket=a/b", "bucket"),
    ] {
        let log = tempfile::NamedTempFile::new().expect("a file");
        let log_flag = format!("--termination-log={}", log.path().display());
        let mut worker = rig.worker_with(&[flag, &log_flag]);
        assert!(!worker.exit().await.success(), "{flag}");
        let said = std::fs::read_to_string(log.path()).expect("a reason");
        assert!(said.contains(word), "{flag}: {said}");
    }
}

#[tokio::test]
async fn redis_behind_a_private_authority_is_reached_with_its_file() {
    let rig = Rig::start(steps_of(0)).await;
    let options = RedisOptions { transport: Transport::Tls, ..RedisOptions::default() };
    let redis = Redis::start(options).await.expect("Redis");
    let url = format!("--redis={}", redis.url());
    let without = rig.worker_with(&[&url]);
    without.says("/readyz", 503, "redis:").await;
    let file = format!("REDIS_CA_FILE={}\n", redis.ca_file().display());
    let with = rig.worker_with(&[&url, &file]);
    with.is_ready().await;
    let tls = queue::Tls { ca: Some(std::fs::read(redis.ca_file()).expect("a file")), client: None };
    let connected = queue::Redis::connect_with(&redis.url(), tls).await.expect("connected");
    let queue = Queue::new(connected, "studio/sd15");
    let seen = wait_for("a heartbeat", PATIENCE, async || {
        let stats = queue.stats().await.expect("stats");
        stats.workers.into_iter().find(|seen| seen.worker.0 == with.id)
    });
    seen.await.expect("seen");
}
