//! Names that the operator writes into other objects, or reads there. They do not change: dashboards and selectors of
//! users depend on them.

/// The operator's name as field manager of server-side apply, and the value of `app.kubernetes.io/managed-by`.
pub const FIELD_MANAGER: &str = "imagejob-operator";

/// Label of a worker Pod: the name of its WorkerPool.
pub const LABEL_POOL: &str = "imagejob.dev/pool";
/// Label of a worker Pod: the kind of machine it runs on, `spot` or `onDemand` (see [`crate::Capacity::label`]).
pub const LABEL_CAPACITY: &str = "imagejob.dev/capacity";
/// Label of a worker Pod: the name of its fleet when it was made.
pub const LABEL_FLEET: &str = "imagejob.dev/fleet";
/// Recommended label, value [`WORKER_APP`] on worker Pods.
pub const LABEL_APP: &str = "app.kubernetes.io/name";
/// Recommended label, value [`FIELD_MANAGER`].
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`LABEL_APP`] on worker Pods.
pub const WORKER_APP: &str = "imagejob-worker";

/// Label of a namespace, set by its administrator: with the value `field` its jobs may name tenants.
pub const LABEL_TENANCY: &str = "imagejob.dev/tenancy";
/// Label of a Secret with an API key, and of a job that was created through the HTTP API: the tenant.
pub const LABEL_TENANT: &str = "imagejob.dev/tenant";
/// Label of a job that was created through the HTTP API: the name of the API key.
pub const LABEL_API_KEY: &str = "imagejob.dev/api-key";
/// Label of a job that was created through the HTTP API: the front that it came by.
pub const LABEL_FRONT: &str = "imagejob.dev/front";
/// Annotation of a job that was created through the HTTP API: what the request said that the spec does not hold, JSON.
pub const ANNOTATION_REQUEST: &str = "imagejob.dev/request";
/// Annotation of a job that was created through the HTTP API: whoever wanted to be told of its end was told.
pub const ANNOTATION_NOTIFIED: &str = "imagejob.dev/notified";
/// Annotation of a job: the trace that its work belongs to, as a `traceparent` of W3C Trace Context, 55 characters in
/// version 00. The HTTP API sets it while it exports traces; a user may. An invalid value is ignored.
pub const ANNOTATION_TRACEPARENT: &str = "imagejob.dev/traceparent";
/// Type of Secrets that hold what a tenant's webhooks are signed with.
pub const WEBHOOK_SECRET: &str = "imagejob.dev/webhook-secret";
/// Type of Secrets that hold an API key's hash.
pub const API_KEY_SECRET: &str = "imagejob.dev/api-key";

/// Label of a namespace: with the value `allowed` the Redis of `manifests/overlays/with-redis` lets its workers in.
pub const LABEL_WORKERS: &str = "imagejob.dev/workers";

/// Annotation of a worker Pod: the hash of the pool's template that the Pod was made from. Another hash than the pool's
/// present one means that the Pod is outdated.
pub const ANNOTATION_TEMPLATE: &str = "imagejob.dev/template";
/// Annotation of a worker Pod: the model that the worker loads before it takes work.
pub const ANNOTATION_MODEL: &str = "imagejob.dev/model";

/// Name of the engine container in worker Pods.
pub const ENGINE_CONTAINER: &str = "engine";
/// Name of the gpu-worker container in worker Pods.
pub const WORKER_CONTAINER: &str = "gpu-worker";
