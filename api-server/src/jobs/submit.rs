//! A job is created: as an ImageJob whose name follows from the Idempotency-Key, so that a request that comes again meets
//! the job of the first, whatever was restarted in between.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http;
use crds::{
    GROUP, ImageJobSpec, VERSION,
    names::{ANNOTATION_REQUEST, ANNOTATION_TRACEPARENT, LABEL_API_KEY, LABEL_FRONT, LABEL_TENANT},
};
use jiff::Timestamp;
use kube::{
    Api,
    api::{DeleteParams, Preconditions},
    core::Status,
};
use serde_json::{Map, Value, json};
use telemetry::Traceparent;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::{JobStore, RETRY_AFTER, away, digest::digest, may};
use crate::{
    auth::Caller,
    cache::{Job, JobObject, PoolKey, Request, State, Tenant},
    error::{Error, Fault},
    limits::{Left, NewJob},
    webhooks::Webhook,
};

/// The UUID v5 namespace of jobs with an Idempotency-Key. Changing it would let every key count anew.
const KEYED: Uuid = Uuid::from_u128(0x0f3b_7c52_91d4_5e0a_8a66_3d21_c7b9_4e10);
/// The longest key, in characters.
const LONGEST_KEY: usize = 255;
/// Labels of a request: how many, and how long a name or a value may be, in characters.
const MOST_LABELS: usize = 16;
const LONGEST_LABEL: usize = 256;
/// For the API server's answer to one try.
const TRY: Duration = Duration::from_secs(8);
/// For all tries together.
const TRIES: Duration = Duration::from_secs(12);
/// How jobs are created.
const CREATE: &str = "fieldManager=imagejob-api&fieldValidation=Strict";
const BETWEEN_TRIES: Duration = Duration::from_millis(500);
/// A request that was not answered may still be carried out for so long: the API server's own limit, and some more.
const LATEST: Duration = Duration::from_secs(90);

/// What a request says that it may come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Reads the header's value, with or without quotes.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
        let printable = bare.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if bare.is_empty() || bare.len() > LONGEST_KEY || !printable {
            let detail =
                format!("the header Idempotency-Key has 1 to {LONGEST_KEY} printable ASCII characters");
            return Err(Error::invalid("", detail));
        }
        Ok(Self(bare.to_owned()))
    }

    /// The name of the tenant's job.
    fn job_name(&self, tenant: &str) -> String {
        Uuid::new_v5(&KEYED, format!("{tenant}\0{}", self.0).as_bytes()).to_string()
    }
}

/// What is to be made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Submission {
    /// The spec of the ImageJob, as the request has it.
    pub(crate) spec: Map<String, Value>,
    /// What the caller calls it.
    pub(crate) labels: BTreeMap<String, String>,
    /// The pool that the URL names, if any; a job that names none is for it.
    pub(crate) pool: Option<PoolKey>,
    /// Who is to be told of the job.
    pub(crate) webhook: Option<Webhook>,
    /// The front by which the request came.
    pub(crate) front: &'static str,
    pub(crate) key: Option<IdempotencyKey>,
    /// The job's name, where the front's protocol lets the caller choose it; it counts as an Idempotency-Key.
    pub(crate) name: Option<Uuid>,
    /// What the front keeps for its own answers, some hundred bytes.
    pub(crate) kept: Map<String, Value>,
    /// The client says that it has sent the same before, but has no key for it: a job of the same front and body that is not
    /// older counts as created by that request.
    pub(crate) repeats_within: Option<Duration>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) struct Submitted {
    pub(crate) job: Arc<Job>,
    /// `false`: an earlier request with the same key and body has created it.
    pub(crate) is_new: bool,
    /// What of the tenant's limit of requests is left.
    pub(crate) left: Option<Left>,
}

/// The jobs with a key that this replica is creating.
#[derive(Debug, Clone, Default)]
pub(crate) struct Making(Arc<Mutex<HashSet<String>>>);

struct Turn {
    making: Making,
    name: String,
}

