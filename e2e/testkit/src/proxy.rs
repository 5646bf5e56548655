use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

/// Pieces of data on their way at most.
const MOST_LATE: usize = 256;

/// A fault of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// No fault.
    #[default]
    None,
    /// All data arrives later by this time, in both directions: an answer takes twice as long.
    Delay(Duration),
    /// New connections are refused, and existing ones end.
    Refuse,
    /// New and existing connections end with a TCP reset.
    Reset,
    /// A connection ends with a reset after it has sent this many bytes to the server.
    CutAfter(usize),
    /// Connections stay open, but no data arrives until the fault ends.
    Silent,
}

/// A TCP proxy in front of a service, which makes the network fail at run time.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    /// The last fault that the accepting task has applied.
    applied: watch::Receiver<Fault>,
    _accepting: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Forwards a free loopback port to `target` (`host:port`).
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start(target: impl Into<String>) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("can't open a port")?;
        let address = listener.local_addr()?;
        let (fault, seen) = watch::channel(Fault::None);
        let (apply, applied) = watch::channel(Fault::None);
        let accepting = tokio::spawn(accept(listener, target.into(), seen, apply));
        Ok(Self { address, fault, applied, _accepting: AbortOnDropHandle::new(accepting) })
    }

    /// The address on which the proxy listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces the network's fault. When this returns, new connections have the new fault.
    pub async fn set(&mut self, fault: Fault) {
        self.fault.send_replace(fault);
        // An error means that the accepting task has ended, and all connections with it.
        let _ = self.applied.wait_for(|applied| *applied == fault).await;
    }
}

async fn accept(
    listener: TcpListener,
    target: String,
    mut fault: watch::Receiver<Fault>,
    applied: watch::Sender<Fault>,
) {
    let Ok(address) = listener.local_addr() else { return };
    let mut listener = Some(listener);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let now = *fault.borrow_and_update();
        if now == Fault::Refuse {
            listener = None;
            connections.abort_all();
            while connections.join_next().await.is_some() {}
        } else if listener.is_none() {
            listener = TcpListener::bind(address).await.ok();
        }
        applied.send_replace(now);
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok((client, _)) = accepted => {
                connections.spawn(carry(client, target.clone(), fault.clone()));
            }
            changed = fault.changed() => if changed.is_err() { return },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(mut client: TcpStream, target: String, fault: watch::Receiver<Fault>) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    // A direction that fails ends both directions; one that ends normally leaves the other one open.
    let end = tokio::try_join!(
        pump(from_client, to_server, fault.clone(), Direction::ToServer),
        pump(from_server, to_client, fault, Direction::ToClient),
    );
    if matches!(end, Err(Broken::OnPurpose)) {
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    ToServer,
    ToClient,
}

enum Broken {
    OnPurpose,
    ByEitherEnd,
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut fault: watch::Receiver<Fault>,
    direction: Direction,
) -> Result<(), Broken> {
    let mut buffer = vec![0; 64 * 1024];
    let mut carried = 0;
    // What has been read, and when it is to arrive.
    let mut late: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut ended = false;
    loop {
        let now = *fault.borrow_and_update();
        let reset = match now {
            Fault::Reset => true,
            Fault::CutAfter(bytes) => direction == Direction::ToServer && carried >= bytes,
            Fault::None | Fault::Delay(_) | Fault::Refuse | Fault::Silent => false,
        };
        if reset {
            return Err(Broken::OnPurpose);
        }
        if ended && late.is_empty() {
            return to.shutdown().await.map_err(|_| Broken::ByEitherEnd);
        }
        let due = late.front().map(|(due, _)| *due);
        tokio::select! {
            changed = fault.changed() => changed.map_err(|_| Broken::ByEitherEnd)?,
            read = from.read(&mut buffer), if now != Fault::Silent && !ended && late.len() < MOST_LATE => {
                let size = read.map_err(|_| Broken::ByEitherEnd)?;
                ended = size == 0;
                let delay = if let Fault::Delay(delay) = now { delay } else { Duration::ZERO };
                if !ended {
                    late.push_back((Instant::now() + delay, buffer[..size].to_vec()));
                }
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if now != Fault::Silent && due.is_some() => {
                let Some((_, piece)) = late.pop_front() else { continue };
                to.write_all(&piece).await.map_err(|_| Broken::ByEitherEnd)?;
                carried += piece.len();
            }
        }
    }
}
