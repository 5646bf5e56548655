//! An HTTPS server on loopback that answers whatever a test wants, well-formed or not.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

/// Names that its certificate is for.
pub(crate) const NAMES: [&str; 3] = ["files.example", "mirror.example", "inside.example"];
/// Between two bytes of what drips.
const DRIP: Duration = Duration::from_millis(20);

pub(crate) struct Hostile {
    pub(crate) address: SocketAddr,
    /// The authority that signed its certificate, PEM.
    pub(crate) root: String,
    requests: Arc<Mutex<Vec<String>>>,
    _serving: AbortOnDropHandle<()>,
}

/// Bytes on the wire, from the status line on.
#[derive(Clone)]
pub(crate) enum Answer {
    /// These, and the end of the connection.
    Bytes(Vec<u8>),
    /// These, and then zeros until nobody takes them any more.
    Endless(Vec<u8>),
    /// These, one at a time.
    Dripping(Vec<u8>),
}

type Script = dyn Fn(&str) -> Answer + Send + Sync;

impl Answer {
    pub(crate) fn ok(body: &[u8]) -> Self {
        Self::with(&format!("200 OK\r\ncontent-length: {}", body.len()), body)
    }

    pub(crate) fn redirect(to: &str) -> Self {
        Self::with(&format!("302 Found\r\nlocation: {to}\r\ncontent-length: 0"), b"")
    }

    /// Status and headers as they are.
    pub(crate) fn with(head: &str, body: &[u8]) -> Self {
        Self::Bytes(message(head, body))
    }
}

pub(crate) fn message(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n").as_bytes(), body].concat()
}

impl Hostile {
    /// `script` knows what to answer to a path.
    pub(crate) async fn start(script: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let (config, root) = certificate();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let (acceptor, script, seen) = (
            TlsAcceptor::from(Arc::new(config)),
            Arc::<Script>::from(Box::new(script) as Box<Script>),
            requests.clone(),
        );
        let serving = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(answer(acceptor.clone(), socket, script.clone(), seen.clone()));
            }
        });
        Self { address, root, requests, _serving: AbortOnDropHandle::new(serving) }
    }

    /// The heads of all requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(
    acceptor: TlsAcceptor,
    socket: TcpStream,
    script: Arc<Script>,
    seen: Arc<Mutex<Vec<String>>>,
) -> io::Result<()> {
    let mut stream = acceptor.accept(socket).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(head);
    match script(&path) {
        Answer::Bytes(bytes) => stream.write_all(&bytes).await?,
        Answer::Endless(bytes) => {
            stream.write_all(&bytes).await?;
            loop {
                stream.write_all(&[0; 1 << 14]).await?;
            }
        }
        Answer::Dripping(bytes) => {
            for byte in bytes {
                stream.write_all(&[byte]).await?;
                stream.flush().await?;
                tokio::time::sleep(DRIP).await;
            }
        }
    }
    stream.shutdown().await
}

fn certificate() -> (ServerConfig, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca_key = KeyPair::generate().expect("a key");
    let root = ca.self_signed(&ca_key).expect("signed").pem();
    let key = KeyPair::generate().expect("a key");
    let names = NAMES.map(str::to_owned).to_vec();
    let params = CertificateParams::new(names).expect("parameters");
    let cert = params.signed_by(&key, &Issuer::new(ca, ca_key)).expect("signed");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder().with_no_client_auth();
    (config.with_single_cert(vec![cert.der().clone()], key).expect("a certificate"), root)
}