impl Making {
    fn begin(&self, name: &str) -> Option<Turn> {
        let new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        new.then(|| Turn { making: self.clone(), name: name.to_owned() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.making.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

/// How a try to create a job ended.
enum Tried {
    Created(Box<JobObject>),
    /// There is a job of this name.
    Exists,
    Refused(Error),
    /// The request did not reach the API server, or was turned away.
    NotCarriedOut,
    /// Nobody knows whether it was created.
    Unclear,
}

impl JobStore {
    /// Creates a job.
    ///
    /// # Errors
    /// - [`Error::OverLimit`] when the tenant may not have it now;
    /// - [`Error::Invalid`] when the API server or the tenant's rules refuse it;
    /// - [`Error::KeyReused`] and [`Error::InProgress`], of requests with a key;
    /// - [`Error::Unavailable`] when the API server can't be reached. Nothing is created then;
    /// - [`Error::Unclear`] of a request with a key, when the API server broke off: the same request finds the job, if there
    ///   is one.
    pub(crate) async fn submit(&self, caller: &Caller, submission: Submission) -> Result<Submitted, Error> {
        caller.may_write()?;
        let Submission { mut spec, labels, pool, webhook, front, key, name, kept, repeats_within } =
            submission;
        check_labels(&labels)?;
        webhook.as_ref().map(Webhook::check).transpose()?;
        name_the_pool(&mut spec, pool);
        let tenant = &caller.tenant;
        let digest = digest(&spec, &labels);
        if let Some(within) = repeats_within
            && let Some(job) = self.created_before(tenant, front, &digest, within)
        {
            return Ok(Submitted { job, is_new: false, left: None });
        }
        let typed = self.prepare(tenant, &mut spec).await?;
        spec.entry("ttlSecondsAfterFinished").or_insert_with(|| json!(self.ttl));
        let keyed = key.as_ref().map(|key| key.job_name(&tenant.name)).or(name.map(|name| name.to_string()));
        let _turn = match &keyed {
            Some(name) => Some(self.making.begin(name).ok_or(Error::InProgress)?),
            None => None,
        };
        let name = keyed.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
        let request = Request { digest: digest.clone(), labels, webhook, front: kept };
        let mut metadata = json!({
            "name": name,
            "labels": { LABEL_TENANT: &*tenant.name, LABEL_API_KEY: caller.key.label(), LABEL_FRONT: front },
            "annotations": { ANNOTATION_REQUEST: serde_json::to_string(&request).unwrap_or_default() },
        });
        // A request that comes again has another trace: the digest knows nothing of it.
        if let Some(traceparent) = Traceparent::current() {
            metadata["annotations"][ANNOTATION_TRACEPARENT] = json!(traceparent.to_string());
        }
        let object = image_job(&metadata, &spec);
        let new = NewJob { name: &name, images: typed.count };
        let admitted = self.limits.admit(caller, Some(new)).await?;
        let object = object.to_string().into();
        let created = self.create(&tenant.spec.namespace, &name, &object, &digest, keyed.is_some()).await;
        if created.is_err() && admitted.noted {
            self.limits.forget(caller, new).await;
        }
        let (job, is_new) = created?;
        Ok(Submitted { job, is_new, left: admitted.left })
    }

    /// The newest job of the front that the same request has created, if it is not older than that and nobody has cancelled
    /// it.
    fn created_before(
        &self,
        tenant: &Tenant,
        front: &str,
        digest: &str,
        within: Duration,
    ) -> Option<Arc<Job>> {
        let oldest = (Timestamp::now() - within).as_second();
        let same = |job: &Job| {
            job.created_second() >= oldest
                && job.front.as_deref() == Some(front)
                && job.request.digest == digest
                && !matches!(job.state(), State::Cancelling | State::Cancelled)
        };
        self.cache.jobs.page(tenant, None, 1, same).jobs.pop()
    }

    /// Puts into a spec what the request leaves out, and says what speaks against it.
    async fn prepare(&self, tenant: &Tenant, spec: &mut Map<String, Value>) -> Result<ImageJobSpec, Error> {
        let typed = match typed(spec) {
            Ok(typed) => typed,
            // The API server says more exactly where.
            Err(error) => return Err(self.refusal_of(&tenant.spec.namespace, spec).await.unwrap_or(error)),
        };
        may::check(tenant, &typed)?;
        for (i, input) in typed.inputs.iter().enumerate() {
            // Jobs of one namespace may be several tenants'.
            if let Some(job) = &input.from.job {
                let found = self.get(tenant, &job.name).await;
                found.map_err(|error| match error {
                    Error::NotFound { .. } => {
                        Error::invalid(format!("/inputs/{i}/from/job/name"), error.to_string())
                    }
                    other => other,
                })?;
            }
        }
        if let Some(pool) = tenant.spec.pools.first().filter(|_| typed.pool_ref.is_none()) {
            spec.insert("poolRef".to_owned(), json!(pool));
        }
        if !tenant.is_its_namespace() {
            spec.insert("tenant".to_owned(), json!(&*tenant.name));
        }
        Ok(typed)
    }

    /// What would be made, if it were asked for now; nothing is created.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the API server or the tenant's rules would refuse it.
    pub(crate) async fn check(&self, caller: &Caller, submission: Submission) -> Result<ImageJobSpec, Error> {
        let Submission { mut spec, labels, pool, .. } = submission;
        check_labels(&labels)?;
        name_the_pool(&mut spec, pool);
        self.prepare(&caller.tenant, &mut spec).await?;
        match self.refusal_of(&caller.tenant.spec.namespace, &spec).await {
            Some(refusal) => Err(refusal),
            None => typed(&spec),
        }
    }

    /// What the API server says against a spec.
    async fn refusal_of(&self, namespace: &str, spec: &Map<String, Value>) -> Option<Error> {
        let object = image_job(&json!({ "name": Uuid::new_v4().to_string() }), spec);
        match self.try_to_create(namespace, &object.to_string().into(), "&dryRun=All").await {
            Tried::Refused(error) => Some(error),
            Tried::Created(_) | Tried::Exists | Tried::NotCarriedOut | Tried::Unclear => None,
        }
    }

    /// Returns the job, and whether it is new.
    async fn create(
        &self,
        namespace: &str,
        name: &str,
        object: &bytes::Bytes,
        digest: &str,
        keyed: bool,
    ) -> Result<(Arc<Job>, bool), Error> {
        let (began, mut unclear) = (Instant::now(), false);
        loop {
            match self.try_to_create(namespace, object, "").await {
                Tried::Created(object) => return Ok((Arc::new((*object).into()), true)),
                Tried::Exists => {
                    let job = self.existing(namespace, name, digest).await?;
                    // A name without a key is nobody else's: an earlier try was carried out.
                    return Ok((job, unclear || !keyed));
                }
                Tried::Refused(error) => return Err(error),
                Tried::NotCarriedOut => {}
                Tried::Unclear => unclear = true,
            }
            if began.elapsed() + BETWEEN_TRIES > TRIES {
                if unclear && keyed {
                    let what = "the cluster's API server does not answer".to_owned();
                    return Err(Error::Unclear { what, retry_after: RETRY_AFTER });
                }
                if unclear {
                    tokio::spawn(self.clone().undo(namespace.to_owned(), name.to_owned()));
                }
                return Err(away(&"a job could not be created in time"));
            }
            sleep(BETWEEN_TRIES).await;
        }
    }

    async fn try_to_create(&self, namespace: &str, object: &bytes::Bytes, options: &str) -> Tried {
        let path = format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/imagejobs");
        let request = http::Request::post(format!("{path}?{CREATE}{options}"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(object.to_vec());
        let request = match request {
            Ok(request) => request,
            Err(error) => return Tried::Refused(Error::Internal(error.to_string())),
        };
        match timeout(TRY, self.client.request::<JobObject>(request)).await {
            Ok(Ok(created)) => Tried::Created(Box::new(created)),
            Ok(Err(kube::Error::Api(status))) => refusal(&status),
            Ok(Err(error)) if never_sent(&error) => Tried::NotCarriedOut,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the API server did not answer whether it created a job");
                Tried::Unclear
            }
            Err(_) => Tried::Unclear,
        }
    }

    /// The job of this name, if a request with the same body has created it.
    async fn existing(&self, namespace: &str, name: &str, digest: &str) -> Result<Arc<Job>, Error> {
        let api: Api<JobObject> = Api::namespaced(self.client.clone(), namespace);
        let found = timeout(TRY, api.get_opt(name)).await.map_err(|_| away(&"no answer in time"))?;
        let found = found.map_err(|error| away(&error))?.map(Job::from);
        match found {
            Some(job) if job.request.digest == digest => Ok(Arc::new(job)),
            Some(_) => Err(Error::KeyReused),
            // It was deleted meanwhile; the request may simply come again.
            None => Err(Error::InProgress),
        }
    }

    /// Sees to it that a job whose request was refused does not come into being later.
    async fn undo(self, namespace: String, name: String) {
        let api: Api<crds::ImageJob> = Api::namespaced(self.client, &namespace);
        let began = Instant::now();
        while began.elapsed() < LATEST {
            if let Ok(Some(job)) = api.get_metadata_opt(&name).await {
                let same = Preconditions { uid: job.metadata.uid, ..Preconditions::default() };
                let how = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
                if api.delete(&name, &how).await.is_ok() {
                    return;
                }
            }
            sleep(RETRY_AFTER).await;
        }
    }
}

fn name_the_pool(spec: &mut Map<String, Value>, pool: Option<PoolKey>) {
    if let Some(pool) = pool {
        spec.entry("poolRef").or_insert_with(|| json!({ "namespace": pool.namespace, "name": pool.name }));
    }
}

fn image_job(metadata: &Value, spec: &Map<String, Value>) -> Value {
    json!({ "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "ImageJob", "metadata": metadata, "spec": spec })
}

/// The spec as the API has it, for what we check ourselves. The API server gets the request's own text.
fn typed(spec: &Map<String, Value>) -> Result<ImageJobSpec, Error> {
    let value = Value::Object(spec.clone());
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let pointer = if path == "." { String::new() } else { pointer(&path) };
        Error::invalid(pointer, error.into_inner().to_string())
    })
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Error> {
    if labels.len() > MOST_LABELS {
        return Err(Error::invalid("/labels", format!("give at most {MOST_LABELS} labels")));
    }
    let long = |text: &str| text.chars().count() > LONGEST_LABEL;
    match labels.iter().find(|(name, value)| name.is_empty() || long(name) || long(value)) {
        Some(_) => {
            let detail =
                format!("a label has a name, and its name and value have at most {LONGEST_LABEL} characters");
            Err(Error::invalid("/labels", detail))
        }
        None => Ok(()),
    }
}

/// A field's path, e.g. `work.textToImage.loras[0].name`, as a JSON pointer.
fn pointer(path: &str) -> String {
    path.split(['.', '[']).fold(String::new(), |pointer, part| {
        format!("{pointer}/{}", part.trim_end_matches(']').replace('~', "~0").replace('/', "~1"))
    })
}

/// Whether a request failed before any of it was sent.
fn never_sent(error: &kube::Error) -> bool {
    let kube::Error::Service(error) = error else { return false };
    let sent = error.downcast_ref::<hyper_util::client::legacy::Error>();
    sent.is_some_and(hyper_util::client::legacy::Error::is_connect)
}

/// What the API server refuses, in the request's terms.
fn refusal(status: &Status) -> Tried {
    let invalid = |faults: Vec<Fault>| Tried::Refused(Error::Invalid(faults));
    match status.code {
        409 => Tried::Exists,
        422 | 400 => invalid(faults(status)),
        403 => match status.message.split_once("denied request: ") {
            Some((_, why)) => invalid(vec![Fault::new("", why)]),
            None => Tried::Refused(Error::Forbidden(status.message.clone())),
        },
        404 => Tried::Refused(Error::Forbidden("the tenant's namespace does not exist".to_owned())),
        413 => Tried::Refused(Error::TooLarge { most: 3 << 20 }),
        // Turned away before anything else, as there are too many requests.
        429 => Tried::NotCarriedOut,
        500.. => Tried::Unclear,
        _ => Tried::Refused(Error::Internal(status.message.clone())),
    }
}

fn faults(status: &Status) -> Vec<Fault> {
    let details = status.details.as_ref();
    let causes = details.map(|details| details.causes.as_slice()).unwrap_or_default();
    let of_spec = |field: &str| field.strip_prefix("spec.").map_or_else(String::new, pointer);
    let mut faults: Vec<Fault> =
        causes.iter().map(|cause| Fault::new(of_spec(&cause.field), cause.message.clone())).collect();
    // A wrong type brings every rule of the object to fail, and these say only that they could not be looked at.
    if faults.iter().any(|fault| !fault.pointer.is_empty()) {
        faults.retain(|fault| {
            !fault.pointer.is_empty() || !fault.detail.contains("some validation rules were not checked")
        });
    }
    if faults.is_empty() {
        faults.extend(unknown_fields(&status.message));
    }
    if faults.is_empty() {
        let message = status.message.rsplit_once("denied request: ").map_or(&*status.message, |(_, why)| why);
        faults.push(Fault::new("", message));
    }
    faults
}

/// The API server tells unknown fields in one sentence: `strict decoding error: unknown field "spec.work.a", …`.
fn unknown_fields(message: &str) -> Vec<Fault> {
    let parts = message.split("unknown field \"spec.").skip(1);
    let fields = parts.filter_map(|rest| rest.split_once('"').map(|(field, _)| field));
    fields.map(|field| Fault::new(pointer(field), "there is no such field")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_one_job_of_one_tenant() {
        let key = |text: &str| IdempotencyKey::parse(text).unwrap();
        assert_eq!(key("\"a b\""), key(" a b "));
        assert_eq!(key("k").job_name("acme"), key("k").job_name("acme"));
        assert_ne!(key("k").job_name("acme"), key("k").job_name("other"));
        for bad in ["", "\"\"", " ", "ä", "a\nb", &"a".repeat(256)] {
            assert!(IdempotencyKey::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_path_of_the_api_server_is_a_pointer_into_the_request() {
        assert_eq!(pointer("work.textToImage.loras[0].name"), "/work/textToImage/loras/0/name");
        assert_eq!(pointer("count"), "/count");
        let faults = unknown_fields(
            r#"ImageJob in version "v1alpha1" cannot be handled as a ImageJob: strict decoding error: unknown field "spec.colour", unknown field "spec.work.a""#,
        );
        assert_eq!(faults.iter().map(|f| f.pointer.as_str()).collect::<Vec<_>>(), ["/colour", "/work/a"]);
    }
}
