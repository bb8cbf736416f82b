//! What a process that goes on says of itself, over HTTP: answers to GET, made from what is known at that moment. The only place,
//! beside the sandbox, that listens. It knows nothing of clusters, and calls nobody.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// So many are answered at once; others wait.
const AT_ONCE: usize = 16;
/// How long one question and its answer may take.
const WITHIN: Duration = Duration::from_secs(10);
/// After an error of the operating system, as when it has no file descriptors left.
const PAUSE: Duration = Duration::from_millis(200);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether all is as it should be: 200, or 503.
    pub is_good: bool,
    /// The text.
    pub text: String,
}

/// Gives the answer to a path; none if there is no such path.
pub type Answers = Arc<dyn Fn(&str) -> Option<Answer> + Send + Sync>;

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Listening {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Listening {
    /// Begins to.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn on(address: SocketAddr, answers: Answers) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { address, task: tokio::spawn(accept(listener, answers)) })
    }

    /// Where.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, answers: Answers) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let answers = answers.clone();
                tokio::spawn(async move {
                    if tokio::time::timeout(WITHIN, serve(stream, answers)).await.is_err() {
                        tracing::debug!("a question over HTTP took too long");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "nobody can be let in");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// One question each: whoever asks once a minute needs no connection in between.
async fn serve(stream: TcpStream, answers: Answers) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answers = answers.clone();
        async move { Ok::<_, Infallible>(answer(&request, &answers)) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a question over HTTP");
    }
}

fn answer(request: &Request<Incoming>, answers: &Answers) -> Response<Full<Bytes>> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, text) = match is_read.then(|| answers(request.uri().path())) {
        None => (StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n".to_owned()),
        Some(None) => (StatusCode::NOT_FOUND, "there is nothing here\n".to_owned()),
        Some(Some(Answer { is_good: true, text })) => (StatusCode::OK, text),
        Some(Some(Answer { is_good: false, text })) => (StatusCode::SERVICE_UNAVAILABLE, text),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    // As Prometheus' text format has it; and it is plain text to everybody else.
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    if !is_read {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn listening() -> Listening {
        let answers: Answers = Arc::new(|path| match path {
            "/good" => Some(Answer { is_good: true, text: "yes\n".to_owned() }),
            "/bad" => Some(Answer { is_good: false, text: "no\n".to_owned() }),
            _ => None,
        });
        Listening::on("127.0.0.1:0".parse().unwrap(), answers).await.unwrap()
    }

    async fn asked(listening: &Listening, words: &str) -> String {
        let mut stream = TcpStream::connect(listening.address()).await.unwrap();
        stream.write_all(words.as_bytes()).await.unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).await.unwrap();
        told
    }

    #[tokio::test]
    async fn paths_are_answered_and_nothing_else_is() {
        let listening = listening().await;
        let told = asked(&listening, "GET /good?x=1 HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(told.starts_with("HTTP/1.1 200 OK\r\n") && told.ends_with("\r\n\r\nyes\n"), "{told}");
        assert!(asked(&listening, "GET /bad HTTP/1.1\r\nHost: h\r\n\r\n").await.starts_with("HTTP/1.1 503 "));
        assert!(asked(&listening, "GET /other HTTP/1.0\r\n\r\n").await.contains(" 404 "));
        assert!(asked(&listening, "DELETE /good HTTP/1.1\r\nHost: h\r\n\r\n").await.starts_with("HTTP/1.1 405 "));
        let head = asked(&listening, "HEAD /good HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 ") && !head.contains("yes"), "{head}");
        assert!(asked(&listening, "\u{1}\u{2}nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    }

    #[tokio::test]
    async fn those_who_ask_nothing_keep_nobody_out_for_ever() {
        tokio::time::pause();
        let listening = listening().await;
        let mut silent = Vec::new();
        for _ in 0..AT_ONCE {
            silent.push(TcpStream::connect(listening.address()).await.unwrap());
        }
        let told = asked(&listening, "GET /good HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
    }
}
