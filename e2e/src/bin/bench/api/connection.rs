//! A client that costs next to nothing: it shares the cores with what is measured. HTTP/1.1, one request after the other,
//! on a connection that is kept.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub(super) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// An answer with a length.
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    pub(super) body: &'a [u8],
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(4096) })
    }

    /// Sends a request and reads its answer.
    pub(super) async fn send(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.received.clear();
        let head = self.head().await?;
        let (status, length) = read_head(&self.received[..head])?;
        let end = head + length.context("an answer without a length")?;
        while self.received.len() < end {
            self.more().await?;
        }
        Ok(Answer { status, body: &self.received[head..end] })
    }

    /// Sends a request whose answer is a stream of lines.
    pub(super) async fn stream(mut self, request: &[u8]) -> Result<Lines> {
        self.stream.write_all(request).await?;
        self.received.clear();
        let head = self.head().await?;
        let (status, _) = read_head(&self.received[..head])?;
        ensure!(status == 200, "a stream is answered with {status}");
        self.received.drain(..head);
        Ok(Lines(self))
    }

    /// Reads a head; returns where it ends.
    async fn head(&mut self) -> Result<usize> {
        const END: &[u8] = b"\r\n\r\n";
        loop {
            if let Some(at) = self.received.windows(END.len()).position(|bytes| bytes == END) {
                return Ok(at + END.len());
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.received).await? == 0 {
            bail!("the connection was closed");
        }
        Ok(())
    }
}

/// The status, and the length of the body if the head says it.
fn read_head(head: &[u8]) -> Result<(u16, Option<usize>)> {
    let head = std::str::from_utf8(head)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?.parse()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Ok((status, length))
}

/// The lines of a stream, those of its chunked encoding among them.
pub(super) struct Lines(Connection);

impl Lines {
    /// The next line that begins so, without that.
    pub(super) async fn next(&mut self, prefix: &str) -> Result<String> {
        loop {
            let received = &mut self.0.received;
            while let Some(length) = received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = received.drain(..=length).collect();
                if let Some(rest) = line.strip_prefix(prefix.as_bytes()) {
                    return Ok(String::from_utf8(rest.to_vec())?);
                }
            }
            self.0.more().await?;
        }
    }
}
