//! Where requests begin and end on a connection, and which of them change something. Pure.

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// HTTP/1.1, as to the API server and S3.
    Http,
    /// RESP, as to Redis.
    Redis,
}

/// A request at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Its bytes.
    pub(super) length: usize,
    /// What it does, if it may change something.
    pub(super) effect: Option<String>,
}

impl Wire {
    /// The request that `bytes` begin with; `None` until all of it is there.
    pub(super) fn request(self, bytes: &[u8]) -> Option<Request> {
        match self {
            Self::Http => http(bytes),
            Self::Redis => redis(bytes),
        }
    }
}

fn http(bytes: &[u8]) -> Option<Request> {
    const END: &[u8] = b"\r\n\r\n";
    let head = bytes.windows(END.len()).position(|window| window == END)?;
    let text = String::from_utf8_lossy(&bytes[..head]);
    let mut lines = text.lines();
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    let body = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = head + END.len() + body.unwrap_or_default();
    let reads = ["GET", "HEAD", "OPTIONS"].contains(&method);
    let path = path.split('?').next().unwrap_or_default();
    (bytes.len() >= length).then(|| Request { length, effect: (!reads).then(|| format!("{method} {path}")) })
}

/// An array of bulk strings. A script is an effect whatever it does: from here nobody can tell.
fn redis(bytes: &[u8]) -> Option<Request> {
    const EFFECTS: [&str; 5] = ["EVAL", "EVALSHA", "XACK", "XGROUP", "XREADGROUP"];
    let (words, mut length) = number(bytes, 0, b'*')?;
    let mut name = None;
    for _ in 0..words {
        let (size, start) = number(bytes, length, b'$')?;
        let word = bytes.get(start..start + size)?;
        name = name.or_else(|| Some(String::from_utf8_lossy(word).to_uppercase()));
        length = start + size + 2;
    }
    let effect = name.filter(|name| EFFECTS.contains(&name.as_str()));
    (bytes.len() >= length).then_some(Request { length, effect })
}

/// The number in a line `{mark}{number}\r\n` that begins at `from`, and where the next line begins.
fn number(bytes: &[u8], from: usize, mark: u8) -> Option<(usize, usize)> {
    let line = bytes.get(from..)?;
    let end = line.windows(2).position(|window| window == b"\r\n")?;
    let digits = line[..end].strip_prefix(&[mark])?;
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, from + end + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        type Expected = Option<(usize, Option<&'static str>)>;
        let table: [(Wire, &[u8], Expected); 8] = [
            (Wire::Http, b"GET /api/v1/pods?watch=true HTTP/1.1\r\nhost: a\r\n\r\n", Some((49, None))),
            (Wire::Http, b"GET /api/v1/pods HTTP/1.1\r\nhost", None),
            (
                Wire::Http,
                b"PUT /images/a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET",
                Some((48, Some("PUT /images/a"))),
            ),
            (Wire::Http, b"PUT /images/a HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", None),
            (Wire::Redis, b"*1\r\n$4\r\nPING\r\n*1", Some((14, None))),
            (Wire::Redis, b"*2\r\n$4\r\nXACK\r\n$1\r\nx\r\n", Some((21, Some("XACK")))),
            (Wire::Redis, b"*2\r\n$7\r\nevalsha\r\n$1\r\nx", None),
            (Wire::Redis, b"*2\r\n$7\r\nevalsha\r\n$2\r\n\r\n\r\n", Some((25, Some("EVALSHA")))),
        ];
        for (wire, bytes, expected) in table {
            let found = wire.request(bytes).map(|request| (request.length, request.effect));
            let expected = expected.map(|(length, effect)| (length, effect.map(str::to_owned)));
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(bytes));
        }
    }
}
