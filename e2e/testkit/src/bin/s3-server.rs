//! A small S3 server for the demo: objects are files, signatures are checked.
use std::{io::Write, net::SocketAddr, path::PathBuf};

use clap::Parser;
use testkit::{Reading, S3, S3Options};

#[derive(Parser)]
#[command(about)]
struct Options {
    /// Where the objects are kept.
    #[arg(long)]
    root: PathBuf,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The access key that requests must be signed with.
    #[arg(long, env = "AWS_ACCESS_KEY_ID")]
    access_key: String,
    /// Its secret.
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true)]
    secret_key: String,
    /// A bucket to make; may be given several times.
    #[arg(long = "bucket")]
    buckets: Vec<String>,
    /// Anyone may read objects, as behind a CDN.
    #[arg(long)]
    public: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let s3 = S3::start(S3Options {
        buckets: options.buckets,
        access_key: options.access_key,
        secret_key: options.secret_key,
        reading: if options.public { Reading::Public } else { Reading::Signed },
        root: Some(options.root),
        listen: options.listen,
    })
    .await?;
    writeln!(std::io::stdout(), "{}", s3.endpoint())?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
