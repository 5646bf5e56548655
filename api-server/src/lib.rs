//! The HTTP API: takes requests, creates ImageJobs, and answers for them from its watches.
//!
//! Every job is an ImageJob, and nothing is kept beside it, so replicas need no knowledge of each other.

// The futures of watches and the Redis client nest deeper than the default allows.
#![recursion_limit = "256"]

mod a1111;
mod app;
mod auth;
mod aws;
mod cache;
mod comfy_v2;
mod config;
mod credentials;
mod definitions;
mod error;
mod fields;
mod files;
mod follow;
mod http;
mod jobs;
mod limits;
mod metrics;
mod models;
mod native;
mod openai;
mod outcome;
mod own;
mod page;
mod picture;
mod pictures;
mod progress;
mod record;
mod runpod;
mod samplers;
mod signing;
mod sqs;
mod uploads;
mod webhooks;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{Router, middleware};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, api::PostParams};
use queue::Redis;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{Semaphore, watch},
};

use tower_http::timeout::RequestBodyTimeoutLayer;

pub use config::{Cli, Command, Config, CreateKey, LogFormat};
pub use webhooks::Network;

use app::{App, Parts};
use auth::{KeyStore, NewKey, Rights};
use aws::Aws;
use cache::Cache;
use definitions::Definitions;
use files::Buckets;
use jobs::JobStore;
use limits::Limits;
use metrics::Metrics;
use progress::Progress;
use signing::Signer;
use webhooks::{SigningSecrets, Webhooks};

/// Between two pieces of a request's body; who sends nothing for longer is not waited for.
const BETWEEN_PIECES: Duration = Duration::from_secs(30);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When the configuration can't work.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let client = Client::try_default().await.context("find the API server (KUBECONFIG or in-cluster)")?;
    let stop = stop_signal()?;
    let cache = Cache::default();
    // Redis may come later, and go: what needs it says so.
    let tls = config.tls().context("certificates for Redis")?;
    let redis = Redis::open_with(&config.redis_url, tls).context("the address of Redis")?;
    let issuer = config.issuer()?.map(Arc::new);
    let limits = Limits::new(redis.clone(), cache.clone());
    let app = App::new(Parts {
        jobs: JobStore::new(client.clone(), cache.clone(), limits.clone(), config.job_ttl_seconds),
        keys: KeyStore::new(client.clone(), &config.namespace),
        issuer,
        limits,
        cache: cache.clone(),
        progress: Progress::new(redis.clone()),
        webhooks: Arc::new(Webhooks::new(
            redis.clone(),
            SigningSecrets::new(client.clone(), &config.namespace, cache.clone()),
            config.webhook_allow.clone(),
        )),
        buckets: Buckets::new(client.clone(), cache.clone()),
        aws: Aws::new(client.clone(), &config.namespace),
        definitions: Definitions::default(),
        signer: Signer::new(client.clone(), &config.namespace),
        redis,
        streams: Arc::new(Semaphore::new(config.max_streams)),
        stopping: stop.clone(),
        metrics: Arc::new(Metrics::new().context("register the metrics")?),
        public_url: config.public_url().into(),
    });
    let listen =
        async |address| TcpListener::bind(address).await.with_context(|| format!("listen on {address}"));
    let (api, system) = (listen(config.listen).await?, listen(config.metrics_listen).await?);
    let stopped = || {
        let mut stop = stop.clone();
        async move {
            let _ = stop.wait_for(|stop| *stop).await;
        }
    };
    let drain = Duration::from_secs(config.drain_seconds);
    let system_app = http::system_routes(app.clone());
    tracing::info!(address = %config.listen, url = %app.public_url, "the API listens");
    tokio::select! {
        () = cache::run(client, &config.namespace, &cache) => anyhow::bail!("the watches ended"),
        () = webhooks::run(&app) => anyhow::bail!("webhooks are not sent any more"),
        () = auth::run(app.issuer.as_ref()) => anyhow::bail!("the OIDC issuer is not asked any more"),
        () = record::run(&app) => anyhow::bail!("nothing is counted any more"),
        () = async {
            tokio::join!(
                http::serve(api, routes(app.clone()), config.keys_in_paths, stopped(), drain),
                // Whoever looks for the server's state finds it until the end.
                http::serve(system, system_app, false, stopped(), Duration::ZERO),
                sqs::run(&app, drain),
            );
        } => Ok(()),
    }
}

/// All fronts.
fn routes(app: App) -> Router {
    Router::new()
        .merge(own::routes().layer(middleware::map_response_with_state(app.clone(), own::in_our_words)))
        .merge(comfy_v2::routes())
        .merge(native::routes())
        .merge(openai::routes())
        .merge(a1111::routes())
        .merge(runpod::routes())
        .merge(page::routes(app.clone()))
        .fallback(own::no_such_path)
        .method_not_allowed_fallback(own::no_such_method)
        .layer(middleware::from_fn(http::read_the_rest))
        .layer(RequestBodyTimeoutLayer::new(BETWEEN_PIECES))
        .layer(middleware::from_fn_with_state(app.clone(), http::observe))
        .with_state(app)
}

/// Creates an API key, and returns its text, which is nowhere else.
///
/// # Errors
/// When the API server does not create it, e.g. as there is one of this name.
pub async fn create_key(namespace: &str, order: &CreateKey) -> anyhow::Result<String> {
    let client = Client::try_default().await.context("find the API server (KUBECONFIG or in-cluster)")?;
    let rights = match order {
        CreateKey { admin: true, .. } => Rights::Admin,
        CreateKey { read_only: true, .. } => Rights::ReadOnly,
        CreateKey { .. } => Rights::Use,
    };
    if let Some(tenant) = &order.tenant {
        let tenants: Api<crds::ImageTenant> = Api::namespaced(client.clone(), namespace);
        let found = tenants.get_opt(tenant).await.context("look for the ImageTenant")?;
        found.with_context(|| {
            format!("there is no ImageTenant {tenant} in namespace {namespace}; create it first")
        })?;
    }
    let NewKey { text, secret } = NewKey::make(order.tenant.as_deref(), rights, order.name.as_deref())
        .context("the system gives no random bits")?;
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    secrets.create(&PostParams::default(), &secret).await.context("create the Secret")?;
    Ok(text)
}

fn stop_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop");
        stop.send_replace(true);
    });
    Ok(stopped)
}
