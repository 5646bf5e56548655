//! Stops and starts Redis and S3, and looks at the objects in S3.

use anyhow::Result;

use crate::world::{BUCKET, World};

/// The object that a worker writes to find out whether the bucket accepts writes.
pub(crate) const PROBE: &str = ".probe";

impl World {
    /// Sends SIGKILL to Redis. What it acknowledged is in its append-only file.
    ///
    /// # Errors
    /// If it can't be killed.
    pub async fn kill_redis(&self) -> Result<()> {
        self.redis.lock().await.kill9()
    }

    /// Starts Redis again with its data on disk.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_redis(&self) -> Result<()> {
        self.redis.lock().await.restart().await
    }

    /// Deletes all data of Redis (FLUSHALL).
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn wipe_redis(&self) -> Result<()> {
        self.redis.lock().await.command(&["FLUSHALL"]).await.map(drop)
    }

    /// Kills Redis, and starts it again on an empty disk.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn lose_redis(&self) -> Result<()> {
        self.redis.lock().await.lose().await
    }

    /// Sends Redis one command.
    ///
    /// # Errors
    /// When it does not answer, or with an error.
    pub async fn redis_command(&self, words: &[&str]) -> Result<String> {
        self.redis.lock().await.command(words).await
    }

    /// Disconnects S3 from the network; its objects stay.
    pub async fn stop_s3(&self) {
        self.s3.lock().await.stop();
    }

    /// Connects S3 again.
    ///
    /// # Errors
    /// If another process has taken its port.
    pub async fn start_s3(&self) -> Result<()> {
        self.s3.lock().await.restart().await
    }

    /// The number of uploads of an object, whether S3 stored the object or had it already.
    pub async fn uploads(&self, key: &str) -> usize {
        const THERE_ALREADY: u16 = 412;
        let path = format!("/{BUCKET}/{key}");
        let uploads = self.s3.lock().await.requests();
        let upload = |r: &&testkit::S3Request| {
            r.method == "PUT" && r.path == path && [200, THERE_ALREADY].contains(&r.status)
        };
        uploads.iter().filter(upload).count()
    }

    /// The number of jobs' objects directly below a prefix that ends with a slash.
    ///
    /// # Errors
    /// If there never was such an object.
    pub async fn objects(&self, prefix: &str) -> Result<usize> {
        let below = std::fs::read_dir(self.s3.lock().await.object_file(BUCKET, prefix))?;
        Ok(below.flatten().filter(|entry| entry.path().is_file() && entry.file_name() != PROBE).count())
    }
}
