//! The Pod of one worker, from its pool. Pure.
//!
//! Two containers: the engine is a native sidecar (an init container that keeps running), so it is up before
//! our container starts and is stopped after it: on SIGTERM the worker drains while the engine still works.
//! What the pool's podTemplate says lies under what is generated here.

use std::{collections::BTreeMap, sync::Arc};

use crds::{Capacity, Fleet, PodTemplateError, WorkerPool, names};
use k8s_openapi::{
    ByteString,
    api::core::v1::{
        Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction, KeyToPath,
        ObjectFieldSelector, Pod, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, SeccompProfile,
        SecretKeySelector, SecretVolumeSource, SecurityContext, Volume, VolumeMount,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{Resource as _, ResourceExt as _, core::ObjectMeta};

use super::template::Template;
use crate::{capacity, credentials::QueueAddress, index::ZONE, node::Protection};

/// The keys of the pool's Secret: the queue's URL, the authorities to trust, and the certificate to show.
const URL_KEY: &str = "url";
const CA_KEY: &str = "ca.crt";
const CERTIFICATE_KEY: &str = "tls.crt";
const PRIVATE_KEY_KEY: &str = "tls.key";
/// Where the latter are mounted.
const QUEUE_VOLUME: &str = "imagejob-queue";
const QUEUE_FOLDER: &str = "/etc/imagejob/queue";

/// The name of the Secret with the address of a pool's queue. It lies in the pool's namespace, where workers can read
/// it: the URL may hold a password, so it does not stand in the Pods.
pub(crate) fn secret_name(pool: &str) -> String {
    format!("imagejob-{pool}")
}

/// What the names of a pool's workers on this capacity begin with. Names of Pods have no capitals.
pub(crate) fn name_prefix(pool: &str, capacity: Capacity) -> String {
    format!("{pool}-{}-", capacity.label().to_ascii_lowercase())
}

/// Fits the shortest notice before a spot machine dies that leaves Pods a choice (Azure, 30 s), less a margin.
const GRACE_SECONDS: i64 = 25;
/// Of those, what is left for the engine to stop once the worker is done.
const ENGINE_STOP_SECONDS: i64 = 3;
const METRICS_PORT: i32 = 9090;
const STARTUP_PERIOD_SECONDS: i32 = 2;
/// An engine that needs a restart gets it after two minutes: gpu-worker, which says so, may answer that much later
/// than the engine starts, since its image is pulled only then.
const ENGINE_LIVENESS_PERIOD_SECONDS: i32 = 10;
const ENGINE_LIVENESS_FAILURES: i32 = 12;
/// The user our image runs as.
const WORKER_UID: i64 = 65532;

/// What the operator's own configuration gives to every worker. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    /// Image of the gpu-worker container, for pools that name none.
    pub(crate) worker_image: Arc<str>,
    pub(crate) queue: Arc<QueueAddress>,
}

/// What stands in a pool's Secret.
pub(crate) fn secret_data(queue: &QueueAddress) -> BTreeMap<String, ByteString> {
    let mut data = BTreeMap::from([(URL_KEY.to_owned(), ByteString(queue.url.clone().into_bytes()))]);
    data.extend(queue.tls.ca.clone().map(|ca| (CA_KEY.to_owned(), ByteString(ca))));
    if let Some((certificate, key)) = queue.tls.client.clone() {
        data.insert(CERTIFICATE_KEY.to_owned(), ByteString(certificate));
        data.insert(PRIVATE_KEY_KEY.to_owned(), ByteString(key));
    }
    data
}

/// The files of a pool's Secret that its workers read, and the variables that name them.
fn queue_files(queue: &QueueAddress) -> Vec<(&'static str, &'static str)> {
    let mut files = Vec::new();
    if queue.tls.ca.is_some() {
        files.push(("REDIS_CA_FILE", CA_KEY));
    }
    if queue.tls.client.is_some() {
        files.extend([("REDIS_CERT_FILE", CERTIFICATE_KEY), ("REDIS_KEY_FILE", PRIVATE_KEY_KEY)]);
    }
    files
}

/// What is particular to one worker.
pub(crate) struct Shape<'a> {
    pub(crate) name: String,
    pub(crate) capacity: Capacity,
    pub(crate) zone: Option<&'a str>,
    /// The model to load before the first claim.
    pub(crate) model: Option<&'a str>,
}

