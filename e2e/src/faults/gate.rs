//! A gate on the way from the operator to one of the services it acts on. It passes requests on as they are and counts
//! those that change something. When it is told to, it shuts right after one of them: the service has done it, and
//! the operator will never know.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
};
use tokio_util::task::AbortOnDropHandle;

use super::wire::{Request, Wire};

/// A service that does not answer for so long has not done what it was asked for.
const ANSWER: Duration = Duration::from_secs(5);

/// What passes the gates of one operator: its effects on the world, one after the other.
#[derive(Debug, Clone, Default)]
pub struct Effects(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    passed: Mutex<Passed>,
    shut: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Passed {
    effects: Vec<String>,
    shut_after: Option<usize>,
}

impl Effects {
    /// Forgets what has passed and opens the gates, until `after` effects have passed (never, if `None`).
    pub fn begin(&self, after: Option<usize>) {
        *self.passed() = Passed { effects: Vec::new(), shut_after: after };
        self.0.shut.send_replace(after == Some(0));
    }

    /// What has passed, in order.
    #[must_use]
    pub fn so_far(&self) -> Vec<String> {
        self.passed().effects.clone()
    }

    /// Returns when the gates are shut.
    pub async fn shut(&self) {
        // The sender is here, so it can't be gone.
        let _ = self.0.shut.subscribe().wait_for(|shut| *shut).await;
    }

    /// Opens the gates for good.
    pub fn open(&self) {
        let mut passed = self.passed();
        passed.shut_after = None;
        self.0.shut.send_replace(false);
    }

    /// Whether the gates are to shut after this effect.
    fn is_last(&self, effect: String) -> bool {
        let mut passed = self.passed();
        passed.effects.push(effect);
        passed.shut_after == Some(passed.effects.len())
    }

    /// Shuts the gates, unless they have been opened for good.
    fn close(&self) {
        let passed = self.passed();
        if passed.shut_after.is_some() {
            self.0.shut.send_replace(true);
        }
    }

    async fn while_open(&self) {
        // The sender is here, so it can't be gone.
        let _ = self.0.shut.subscribe().wait_for(|shut| !shut).await;
    }

    fn passed(&self) -> std::sync::MutexGuard<'_, Passed> {
        self.0.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A gate in front of a service.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    _accepting: AbortOnDropHandle<()>,
}

impl Gate {
    /// Opens a gate to a service that speaks `wire`.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn open(target: SocketAddr, wire: Wire, effects: &Effects) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("can't open a port")?;
        let address = listener.local_addr()?;
        let effects = effects.clone();
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    Ok((client, _)) = listener.accept() => {
                        connections.spawn(carry(client, target, wire, effects.clone()));
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self { address, _accepting: AbortOnDropHandle::new(accepting) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Either end may hang up at any time; the other one sees it.
async fn carry(mut client: TcpStream, target: SocketAddr, wire: Wire, effects: Effects) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (last, shutting) = watch::channel(false);
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    tokio::select! {
        _ = requests(from_client, to_server, wire, &effects, &last) => {}
        _ = answers(from_server, to_client, &effects, shutting) => {}
    }
}

async fn requests(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    wire: Wire,
    effects: &Effects,
    last: &watch::Sender<bool>,
) -> std::io::Result<()> {
    let mut pending = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let size = from.read(&mut piece).await?;
        if size == 0 {
            return Ok(());
        }
        pending.extend_from_slice(&piece[..size]);
        while let Some(Request { length, effect }) = wire.request(&pending) {
            effects.while_open().await;
            let is_last = effect.is_some_and(|effect| effects.is_last(effect));
            last.send_if_modified(|last| std::mem::replace(last, is_last) != is_last);
            to.write_all(&pending[..length]).await?;
            pending.drain(..length);
        }
    }
}

async fn answers(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    effects: &Effects,
    mut last: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let size = tokio::select! {
            size = from.read(&mut piece) => size?,
            () = no_answer(&mut last) => 0,
        };
        if *last.borrow() {
            effects.close();
        }
        effects.while_open().await;
        if size == 0 {
            return Ok(());
        }
        to.write_all(&piece[..size]).await?;
    }
}

/// Returns when the last request to pass has had no answer for too long.
async fn no_answer(last: &mut watch::Receiver<bool>) {
    // An error means that the connection has ended.
    let _ = last.wait_for(|last| *last).await;
    tokio::time::sleep(ANSWER).await;
}
