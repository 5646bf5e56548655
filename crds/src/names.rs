//! Names the operator writes into other objects. Stable: dashboards and selectors of users rest on them.

/// Who writes: the field manager of server-side apply, and `app.kubernetes.io/managed-by`.
pub const FIELD_MANAGER: &str = "imagejob-operator";

/// Label of a worker Pod: the name of its WorkerPool.
pub const LABEL_POOL: &str = "imagejob.dev/pool";
/// Label of a worker Pod: the capacity it asked for, `spot` or `onDemand` (see [`crate::Capacity::label`]).
pub const LABEL_CAPACITY: &str = "imagejob.dev/capacity";
/// Recommended label, value [`WORKER_APP`] on worker Pods.
pub const LABEL_APP: &str = "app.kubernetes.io/name";
/// Recommended label, value [`FIELD_MANAGER`].
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`LABEL_APP`] on worker Pods.
pub const WORKER_APP: &str = "imagejob-worker";

/// Annotation of a worker Pod: hash of the pool's template it was made from; another hash means out of date.
pub const ANNOTATION_TEMPLATE: &str = "imagejob.dev/template";
/// Annotation of a worker Pod: the model it loads before its first claim.
pub const ANNOTATION_MODEL: &str = "imagejob.dev/model";

/// Name of the engine container in worker Pods.
pub const ENGINE_CONTAINER: &str = "engine";
/// Name of our container in worker Pods.
pub const WORKER_CONTAINER: &str = "gpu-worker";
