//! A connection to Redis that mends itself, whatever stands behind the URL.

use std::{
    fmt,
    path::Path,
    sync::{Arc, RwLock, RwLockReadGuard},
    time::{Duration, Instant},
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, FromRedisValue, Pipeline, RedisError,
    RedisFuture, RedisResult, ServerErrorKind, TlsCertificates, TlsMode, Value,
    aio::{ConnectionLike, MultiplexedConnection, PubSub},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo},
    sentinel::{SentinelClientBuilder, SentinelServerType},
};
use tokio::sync::Mutex;

use crate::{Error, Result, script::Scripts, url::Target};

/// For TCP, TLS and the first commands together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// For the answer to one command. The redis crate's own 500 ms is less than a fork of a large Redis may take.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Certificates for `rediss` URLs.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// The authorities to trust, PEM; `None`: the public ones.
    pub ca: Option<Vec<u8>>,
    /// Our own certificate and its key, PEM, where the server asks for one.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

impl Tls {
    /// Reads PEM files; a certificate goes with its key.
    ///
    /// # Errors
    /// [`Error::File`] when one can't be read, or one of certificate and key is missing.
    pub fn read(ca: Option<&Path>, cert: Option<&Path>, key: Option<&Path>) -> Result<Self> {
        let pem = |path: &Path| {
            std::fs::read(path).map_err(|why| Error::File { path: path.display().to_string(), why })
        };
        let client = match (cert, key) {
            (Some(cert), Some(key)) => Some((pem(cert)?, pem(key)?)),
            (None, None) => None,
            (Some(alone), None) | (None, Some(alone)) => {
                let why = std::io::Error::other("a client certificate and its key go together");
                return Err(Error::File { path: alone.display().to_string(), why });
            }
        };
        Ok(Self { ca: ca.map(pem).transpose()?, client })
    }
}

/// A Redis: one server, a Cluster, or what a Sentinel says is the primary.
///
/// Cheap to clone; clones share one connection, over which concurrent commands are pipelined. A lost
/// connection is made anew by the next command; the command that saw the loss fails, since nobody can know
/// whether Redis has run it.
#[derive(Clone)]
pub struct Redis {
    shared: Arc<Shared>,
}

struct Shared {
    target: Target,
    tls: Option<TlsCertificates>,
    response_timeout: Duration,
    scripts: Arc<Scripts>,
    live: RwLock<Option<Live>>,
    /// Held while connecting, with the last failure: who waited for that attempt shares its outcome.
    connecting: Mutex<Option<(Instant, RedisError)>>,
}

#[derive(Clone)]
struct Live {
    since: Instant,
    connection: Connection,
}

#[derive(Clone)]
enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("target", &self.shared.target).finish_non_exhaustive()
    }
}

