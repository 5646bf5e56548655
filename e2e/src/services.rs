//! Redis and S3 that go away and come back, and what lies in S3.

use anyhow::Result;

use crate::world::{BUCKET, World};

/// What a worker writes to see whether the bucket takes anything.
pub(crate) const PROBE: &str = ".probe";

impl World {
    /// SIGKILLs Redis. What it acknowledged is in its append-only file.
    ///
    /// # Errors
    /// When it can't be killed.
    pub async fn kill_redis(&self) -> Result<()> {
        self.redis.lock().await.kill9()
    }

    /// Starts Redis again, with what it has on disk.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_redis(&self) -> Result<()> {
        self.redis.lock().await.restart().await
    }

    /// Wipes Redis: FLUSHALL.
    ///
    /// # Errors
    /// When it does not answer.
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

    /// Takes S3 off the network; the objects stay.
    pub async fn stop_s3(&self) {
        self.s3.lock().await.stop();
    }

    /// Puts S3 back.
    ///
    /// # Errors
    /// When its port was taken meanwhile.
    pub async fn start_s3(&self) -> Result<()> {
        self.s3.lock().await.restart().await
    }

    /// How often an object was made and sent, whether it was taken or there already.
    pub async fn uploads(&self, key: &str) -> usize {
        const THERE_ALREADY: u16 = 412;
        let path = format!("/{BUCKET}/{key}");
        let uploads = self.s3.lock().await.requests();
        let upload = |r: &&testkit::S3Request| {
            r.method == "PUT" && r.path == path && [200, THERE_ALREADY].contains(&r.status)
        };
        uploads.iter().filter(upload).count()
    }

    /// How many objects of jobs lie directly below a prefix that ends in a slash.
    ///
    /// # Errors
    /// When there never were any.
    pub async fn objects(&self, prefix: &str) -> Result<usize> {
        let below = std::fs::read_dir(self.s3.lock().await.object_file(BUCKET, prefix))?;
        Ok(below.flatten().filter(|entry| entry.path().is_file() && entry.file_name() != PROBE).count())
    }
}
