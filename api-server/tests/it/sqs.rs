//! Jobs from queues of SQS, and completions to queues and topics.

use std::{collections::BTreeSet, time::Duration};

use crds::ImageJob;
use kube::{
    ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use testkit::{Fault, wait_for};

use crate::{
    moto::{Depth, EMPTY, Moto},
    rig::{PATIENCE, Replica, Rig, answer, picture},
};

/// A tenant whose jobs come from the queue `orders`.
fn from_orders(moto: &Moto, more: &Value) -> Value {
    let mut spec = json!({"intakes": [{"name": "orders", "sqs": moto.named("orders")}]});
    spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    spec
}

fn order(prompt: &str) -> String {
    picture(prompt).to_string()
}

async fn jobs(rig: &Rig, n: usize) -> Vec<ImageJob> {
    wait_for("jobs", PATIENCE, async || {
        Some(rig.jobs().list(&ListParams::default()).await.unwrap().items).filter(|jobs| jobs.len() >= n)
    })
    .await
    .unwrap()
}

async fn completes(rig: &Rig, job: &ImageJob) {
    let conditions = [("Ready", "Completed"), ("Complete", "Completed")];
    rig.say(&job.name_any(), &conditions, json!({"acceptedTime": "2026-01-01T00:00:00Z"})).await;
}

async fn says(replica: &Replica, words: &str) {
    let said = wait_for("the log", PATIENCE, async || replica.said().contains(words).then_some(()));
    if said.await.is_err() {
        panic!("{words:?} is not in {}", replica.said());
    }
}

#[tokio::test]
async fn a_message_becomes_a_job_of_the_tenant_and_is_deleted() {
    let (rig, moto) = (Rig::start().await, Moto::start().await);
    moto.keys(&rig).await;
    moto.queue("orders", json!({})).await;
    moto.queue("orders.fifo", json!({"FifoQueue": "true"})).await;
    let intakes = json!({"intakes": [
        {"name": "orders", "sqs": moto.named("orders")},
        {"name": "in-order", "sqs": moto.named("orders.fifo"), "poolRef": {"name": "video"}},
    ]});
    let key = rig.tenant_with_key("acme", intakes).await;
    let replica = rig.replica().await;
    let mut labelled = picture("a secret cat");
    labelled["labels"] = json!({"order": "17"});
    moto.send("orders", &labelled.to_string(), None).await;
    moto.send("orders.fifo", &order("a dog"), None).await;
    let made = jobs(&rig, 2).await;
    moto.has("orders", EMPTY).await;
    moto.has("orders.fifo", EMPTY).await;
    assert_eq!(rig.how_many_jobs().await, 2);
    let of_key = |key: &str| made.iter().find(|job| job.labels()["imagejob.dev/api-key"] == key).unwrap();
    let video = of_key("sqs.in-order").spec.pool_ref.as_ref().unwrap();
    assert_eq!((video.name.as_str(), video.namespace.as_ref()), ("video", Some(&rig.studio)));
    let job = of_key("sqs.orders");
    assert_eq!(
        (job.spec.tenant.as_deref(), job.labels()["imagejob.dev/front"].as_str()),
        (Some("acme"), "sqs")
    );
    // By HTTP it is a job like any other.
    let seen = answer(rig.get(&replica, &format!("/v1/jobs/{}", job.name_any()), &key)).await;
    assert_eq!(seen.json["labels"], json!({"order": "17"}), "{seen:?}");
    assert_eq!(
        replica.metric("imagejob_api_submissions_total{front=\"sqs\",outcome=\"created\"}").await,
        Some(2.0)
    );
    assert!(!replica.said().contains("secret cat"));
}

#[tokio::test]
async fn a_message_that_comes_twice_or_to_two_replicas_is_one_job() {
    const ORDERS: usize = 15;
    let (rig, moto) = (Rig::start().await, Moto::start().await);
    moto.keys(&rig).await;
    moto.queue("orders", json!({})).await;
    for n in 0..ORDERS {
        for _ in 0..2 {
            moto.send("orders", &order(&format!("cat {n}")), Some(&format!("order {n}"))).await;
        }
    }
    rig.tenant("acme", from_orders(&moto, &json!({}))).await;
    let _replicas = [rig.replica().await, rig.replica().await];
    moto.has("orders", EMPTY).await;
    assert_eq!(rig.how_many_jobs().await, ORDERS);
    // The same key with another body is refused, and stays on the queue.
    moto.send("orders", &order("a dog"), Some("order 1")).await;
    moto.send("orders", &order("a dog"), Some("another order")).await;
    jobs(&rig, ORDERS + 1).await;
    let Depth { visible, in_flight } = moto.depth("orders").await;
    assert!(visible + in_flight >= 1);
    assert_eq!(rig.how_many_jobs().await, ORDERS + 1);
}

#[tokio::test]
async fn what_cannot_become_a_job_is_told_once_and_ends_with_the_dead_letters() {
    let (rig, moto) = (Rig::start().await, Moto::start().await);
    moto.keys(&rig).await;
    moto.queue_with_dead_letters("orders", 2).await;
    moto.queue("told", json!({})).await;
    let mut crooked = picture("a cat");
    crooked["work"]["textToImage"]["width"] = json!(9);
    let mut elsewhere = picture("a cat");
    elsewhere["poolRef"] = json!({"name": "sd15", "namespace": "others"});
    let bodies = ["{no JSON".to_owned(), crooked.to_string(), elsewhere.to_string()];
    let mut ids = BTreeSet::new();
    for body in &bodies {
        ids.insert(moto.send("orders", body, None).await);
    }
    let told = json!({"webhooks": [{"name": "told", "sqs": moto.named("told")}]});
    rig.tenant("acme", from_orders(&moto, &told)).await;
    let replica = rig.replica().await;
    moto.has("dead", Depth { visible: 3, in_flight: 0 }).await;
    moto.has("orders", EMPTY).await;
    assert_eq!(rig.how_many_jobs().await, 0);
    let messages = moto.take("told", 3).await;
    let told: Vec<Value> =
        messages.iter().map(|told| serde_json::from_str(told["Body"].as_str().unwrap()).unwrap()).collect();
    let named = told.iter().map(|told| told["data"]["messageId"].as_str().unwrap().to_owned());
    assert_eq!(named.collect::<BTreeSet<_>>(), ids);
    assert!(told.iter().all(|told| told["type"] == "job.refused" && told["data"]["intake"] == "orders"));
    let pointers: BTreeSet<&str> =
        told.iter().map(|told| told["data"]["problem"]["errors"][0]["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, BTreeSet::from(["", "/poolRef", "/work/textToImage/width"]));
    assert_eq!(moto.depth("told").await, Depth { visible: 0, in_flight: 3 }, "a refusal was told twice");
    // Whoever repairs the message sends it again, and it is a job.
    assert_eq!(
        replica.metric("imagejob_api_submissions_total{front=\"sqs\",outcome=\"refused\"}").await,
        Some(6.0)
    );
    moto.send("orders", &order("a cat"), None).await;
    jobs(&rig, 1).await;
}

#[tokio::test]
async fn a_message_over_a_limit_waits_and_becomes_a_job_later() {
    let (rig, moto) = (Rig::start().await, Moto::start().await);
    moto.keys(&rig).await;
    moto.queue_with_dead_letters("orders", 1).await;
    rig.tenant("acme", from_orders(&moto, &json!({"limits": {"unfinishedJobs": 1}}))).await;
    let mut replica = rig.replica().await;
    moto.send("orders", &order("a cat"), None).await;
    let first = jobs(&rig, 1).await.remove(0);
    moto.send("orders", &order("a dog"), None).await;
    moto.has("orders", Depth { visible: 0, in_flight: 1 }).await;
    wait_for("the message to wait", PATIENCE, async || {
        replica.metric("imagejob_api_submissions_total{front=\"sqs\",outcome=\"later\"}").await
    })
    .await
    .unwrap();
    completes(&rig, &first).await;
    jobs(&rig, 2).await;
    moto.has("orders", EMPTY).await;
    // It was received once, or it would be there.
    moto.has("dead", EMPTY).await;
    // A replica that is told to stop gives back what it holds.
    moto.queue("others", json!({})).await;
    rig.tenant("acme", json!({"limits": {"unfinishedJobs": 1}, "intakes": [{"name": "orders", "sqs": moto.named("others")}]})).await;
    moto.send("others", &order("a bird"), None).await;
    moto.has("others", Depth { visible: 0, in_flight: 1 }).await;
    tokio::task::spawn_blocking(move || replica.process.terminate()).await.unwrap().unwrap();
    assert_eq!(moto.depth("others").await, Depth { visible: 1, in_flight: 0 });
}

#[tokio::test]
async fn while_the_cluster_is_away_messages_wait() {
    let (mut rig, moto) = (Rig::start().await, Moto::start().await);
    moto.keys(&rig).await;
    moto.queue_with_dead_letters("orders", 1).await;
    moto.queue("told", json!({})).await;
    let told = json!({"webhooks": [{"name": "told", "sqs": moto.named("told"), "events": ["refused"]}]});
    rig.tenant("acme", from_orders(&moto, &told)).await;
    let replica = rig.replica().await;
    moto.send("orders", &order("a cat"), None).await;
    jobs(&rig, 1).await;
    rig.api_proxy.set(Fault::Refuse).await;
    rig.redis_proxy.set(Fault::Refuse).await;
    moto.send("orders", &order("a dog"), None).await;
    // Nobody can be told of this one as long as Redis is away, so it waits too.
    moto.send("orders", "{no JSON", None).await;
    wait_for("the messages to wait", PATIENCE, async || {
        let later = replica.metric("imagejob_api_submissions_total{front=\"sqs\",outcome=\"later\"}").await;
        later.filter(|later| *later >= 1.0)
    })
    .await
    .unwrap();
    assert_eq!(moto.depth("dead").await, EMPTY);
    rig.api_proxy.set(Fault::None).await;
    rig.redis_proxy.set(Fault::None).await;
    jobs(&rig, 2).await;
    moto.take("told", 1).await;
    moto.has("dead", Depth { visible: 1, in_flight: 0 }).await;
    moto.has("orders", EMPTY).await;
}

#[tokio::test]
async fn a_disabled_tenants_queue_is_left_alone_and_changes_count_at_once() {
    let (rig, moto) = (Rig::start().await, Moto::start().await);
    moto.keys(&rig).await;
    for queue in ["orders", "others"] {
        moto.queue(queue, json!({})).await;
    }
    rig.tenant("acme", from_orders(&moto, &json!({"disabled": true}))).await;
    let replica = rig.replica().await;
    moto.send("orders", &order("a cat"), None).await;
    moto.send("others", &order("a dog"), None).await;
    let others = json!({"intakes": [{"name": "others", "sqs": moto.named("others")}]});
    rig.tenant("other", others.clone()).await;
    assert_eq!(jobs(&rig, 1).await[0].spec.tenant.as_deref(), Some("other"));
    assert_eq!(moto.depth("orders").await, Depth { visible: 1, in_flight: 0 });
    rig.tenant("acme", from_orders(&moto, &json!({}))).await;
    jobs(&rig, 2).await;
    rig.tenant("other", json!({})).await;
    says(&replica, "the intake ends").await;
    moto.send("others", &order("a bird"), None).await;
    moto.send("orders", &order("a fish"), None).await;
    jobs(&rig, 3).await;
    moto.has("others", Depth { visible: 1, in_flight: 0 }).await;
    assert_eq!(rig.how_many_jobs().await, 3);
}

#[tokio::test]
async fn the_end_of_a_job_is_sent_to_queues_and_topics() {
    let (rig, moto) = (Rig::start().await, Moto::start().await);
    moto.keys(&rig).await;
    moto.queue("orders", json!({})).await;
    moto.queue("done", json!({})).await;
    moto.queue("done.fifo", json!({"FifoQueue": "true"})).await;
    moto.queue("by-topic", json!({})).await;
    moto.topic("topic", "by-topic").await;
    let topic = json!({"topicArn": moto.arn("sns", "topic"), "endpoint": format!("http://{}", moto.address),
        "credentialsSecretRef": {"name": "aws"}});
    let webhooks = json!({"webhooks": [
        {"name": "queue", "sqs": moto.named("done")},
        {"name": "in-order", "sqs": moto.named("done.fifo"), "events": ["completed"]},
        {"name": "topic", "sns": topic, "events": ["accepted", "completed"]},
    ]});
    let key = rig.tenant_with_key("acme", from_orders(&moto, &webhooks)).await;
    let (replica, _other) = (rig.replica().await, rig.replica().await);
    moto.send("orders", &order("a cat"), None).await;
    let job = jobs(&rig, 1).await.remove(0);
    completes(&rig, &job).await;
    for (queue, n) in [("done", 1), ("done.fifo", 1), ("by-topic", 2)] {
        let messages = moto.take(queue, n).await;
        assert_eq!(moto.depth(queue).await, Depth { visible: 0, in_flight: u32::try_from(n).unwrap() });
        let completed =
            messages.iter().find(|message| message["Body"].as_str().unwrap().contains("job.completed"));
        let message = completed.unwrap();
        let body: Value = serde_json::from_str(message["Body"].as_str().unwrap()).unwrap();
        assert_eq!(body["data"]["id"], json!(job.name_any()), "{queue}: {body}");
        let attribute =
            |name: &str| message["MessageAttributes"][name]["StringValue"].as_str().unwrap().to_owned();
        assert!(attribute("webhook-id").starts_with("msg_"), "{message}");
        assert_eq!(attribute("type"), "job.completed");
        if queue == "done.fifo" {
            assert_eq!(message["Attributes"]["MessageGroupId"], json!(job.name_any()));
            assert_eq!(message["Attributes"]["MessageDeduplicationId"], json!(attribute("webhook-id")));
        }
    }
    let path = format!("/v1/jobs/{}/webhooks", job.name_any());
    wait_for("the log of attempts", PATIENCE, async || {
        let log = answer(rig.get(&replica, &path, &key)).await.json;
        let attempts = log["attempts"].as_array()?;
        let to = |url: &str| attempts.iter().any(|attempt| attempt["url"] == url && attempt["status"] == 200);
        (to(&moto.url("done")) && to(&moto.arn("sns", "topic"))).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_queue_that_cannot_be_had_is_told_and_holds_up_no_other() {
    let (rig, moto) = (Rig::start().await, Moto::start().await);
    moto.keys(&rig).await;
    for queue in ["orders", "deleted", "locked"] {
        moto.queue(queue, json!({})).await;
    }
    let mut locked = moto.named("locked");
    locked["credentialsSecretRef"] = json!({"name": "lost"});
    let intakes = json!({"intakes": [
        {"name": "orders", "sqs": moto.named("orders")},
        {"name": "deleted", "sqs": moto.named("deleted")},
        {"name": "locked", "sqs": locked},
    ]});
    moto.delete_queue("deleted").await;
    rig.tenant("acme", intakes).await;
    let replica = rig.replica().await;
    moto.send("orders", &order("a cat"), None).await;
    moto.send("locked", &order("a dog"), None).await;
    jobs(&rig, 1).await;
    says(&replica, "NonExistentQueue").await;
    says(&replica, "lost\\\" can't be read").await;
    let errors = replica.metric("imagejob_api_sqs_errors_total{action=\"receive\"}").await;
    assert!(errors.is_some_and(|errors| errors >= 2.0), "{errors:?}");
    assert!(!replica.said().contains("secret\n"));
    // Once they are there, they are used.
    moto.queue("deleted", json!({})).await;
    moto.send("deleted", &order("a bird"), None).await;
    let lost = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "lost"},
        "stringData": {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "a"}});
    rig.secrets().patch("lost", &PatchParams::apply("test"), &Patch::Apply(lost)).await.unwrap();
    wait_for("all jobs", Duration::from_secs(90), async || (rig.how_many_jobs().await == 3).then_some(()))
        .await
        .unwrap();
}