impl Redis {
    /// Connects. The URL is one of
    /// - `redis[s]://[user[:password]@]host[:port][/db]`
    /// - `redis[s]-cluster://[user[:password]@]host[:port],host[:port]…`
    /// - `redis[s]-sentinel://[user[:password]@]host[:port],…/service[/db][?sentinel=[user]:password]`
    ///
    /// with `rediss` for TLS. Special characters of a password are percent-encoded.
    ///
    /// # Errors
    /// When the URL is malformed or Redis can't be reached now.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::connect_with(url, Tls::default()).await
    }

    /// As [`connect`](Self::connect), with certificates of one's own.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), or when a certificate is malformed.
    pub async fn connect_with(url: &str, tls: Tls) -> Result<Self> {
        let redis = Self::open_with(url, tls)?;
        redis.ping().await?;
        Ok(redis)
    }

    /// As [`connect_with`](Self::connect_with), but the first command connects.
    ///
    /// # Errors
    /// When the URL is malformed.
    pub fn open_with(url: &str, tls: Tls) -> Result<Self> {
        let target = Target::parse(url)?;
        let client_tls =
            tls.client.map(|(cert, key)| redis::ClientTlsConfig { client_cert: cert, client_key: key });
        let tls = (tls.ca.is_some() || client_tls.is_some())
            .then_some(TlsCertificates { client_tls, root_cert: tls.ca });
        Ok(Self::new(target, tls, RESPONSE_TIMEOUT, Arc::new(Scripts::new())))
    }

    fn new(
        target: Target,
        tls: Option<TlsCertificates>,
        response_timeout: Duration,
        scripts: Arc<Scripts>,
    ) -> Self {
        let (live, connecting) = (RwLock::default(), Mutex::default());
        Self { shared: Arc::new(Shared { target, tls, response_timeout, scripts, live, connecting }) }
    }

    pub(crate) fn scripts(&self) -> &Scripts {
        &self.shared.scripts
    }

    /// A connection of one's own to the same Redis, made when first used: for commands that block, or that must not wait
    /// behind others.
    pub(crate) fn dedicated(&self, response_timeout: Duration) -> Self {
        let Shared { target, tls, scripts, .. } = &*self.shared;
        Self::new(target.clone(), tls.clone(), response_timeout, Arc::clone(scripts))
    }

    /// Whether Redis answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<()> {
        Ok(self.query(&redis::cmd("PING")).await?)
    }

    /// Runs a command of somebody who keeps things of their own beside the queues.
    ///
    /// # Errors
    /// When Redis can't be reached or refuses the command.
    pub async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        Ok(self.query(command).await?)
    }

    /// Runs such a script; a Redis that does not know it gets its text.
    ///
    /// # Errors
    /// When Redis can't be reached or the script fails.
    pub async fn script<T: FromRedisValue + Send>(&self, call: &redis::ScriptInvocation<'_>) -> Result<T> {
        let outcome: RedisFuture<'_, T> = Box::pin(async {
            let mut live = self.live().await?;
            let answer = call.invoke_async(&mut live.connection).await;
            self.watch(&live, answer)
        });
        Ok(outcome.await?)
    }

    /// The policy by which Redis drops keys when its memory is full; `None`: it drops none, has no limit, or does not let
    /// us know.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn eviction(&self) -> Result<Option<String>> {
        let info: String = match self.query(redis::cmd("INFO").arg("memory")).await {
            Ok(info) => info,
            Err(error) if error.code() == Some("NOPERM") => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(eviction_in(&info).map(str::to_owned))
    }

    pub(crate) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        Ok(redis::from_redis_value(self.answer(command).await?)?)
    }

    /// On every node of a Cluster; else where the primary is.
    pub(crate) async fn query_everywhere(&self, command: &Cmd) -> Result<()> {
        let everywhere: RedisFuture<'_, Value> = Box::pin(async {
            let mut live = self.live().await?;
            let answer = match &mut live.connection {
                Connection::Single(single) => command.query_async(single).await,
                Connection::Cluster(cluster) => {
                    let nodes = (MultipleNodeRoutingInfo::AllNodes, Some(ResponsePolicy::AllSucceeded));
                    cluster.route_command(command.clone(), RoutingInfo::MultiNode(nodes)).await
                }
            };
            self.watch(&live, answer)
        });
        everywhere.await?;
        Ok(())
    }

    /// Boxed: the redis crate's futures are so deep that callers a few levels up would not compile.
    fn answer<'a>(&'a self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let mut live = self.live().await?;
            let answer = command.query_async(&mut live.connection).await;
            self.watch(&live, answer)
        })
    }

    /// Forgets the connection where its error says that it is of no more use.
    fn watch<T>(&self, used: &Live, answer: RedisResult<T>) -> RedisResult<T> {
        if let Err(error) = &answer
            && is_lost(error)
        {
            let mut live = self.shared.live.write().unwrap_or_else(|poisoned| poisoned.into_inner());
            if live.as_ref().is_some_and(|live| live.since == used.since) {
                *live = None;
            }
        }
        answer
    }

    fn current(&self) -> RwLockReadGuard<'_, Option<Live>> {
        self.shared.live.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    async fn live(&self) -> RedisResult<Live> {
        if let Some(live) = self.current().clone() {
            return Ok(live);
        }
        let asked = Instant::now();
        let mut connecting = self.shared.connecting.lock().await;
        if let Some(live) = self.current().clone() {
            return Ok(live);
        }
        if let Some((failed, error)) = &*connecting
            && *failed > asked
        {
            return Err(error.clone());
        }
        match self.open().await {
            Ok(connection) => {
                let live = Live { since: Instant::now(), connection };
                *self.shared.live.write().unwrap_or_else(|poisoned| poisoned.into_inner()) =
                    Some(live.clone());
                *connecting = None;
                Ok(live)
            }
            Err(error) => {
                *connecting = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn open(&self) -> RedisResult<Connection> {
        if let Target::Cluster(nodes) = &self.shared.target {
            let mut builder = ClusterClient::builder(nodes.clone())
                .connection_timeout(CONNECT_TIMEOUT.min(self.shared.response_timeout))
                .response_timeout(self.shared.response_timeout);
            if let Some(tls) = &self.shared.tls {
                builder = builder.certs(tls.clone());
            }
            return builder.build()?.get_async_connection().await.map(Connection::Cluster);
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT.min(self.shared.response_timeout)))
            .set_response_timeout(Some(self.shared.response_timeout));
        let client = self.client().await?;
        client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::Single)
    }

    /// The one server to talk to: the primary, or for subscriptions in a Cluster the first node that answers.
    async fn client(&self) -> RedisResult<Client> {
        match &self.shared.target {
            Target::Single(info) => self.client_of((**info).clone()),
            Target::Sentinel { sentinels, service, node } => {
                let find = self.primary(sentinels, service, node);
                tokio::time::timeout(CONNECT_TIMEOUT, find).await.map_err(std::io::Error::from)?
            }
            Target::Cluster(nodes) => {
                let mut last = None;
                for node in nodes {
                    let client = self.client_of(node.clone())?;
                    match client.get_multiplexed_async_connection().await {
                        Ok(_) => return Ok(client),
                        Err(error) => last = Some(error),
                    }
                }
                Err(last.unwrap_or_else(|| (ErrorKind::ClusterConnectionNotFound, "no node given").into()))
            }
        }
    }

    fn client_of(&self, info: ConnectionInfo) -> RedisResult<Client> {
        match &self.shared.tls {
            Some(tls) => Client::build_with_tls(info, tls.clone()),
            None => Client::open(info),
        }
    }

    async fn primary(
        &self,
        sentinels: &[ConnectionInfo],
        service: &str,
        node: &ConnectionInfo,
    ) -> RedisResult<Client> {
        let addresses = sentinels.iter().map(|info| info.addr().clone());
        let mut builder = SentinelClientBuilder::new(addresses, service, SentinelServerType::Master)?
            .set_client_to_redis_db(node.redis_settings().db());
        if matches!(node.addr(), redis::ConnectionAddr::TcpTls { .. }) {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_tls_mode(TlsMode::Secure);
        }
        if let Some(tls) = &self.shared.tls {
            builder = builder
                .set_client_to_redis_certificates(tls.clone())
                .set_client_to_sentinel_certificates(tls.clone());
        }
        if let Some(user) = node.redis_settings().username() {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = node.redis_settings().password() {
            builder = builder.set_client_to_redis_password(password);
        }
        let of_sentinel = sentinels.first().map(ConnectionInfo::redis_settings);
        if let Some(user) = of_sentinel.and_then(|settings| settings.username()) {
            builder = builder.set_client_to_sentinel_username(user);
        }
        if let Some(password) = of_sentinel.and_then(|settings| settings.password()) {
            builder = builder.set_client_to_sentinel_password(password);
        }
        builder.build()?.async_get_client().await
    }

    /// Subscribes to a channel, over a connection of its own.
    pub(crate) async fn subscribe(&self, channel: &str) -> RedisResult<PubSub> {
        let subscribe: RedisFuture<'_, PubSub> = Box::pin(async {
            let mut pubsub = self.client().await?.get_async_pubsub().await?;
            pubsub.subscribe(channel).await?;
            Ok(pubsub)
        });
        tokio::time::timeout(CONNECT_TIMEOUT, subscribe).await.map_err(std::io::Error::from)?
    }
}

/// By Redis' own words (`INFO memory`): one `name:value` a line.
fn eviction_in(info: &str) -> Option<&str> {
    let field = |name: &str| info.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
    let policy = field("maxmemory_policy")?;
    (policy != "noeviction" && field("maxmemory") != Some("0")).then_some(policy)
}

/// After a failover the old primary may still answer, but only to say that it takes no writes.
fn is_lost(error: &RedisError) -> bool {
    use ServerErrorKind::{MasterDown, ReadOnly};
    error.is_unrecoverable_error()
        || error.is_timeout()
        || matches!(error.kind(), ErrorKind::Server(ReadOnly | MasterDown))
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(cmd, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::eviction_in;

    #[test]
    fn a_policy_counts_where_there_is_a_limit() {
        let info = |limit, policy| {
            format!("# Memory\r\nused_memory:1\r\nmaxmemory:{limit}\r\nmaxmemory_policy:{policy}\r\n")
        };
        assert_eq!(eviction_in(&info("1000", "allkeys-lru")), Some("allkeys-lru"));
        assert_eq!(eviction_in(&info("1000", "noeviction")), None);
        assert_eq!(eviction_in(&info("0", "allkeys-lru")), None);
        assert_eq!(eviction_in(""), None);
    }
}
