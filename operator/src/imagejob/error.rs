/// What stopped a reconcile; it is tried again with backoff. The variant's name is the metric label.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("API server: {0}")]
    Api(#[source] kube::Error),
    #[error("queue: {0}")]
    Queue(#[source] queue::Error),
    #[error("store: {0}")]
    Store(#[source] store::Error),
    #[error("the pool's allowedNamespaces.selector is not a selector: {0}")]
    Selector(String),
    #[error("a status does not serialise: {0}")]
    Serialize(#[source] serde_json::Error),
    #[error("credentials of the pool's output: {0}")]
    Credentials(String),
}

impl Error {
    pub(crate) fn step(&self) -> &'static str {
        match self {
            Self::Api(_) => "api",
            Self::Queue(_) => "queue",
            Self::Store(_) => "store",
            Self::Selector(_) => "selector",
            Self::Serialize(_) => "serialize",
            Self::Credentials(_) => "credentials",
        }
    }

    /// The object moved on since we looked: no fault, just look again.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found())
    }
}
