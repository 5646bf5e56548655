//! Passes TCP connections on to another address: an engine elsewhere, seen as a container of each worker's Pod.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use clap::Parser;
use tokio::net::{TcpListener, TcpStream};

/// Passes TCP connections on to another address.
#[derive(Parser)]
struct Arguments {
    /// Where to connect: host:port
    #[arg(long)]
    to: String,
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    listen: IpAddr,
    /// The port to listen on
    #[arg(long, default_value_t = 8188)]
    port: u16,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { to, listen, port } = Arguments::parse();
    let listener =
        TcpListener::bind((listen, port)).await.with_context(|| format!("listen on {listen}:{port}"))?;
    loop {
        let (mut near, _) = listener.accept().await?;
        let to = to.clone();
        tokio::spawn(async move {
            if let Ok(mut far) = TcpStream::connect(&to).await {
                // Either side may hang up at any time; the other one sees it.
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}
