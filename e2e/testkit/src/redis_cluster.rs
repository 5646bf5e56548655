use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::{Process, Redis, RedisOptions, free_port, redis, resp, wait_for};

const SLOTS: usize = 16384;
const FORM_DEADLINE: Duration = Duration::from_secs(20);

/// A Redis Cluster of primaries without replicas.
#[derive(Debug)]
pub struct RedisCluster {
    /// The nodes, each with an equal share of the slots.
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts a Cluster of `count` nodes and waits until every node serves.
    ///
    /// # Errors
    /// If a node does not start, or if the nodes do not agree in time.
    pub async fn start(count: usize) -> Result<Self> {
        let mut nodes = Vec::new();
        let mut bus_ports = Vec::new();
        for _ in 0..count {
            // The default port, port + 10000, may not exist.
            let bus = free_port()?;
            let config = ["cluster-enabled yes", "cluster-node-timeout 2000"].map(str::to_owned).to_vec();
            let config = [config, vec![format!("cluster-port {bus}")]].concat();
            nodes.push(Redis::start(RedisOptions { config, ..RedisOptions::default() }).await?);
            bus_ports.push(bus.to_string());
        }
        for (i, node) in nodes.iter().enumerate() {
            let (first, last) = (SLOTS * i / count, SLOTS * (i + 1) / count - 1);
            let (first, last) = (first.to_string(), last.to_string());
            resp::command(node.port(), None, &["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await?;
            // With equal epochs the nodes would need a while to agree.
            resp::command(node.port(), None, &["CLUSTER", "SET-CONFIG-EPOCH", &(i + 1).to_string()]).await?;
        }
        let ports: Vec<String> = nodes.iter().map(|node| node.port().to_string()).collect();
        for (port, bus) in ports.iter().zip(&bus_ports).skip(1) {
            resp::command(nodes[0].port(), None, &["CLUSTER", "MEET", "127.0.0.1", port, bus]).await?;
        }
        wait_for("the Redis Cluster to form", FORM_DEADLINE, async || {
            for node in &nodes {
                let info = resp::command(node.port(), None, &["CLUSTER", "INFO"]).await.ok()?;
                let known = format!("cluster_known_nodes:{count}\r");
                (info.contains("cluster_state:ok") && info.contains(&known)).then_some(())?;
            }
            Some(())
        })
        .await?;
        Ok(Self { nodes })
    }

    /// The URLs of the nodes.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }
}

/// A primary, its replica, and one Sentinel that fails over within about a second of the primary's death.
#[derive(Debug)]
pub struct RedisSentinel {
    /// The server that is the primary at the start.
    pub primary: Redis,
    /// The server that is the replica at the start.
    pub replica: Redis,
    port: u16,
    _sentinel: Process,
    _dir: TempDir,
}

impl RedisSentinel {
    /// The name that the Sentinel gives to the primary.
    pub const SERVICE: &str = "imagejob";

    /// Starts all three servers and waits until the Sentinel knows the replica.
    ///
    /// # Errors
    /// If a server does not start, or if the servers do not find each other in time.
    pub async fn start(options: RedisOptions) -> Result<Self> {
        let primary = Redis::start(options.clone()).await?;
        let mut of_replica = options;
        of_replica.config.push(format!("replicaof 127.0.0.1 {}", primary.port()));
        let replica = Redis::start(of_replica).await?;

        let port = free_port()?;
        let dir = tempfile::Builder::new().prefix("sentinel-").tempdir()?;
        let name = Self::SERVICE;
        let config = format!(
            "bind 127.0.0.1\nport {port}\nprotected-mode no\ndir {dir}\nlogfile {dir}/redis.log\n\
             sentinel monitor {name} 127.0.0.1 {primary} 1\n\
             sentinel down-after-milliseconds {name} 500\nsentinel failover-timeout {name} 2000\n",
            dir = dir.path().display(),
            primary = primary.port(),
        );
        std::fs::write(dir.path().join("redis.conf"), config)?;
        let sentinel = redis::launch(dir.path(), Some("--sentinel"), None).await?;
        wait_for("the Sentinel to know the replica", FORM_DEADLINE, async || {
            let info = resp::command(port, None, &["INFO", "sentinel"]).await.ok()?;
            info.contains("status=ok,").then_some(())?;
            info.contains("slaves=1").then_some(())
        })
        .await?;
        Ok(Self { primary, replica, port, _sentinel: sentinel, _dir: dir })
    }

    /// The Sentinel's URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }
}
