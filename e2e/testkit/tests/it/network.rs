use std::{
    collections::BTreeSet,
    io::ErrorKind,
    time::{Duration, Instant},
};

use testkit::{Fault, Proxy, free_port};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    time::timeout,
};

type Result = anyhow::Result<()>;

async fn proxy_to_echo() -> anyhow::Result<Proxy> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let target = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = socket.split();
                copy(&mut from, &mut to).await
            });
        }
    });
    Proxy::start(target).await
}

async fn echo(connection: &mut TcpStream) -> std::io::Result<()> {
    connection.write_all(b"ping").await?;
    connection.read_exact(&mut [0; 4]).await.map(drop)
}

#[test]
fn no_free_port_is_given_twice() {
    let ports: Vec<u16> = (0..1000).map(|_| free_port().unwrap()).collect();
    assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len());
}

#[tokio::test]
async fn data_passes_late_or_not_until_the_silence_ends() -> Result {
    let mut proxy = proxy_to_echo().await?;
    let mut connection = TcpStream::connect(proxy.address()).await?;
    echo(&mut connection).await?;

    proxy.set(Fault::Delay(Duration::from_millis(50))).await;
    let start = Instant::now();
    echo(&mut connection).await?;
    assert!(start.elapsed() >= Duration::from_millis(100), "delayed both ways");

    proxy.set(Fault::Silent).await;
    connection.write_all(b"ping").await?;
    let mut answer = [0; 4];
    assert!(timeout(Duration::from_millis(100), connection.read_exact(&mut answer)).await.is_err());
    proxy.set(Fault::None).await;
    timeout(Duration::from_secs(5), connection.read_exact(&mut answer)).await??;
    assert_eq!(&answer, b"ping");
    Ok(())
}

#[tokio::test]
async fn connections_are_refused_then_accepted_again() -> Result {
    let mut proxy = proxy_to_echo().await?;
    let mut connection = TcpStream::connect(proxy.address()).await?;
    echo(&mut connection).await?;
    proxy.set(Fault::Refuse).await;
    assert!(echo(&mut connection).await.is_err());
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    proxy.set(Fault::None).await;
    echo(&mut TcpStream::connect(proxy.address()).await?).await?;
    Ok(())
}

#[tokio::test]
async fn connections_are_reset_at_once_or_after_some_bytes() -> Result {
    let mut proxy = proxy_to_echo().await?;
    let mut connection = TcpStream::connect(proxy.address()).await?;
    echo(&mut connection).await?;
    proxy.set(Fault::Reset).await;
    let reset = timeout(Duration::from_secs(5), connection.read(&mut [0; 4])).await?.unwrap_err();
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);

    proxy.set(Fault::CutAfter(8)).await;
    let mut connection = TcpStream::connect(proxy.address()).await?;
    echo(&mut connection).await?;
    let mut cut = Ok(());
    for _ in 0..3 {
        cut = cut.and(echo(&mut connection).await);
    }
    assert!(cut.is_err());
    Ok(())
}
