/// What stopped a reconcile; it is tried again with backoff. The variant's name is the metric label.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("API server: {0}")]
    Api(#[source] kube::Error),
    #[error("queue: {0}")]
    Queue(#[source] queue::Error),
    #[error("a status does not serialise: {0}")]
    Serialize(#[source] serde_json::Error),
}

impl Error {
    pub(crate) fn step(&self) -> &'static str {
        match self {
            Self::Api(_) => "api",
            Self::Queue(_) => "queue",
            Self::Serialize(_) => "serialize",
        }
    }
}
