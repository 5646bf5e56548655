//! A server that speaks SQS and SNS: moto's, shared by the tests of this binary. Each test has queues of its own.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
};

use reqwest::Client;
use serde_json::{Value, json};
use testkit::{Process, free_port, wait_for};
use tokio::sync::OnceCell;

use crate::{
    clients::python_with,
    rig::{PATIENCE, Rig},
};

const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/moto/requirements.txt");
/// moto's one account.
const ACCOUNT: &str = "123456789012";

/// The server as one test sees it.
pub(crate) struct Moto {
    pub(crate) address: SocketAddr,
    http: Client,
    /// What the names of the test's queues begin with.
    prefix: String,
}

/// How many messages a queue has.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) struct Depth {
    pub(crate) visible: u32,
    /// Received, and neither deleted nor visible again.
    pub(crate) in_flight: u32,
}

pub(crate) const EMPTY: Depth = Depth { visible: 0, in_flight: 0 };

impl Moto {
    pub(crate) async fn start() -> Self {
        /// It is killed when this process ends.
        static SERVER: OnceCell<(Process, SocketAddr)> = OnceCell::const_new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let http = Client::new();
        let (_, address) = SERVER
            .get_or_init(async || {
                let address = SocketAddr::from(([127, 0, 0, 1], free_port().expect("a port")));
                let python = python_with(REQUIREMENTS).await;
                let port = address.port().to_string();
                let args = ["-m", "moto.server", "-H", "127.0.0.1", "-p", &port].map(OsString::from);
                let log = tempfile::tempfile().expect("a file");
                let process = Process::spawn_logged(python, args, log).expect("a server");
                wait_for("moto", PATIENCE, async || {
                    http.get(format!("http://{address}/moto-api/data.json")).send().await.ok().map(drop)
                })
                .await
                .expect("it answers");
                (process, address)
            })
            .await;
        let prefix = format!("t{}-", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { address: *address, http, prefix }
    }

    /// The keys that replicas use, as the Secret `aws` of the tenants' namespace.
    pub(crate) async fn keys(&self, rig: &Rig) {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "aws"},
            "stringData": {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret\n"}});
        let patch = kube::api::Patch::Apply(secret);
        rig.secrets().patch("aws", &kube::api::PatchParams::apply("test"), &patch).await.expect("a Secret");
    }

    pub(crate) fn url(&self, queue: &str) -> String {
        format!("http://{}/{ACCOUNT}/{}{queue}", self.address, self.prefix)
    }

    pub(crate) fn arn(&self, service: &str, name: &str) -> String {
        format!("arn:aws:{service}:us-east-1:{ACCOUNT}:{}{name}", self.prefix)
    }

    /// The queue as an ImageTenant names it.
    pub(crate) fn named(&self, queue: &str) -> Value {
        json!({"queueURL": self.url(queue), "credentialsSecretRef": {"name": "aws"}})
    }

    pub(crate) async fn queue(&self, name: &str, attributes: Value) {
        let name = format!("{}{name}", self.prefix);
        self.sqs("CreateQueue", json!({"QueueName": name, "Attributes": attributes})).await;
    }

    /// A queue whose messages are taken to the queue `dead` when they were received so often.
    pub(crate) async fn queue_with_dead_letters(&self, name: &str, receives: u32) {
        self.queue("dead", json!({})).await;
        let policy =
            json!({"deadLetterTargetArn": self.arn("sqs", "dead"), "maxReceiveCount": receives.to_string()});
        self.queue(name, json!({"RedrivePolicy": policy.to_string()})).await;
    }

    pub(crate) async fn delete_queue(&self, name: &str) {
        self.sqs("DeleteQueue", json!({"QueueUrl": self.url(name)})).await;
    }

    /// Sends a message; returns its id.
    pub(crate) async fn send(&self, queue: &str, body: &str, key: Option<&str>) -> String {
        let mut message = json!({"QueueUrl": self.url(queue), "MessageBody": body});
        if let Some(key) = key {
            message["MessageAttributes"] =
                json!({"Idempotency-Key": {"DataType": "String", "StringValue": key}});
        }
        if queue.ends_with(".fifo") {
            message["MessageGroupId"] = json!("one");
            message["MessageDeduplicationId"] = json!(body.len().to_string());
        }
        self.sqs("SendMessage", message).await["MessageId"].as_str().expect("an id").to_owned()
    }

    pub(crate) async fn depth(&self, queue: &str) -> Depth {
        let asked = json!({"QueueUrl": self.url(queue), "AttributeNames": ["All"]});
        let attributes = self.sqs("GetQueueAttributes", asked).await["Attributes"].clone();
        let number = |name: &str| attributes[name].as_str().expect("a number").parse().expect("a number");
        Depth {
            visible: number("ApproximateNumberOfMessages"),
            in_flight: number("ApproximateNumberOfMessagesNotVisible"),
        }
    }

    /// Waits until a queue is like this.
    pub(crate) async fn has(&self, queue: &str, wanted: Depth) {
        let reached =
            wait_for("a queue", PATIENCE, async || (self.depth(queue).await == wanted).then_some(()));
        if let Err(error) = reached.await {
            panic!("{error}: {queue} has {:?} and not {wanted:?}", self.depth(queue).await);
        }
    }

    /// Takes `n` messages off a queue.
    pub(crate) async fn take(&self, queue: &str, n: usize) -> Vec<Value> {
        let mut taken: BTreeMap<String, Value> = BTreeMap::new();
        let asked = json!({"QueueUrl": self.url(queue), "MaxNumberOfMessages": 10, "AttributeNames": ["All"],
            "MessageAttributeNames": ["All"], "VisibilityTimeout": 600});
        let mut all = Vec::new();
        wait_for("messages", PATIENCE, async || {
            let answer = self.sqs("ReceiveMessage", asked.clone()).await;
            for message in answer["Messages"].as_array().into_iter().flatten() {
                taken.insert(message["MessageId"].to_string(), message.clone());
            }
            (taken.len() >= n).then(|| all = taken.values().cloned().collect())
        })
        .await
        .expect("messages");
        all
    }

    async fn sqs(&self, action: &str, body: Value) -> Value {
        let request = self
            .http
            .post(format!("http://{}/", self.address))
            .header("x-amz-target", format!("AmazonSQS.{action}"))
            .header("content-type", "application/x-amz-json-1.0")
            .header("authorization", authorization("sqs"))
            .body(body.to_string());
        let answer = request.send().await.expect("an answer");
        let (status, text) = (answer.status(), answer.text().await.expect("a text"));
        assert!(status.is_success(), "{action}: {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// A topic all of whose messages go to a queue as they are.
    pub(crate) async fn topic(&self, name: &str, queue: &str) {
        self.sns(&[("Action", "CreateTopic"), ("Name", &format!("{}{name}", self.prefix))]).await;
        self.sns(&[
            ("Action", "Subscribe"),
            ("TopicArn", &self.arn("sns", name)),
            ("Protocol", "sqs"),
            ("Endpoint", &self.arn("sqs", queue)),
            ("Attributes.entry.1.key", "RawMessageDelivery"),
            ("Attributes.entry.1.value", "true"),
        ])
        .await;
    }

    async fn sns(&self, fields: &[(&str, &str)]) {
        let mut form = reqwest::Url::parse("http://form/").expect("a URL");
        form.query_pairs_mut().extend_pairs(fields).append_pair("Version", "2010-03-31");
        let request = self
            .http
            .post(format!("http://{}/", self.address))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", authorization("sns"))
            .body(form.query().unwrap_or_default().to_owned());
        let answer = request.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.text().await.expect("a text"));
    }
}

/// By which moto tells the service; it checks no signature.
fn authorization(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=a"
    )
}
