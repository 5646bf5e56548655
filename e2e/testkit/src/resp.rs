use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// Sends one command to a plain Redis and returns its simple or bulk reply.
pub(crate) async fn command(port: u16, password: Option<&str>, words: &[&str]) -> Result<String> {
    let failed = || format!("redis on port {port}: {}", words.join(" "));
    let mut connection = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.with_context(failed)?);
    if let Some(password) = password {
        send(&mut connection, &["AUTH", password]).await.with_context(failed)?;
    }
    send(&mut connection, words).await.with_context(failed)
}

async fn send(connection: &mut BufReader<TcpStream>, words: &[&str]) -> Result<String> {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    connection.write_all(request.as_bytes()).await?;

    let mut line = String::new();
    connection.read_line(&mut line).await?;
    let line = line.trim_end();
    match line.split_at_checked(1) {
        Some(("+" | ":", reply)) => Ok(reply.to_owned()),
        Some(("$", length)) => {
            let mut reply = vec![0; length.parse()?];
            connection.read_exact(&mut reply).await?;
            Ok(String::from_utf8(reply)?)
        }
        _ => bail!("{line}"),
    }
}
