//! One file over HTTP on the bridge, so that the k0s binary reaches machines by `downloadURL`, as in production.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A request is a few hundred bytes; who sends more is no client of ours.
const REQUEST_LIMIT: u64 = 16 * 1024;
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// Answers GET and HEAD of `url_path` (for example `/k0s`) with the content of `file`, and anything else with an
/// error, for as long as the future is polled. The file is opened anew for each request, so it may be replaced.
/// Bind `listener` first: the bridge must be up for that, and from then on clients can connect.
///
/// # Errors
/// `file` is not readable now, or the listener fails.
pub async fn serve_file(listener: TcpListener, url_path: &str, file: &Path) -> Result<Infallible> {
    File::open(file)
        .await
        .with_context(|| format!("cannot read {}", file.display()))?;
    let served: Arc<(String, PathBuf)> = Arc::new((url_path.to_owned(), file.to_owned()));
    loop {
        let (stream, _) = listener.accept().await.context("cannot accept a connection")?;
        let served = Arc::clone(&served);
        tokio::spawn(async move {
            // A client that goes away is its own affair.
            let _ = answer(stream, &served.0, &served.1).await;
        });
    }
}

async fn answer(stream: TcpStream, url_path: &str, path: &Path) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let (method, target) = timeout(REQUEST_DEADLINE, read_request(&mut stream)).await??;
    let stream = stream.get_mut();
    let status = match method.as_str() {
        "GET" | "HEAD" if target == url_path => {
            let mut file = File::open(path).await?;
            let length = file.metadata().await?.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await?;
            if method == "GET" {
                copy(&mut file, stream).await?;
            }
            return Ok(stream.shutdown().await?);
        }
        "GET" | "HEAD" => "404 Not Found",
        _ => "405 Method Not Allowed",
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

/// Method and path without its query; reads to the end of the headers.
async fn read_request(stream: &mut BufReader<TcpStream>) -> Result<(String, String)> {
    let mut lines = stream.take(REQUEST_LIMIT);
    let mut first = String::new();
    lines.read_line(&mut first).await?;
    let mut line = String::new();
    while lines.read_line(&mut line).await? > 0 && !line.trim_end().is_empty() {
        line.clear();
    }
    let mut words = first.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        bail!("no HTTP request");
    };
    let path = target.split('?').next().unwrap_or(target);
    Ok((method.to_owned(), path.to_owned()))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::serve_file;

    async fn request(address: std::net::SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn serves_the_one_file_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("k0s-v1");
        let content = "binary".repeat(100_000);
        std::fs::write(&file, &content).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { serve_file(listener, "/k0s", &file).await.map(drop) });

        let answer = request(address, "GET /k0s HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.contains("Content-Length: 600000"), "{head}");
        assert_eq!(body, content);

        let answer = request(address, "HEAD /k0s?x=1 HTTP/1.1\r\n\r\n").await;
        assert!(answer.contains("Content-Length: 600000") && answer.ends_with("\r\n\r\n"));
        for (line, status) in [
            ("GET /etc/passwd", "404"),
            ("GET /k0s/..", "404"),
            ("POST /k0s", "405"),
        ] {
            let answer = request(address, &format!("{line} HTTP/1.1\r\n\r\n")).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{line}: {answer}"
            );
        }
        server.abort();
    }

    #[tokio::test]
    async fn refuses_a_file_that_is_not_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let error = serve_file(listener, "/k0s", "/nonexistent".as_ref())
            .await
            .unwrap_err();
        assert!(error.to_string().contains("/nonexistent"), "{error}");
    }
}