/// The Pod of one worker.
pub(crate) fn build(
    pool: &WorkerPool,
    shape: &Shape<'_>,
    given: &Given,
    made_from: &Template,
) -> Result<Pod, PodTemplateError> {
    let template = parsed(pool)?;
    let spec = template.spec.unwrap_or_default();
    let made_from = made_from.text(shape.capacity);
    Ok(Pod {
        metadata: metadata(pool, shape, made_from, template.metadata.unwrap_or_default()),
        spec: Some(pod_spec(pool, shape, given, spec)),
        status: None,
    })
}

/// Whether Pods can be made at all.
pub(crate) fn check(pool: &WorkerPool) -> Result<(), PodTemplateError> {
    parsed(pool).map(drop)
}

pub(super) fn parsed(pool: &WorkerPool) -> Result<PodTemplateSpec, PodTemplateError> {
    pool.spec
        .pod_template
        .as_ref()
        .map_or_else(|| Ok(PodTemplateSpec::default()), |template| template.parse())
}

fn metadata(pool: &WorkerPool, shape: &Shape<'_>, made_from: String, template: ObjectMeta) -> ObjectMeta {
    let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut labels = template.labels.unwrap_or_default();
    labels.extend([
        own(names::LABEL_APP, names::WORKER_APP),
        own(names::LABEL_MANAGED_BY, names::FIELD_MANAGER),
        own(names::LABEL_POOL, &pool.name_any()),
        own(names::LABEL_CAPACITY, capacity::to_policy(shape.capacity).label()),
    ]);
    let fleet = pool.spec.fleet(shape.capacity.into());
    labels.extend(fleet.map(|fleet| own(names::LABEL_FLEET, &fleet.name)));
    let mut annotations = template.annotations.unwrap_or_default();
    annotations.insert(names::ANNOTATION_TEMPLATE.to_owned(), made_from);
    let protection = Protection::On.annotations().into_iter();
    annotations.extend(protection.filter_map(|(name, value)| Some(own(name, value?))));
    if let Some(model) = shape.model {
        annotations.insert(names::ANNOTATION_MODEL.to_owned(), model.to_owned());
    }
    ObjectMeta {
        name: Some(shape.name.clone()),
        namespace: pool.namespace(),
        labels: Some(labels),
        annotations: Some(annotations),
        owner_references: pool.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

pub(super) fn pod_spec(pool: &WorkerPool, shape: &Shape<'_>, given: &Given, template: PodSpec) -> PodSpec {
    let fleet = pool.spec.fleet(shape.capacity.into());
    let grace = template.termination_grace_period_seconds.unwrap_or(GRACE_SECONDS);
    let mut containers = template.containers;
    let worker = take(&mut containers, names::WORKER_CONTAINER);
    containers.insert(0, worker_container(pool, shape, given, grace, worker));
    let mut init_containers = template.init_containers.unwrap_or_default();
    let engine = take(&mut init_containers, names::ENGINE_CONTAINER)
        .or_else(|| take(&mut containers, names::ENGINE_CONTAINER));
    init_containers.push(engine_container(pool, engine));
    let mut volumes = template.volumes.unwrap_or_default();
    volumes.extend(queue_volume(pool, given));
    let mut tolerations = template.tolerations.unwrap_or_default();
    tolerations.extend(fleet.map(|fleet| fleet.tolerations.clone()).unwrap_or_default());
    PodSpec {
        containers,
        init_containers: Some(init_containers),
        volumes: (!volumes.is_empty()).then_some(volumes),
        tolerations: Some(tolerations),
        node_selector: Some(node_selector(fleet, shape, template.node_selector.unwrap_or_default())),
        termination_grace_period_seconds: Some(grace),
        restart_policy: Some("OnFailure".to_owned()),
        automount_service_account_token: Some(template.automount_service_account_token.unwrap_or(false)),
        enable_service_links: Some(false),
        security_context: Some(template.security_context.unwrap_or_else(|| PodSecurityContext {
            run_as_non_root: Some(true),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        })),
        ..template
    }
}

fn node_selector(
    fleet: Option<&Fleet>,
    shape: &Shape<'_>,
    mut selector: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    selector.extend(fleet.map(|fleet| fleet.node_selector.clone()).unwrap_or_default());
    if let Some(zone) = shape.zone {
        selector.insert(ZONE.to_owned(), zone.to_owned());
    }
    selector
}

fn engine_container(pool: &WorkerPool, template: Option<Container>) -> Container {
    let engine = &pool.spec.engine;
    let template = template.unwrap_or_default();
    let port = i32::from(engine.port);
    let startup_seconds = i32::try_from(engine.startup_seconds).unwrap_or(i32::MAX);
    Container {
        name: names::ENGINE_CONTAINER.to_owned(),
        image: Some(engine.image.clone()),
        image_pull_policy: engine.image_pull_policy.clone().or(template.image_pull_policy),
        command: not_empty(engine.command.clone()).or(template.command),
        args: not_empty(engine.args.clone()).or(template.args),
        env: Some(merged_env(template.env, engine.env.clone())),
        ports: Some(vec![ContainerPort {
            name: Some("engine".to_owned()),
            container_port: port,
            ..ContainerPort::default()
        }]),
        resources: Some(engine.resources.clone()),
        volume_mounts: Some(merged_mounts(template.volume_mounts, engine.volume_mounts.clone())),
        restart_policy: Some("Always".to_owned()),
        startup_probe: Some(template.startup_probe.unwrap_or_else(|| Probe {
            http_get: Some(http_get("/system_stats", port)),
            period_seconds: Some(STARTUP_PERIOD_SECONDS),
            failure_threshold: Some((startup_seconds / STARTUP_PERIOD_SECONDS).max(1)),
            timeout_seconds: Some(STARTUP_PERIOD_SECONDS),
            ..Probe::default()
        })),
        liveness_probe: Some(template.liveness_probe.unwrap_or_else(|| Probe {
            http_get: Some(http_get("/enginez", METRICS_PORT)),
            period_seconds: Some(ENGINE_LIVENESS_PERIOD_SECONDS),
            failure_threshold: Some(ENGINE_LIVENESS_FAILURES),
            timeout_seconds: Some(3),
            ..Probe::default()
        })),
        security_context: Some(template.security_context.unwrap_or_else(restricted)),
        ..template
    }
}

fn worker_container(
    pool: &WorkerPool,
    shape: &Shape<'_>,
    given: &Given,
    grace: i64,
    template: Option<Container>,
) -> Container {
    let worker = &pool.spec.worker;
    let template = template.unwrap_or_default();
    let mut env = merged_env(template.env, worker.env.clone());
    env = merged_env(Some(env), worker_env(pool, shape, given, grace));
    let probe = |path: &str, period_seconds| Probe {
        http_get: Some(http_get(path, METRICS_PORT)),
        period_seconds: Some(period_seconds),
        failure_threshold: Some(3),
        timeout_seconds: Some(3),
        ..Probe::default()
    };
    Container {
        name: names::WORKER_CONTAINER.to_owned(),
        image: Some(worker.image.clone().unwrap_or_else(|| given.worker_image.to_string())),
        image_pull_policy: worker.image_pull_policy.clone().or(template.image_pull_policy),
        env: Some(env),
        ports: Some(vec![ContainerPort {
            name: Some("metrics".to_owned()),
            container_port: METRICS_PORT,
            ..ContainerPort::default()
        }]),
        resources: Some(worker.resources.clone()),
        volume_mounts: Some(merged_mounts(template.volume_mounts, queue_mount(given).into_iter().collect()))
            .filter(|mounts| !mounts.is_empty()),
        readiness_probe: Some(probe("/readyz", 5)),
        liveness_probe: Some(probe("/healthz", 10)),
        security_context: Some(template.security_context.unwrap_or_else(|| SecurityContext {
            run_as_user: Some(WORKER_UID),
            read_only_root_filesystem: Some(true),
            ..restricted()
        })),
        ..template
    }
}

fn worker_env(pool: &WorkerPool, shape: &Shape<'_>, given: &Given, grace: i64) -> Vec<EnvVar> {
    let value =
        |name: &str, value: String| EnvVar { name: name.to_owned(), value: Some(value), ..EnvVar::default() };
    let field = |name: &str, path: &str| EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    let output = &pool.spec.output;
    let namespace = pool.namespace().unwrap_or_default();
    let mut env = vec![
        from_secret("REDIS_URL", &secret_name(&pool.name_any()), URL_KEY, false),
        value("POOL", format!("{namespace}/{}", pool.name_any())),
        field("POD_NAME", "metadata.name"),
        field("WORKER_TEMPLATE", &format!("metadata.annotations['{}']", names::ANNOTATION_TEMPLATE)),
        value("LISTEN", format!("0.0.0.0:{METRICS_PORT}")),
        value("ENGINE_URL", format!("http://127.0.0.1:{}", pool.spec.engine.port)),
        value("CAPACITY", capacity::to_policy(shape.capacity).label().to_owned()),
        value("BUCKET", output.bucket.clone()),
        value("S3_REGION", output.region.clone()),
        value("S3_PATH_STYLE", output.path_style.to_string()),
        value("KEY_PREFIX", output.key_prefix.clone()),
        value("PUBLIC_URL", output.public_url.clone()),
        value("DRAIN_GRACE", (grace - ENGINE_STOP_SECONDS).max(0).to_string()),
    ];
    let files = queue_files(&given.queue).into_iter();
    env.extend(files.map(|(variable, key)| value(variable, format!("{QUEUE_FOLDER}/{key}"))));
    env.extend(output.endpoint.clone().map(|endpoint| value("S3_ENDPOINT", endpoint)));
    let warm = shape.model.filter(|model| workflow::is_checkpoint(model));
    env.extend(warm.map(|model| value("WARM_MODEL", model.to_owned())));
    if let Some(credentials) = &output.credentials_secret_ref {
        for (key, optional) in
            [("AWS_ACCESS_KEY_ID", false), ("AWS_SECRET_ACCESS_KEY", false), ("AWS_SESSION_TOKEN", true)]
        {
            env.push(from_secret(key, &credentials.name, key, optional));
        }
    }
    env
}

/// Only the files: the URL comes as a variable.
fn queue_volume(pool: &WorkerPool, given: &Given) -> Option<Volume> {
    let item = |(_, key): (&str, &str)| KeyToPath { key: key.to_owned(), path: key.to_owned(), mode: None };
    let items: Vec<KeyToPath> = queue_files(&given.queue).into_iter().map(item).collect();
    let source = SecretVolumeSource {
        secret_name: Some(secret_name(&pool.name_any())),
        items: Some(items.clone()),
        ..SecretVolumeSource::default()
    };
    let volume = Volume { name: QUEUE_VOLUME.to_owned(), secret: Some(source), ..Volume::default() };
    (!items.is_empty()).then_some(volume)
}

fn queue_mount(given: &Given) -> Option<VolumeMount> {
    let mount = VolumeMount {
        name: QUEUE_VOLUME.to_owned(),
        mount_path: QUEUE_FOLDER.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    (!queue_files(&given.queue).is_empty()).then_some(mount)
}

fn from_secret(variable: &str, secret: &str, key: &str, optional: bool) -> EnvVar {
    let selector =
        SecretKeySelector { name: secret.to_owned(), key: key.to_owned(), optional: Some(optional) };
    EnvVar {
        name: variable.to_owned(),
        value_from: Some(EnvVarSource { secret_key_ref: Some(selector), ..EnvVarSource::default() }),
        ..EnvVar::default()
    }
}

/// What Pod Security "restricted" asks of a container.
fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        run_as_non_root: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() }),
        ..SecurityContext::default()
    }
}

fn http_get(path: &str, port: i32) -> HTTPGetAction {
    HTTPGetAction { path: Some(path.to_owned()), port: IntOrString::Int(port), ..HTTPGetAction::default() }
}

fn take(containers: &mut Vec<Container>, name: &str) -> Option<Container> {
    let at = containers.iter().position(|container| container.name == name)?;
    Some(containers.remove(at))
}

/// `over` after `under`, whose variables of the same name go.
fn merged_env(under: Option<Vec<EnvVar>>, over: Vec<EnvVar>) -> Vec<EnvVar> {
    let mut env = under.unwrap_or_default();
    env.retain(|variable| !over.iter().any(|o| o.name == variable.name));
    env.extend(over);
    env
}

fn merged_mounts(under: Option<Vec<VolumeMount>>, over: Vec<VolumeMount>) -> Vec<VolumeMount> {
    let mut mounts = under.unwrap_or_default();
    mounts.retain(|mount| !over.iter().any(|o| o.mount_path == mount.mount_path));
    mounts.extend(over);
    mounts
}

fn not_empty(list: Vec<String>) -> Option<Vec<String>> {
    if list.is_empty() { None } else { Some(list) }
}

#[cfg(test)]
mod tests;
