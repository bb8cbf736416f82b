//! What OpenMLDB does with a request before any of its methods sees it: credentials, and required fields.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body as _, Frame};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Bytes, Service, http};

use super::gate::Gate;
use super::required;
use super::service::Garbled;

/// A gRPC message on the wire follows five bytes: a compression flag and its length.
const PREFIX: usize = 5;

/// A server's methods behind its door.
#[derive(Debug, Clone)]
pub struct Door<S> {
    methods: S,
    /// How the server calls itself in error messages: `ip:port`.
    address: String,
}

impl<S> Door<S> {
    /// Puts `methods` behind a door of the server listening at `address`.
    pub fn new(methods: S, address: String) -> Self {
        Self { methods, address }
    }
}

impl<S> Service<http::Request<Body>> for Door<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.methods.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let fresh = self.methods.clone();
        let mut methods = std::mem::replace(&mut self.methods, fresh);
        let gate = request.extensions().get::<Gate>().cloned();
        let has_credentials = request.headers().contains_key(http::header::AUTHORIZATION);
        let address = self.address.clone();
        Box::pin(async move {
            if let Some(gate) = gate
                && !gate.let_in(has_credentials)
            {
                gate.cut();
                return pending().await;
            }
            if !required::has_any(request.uri().path()) {
                return methods.call(request).await.map(spoiled);
            }
            let (head, body) = request.into_parts();
            let Ok(whole) = collect(body).await else { return pending().await };
            if let Some(name) = required::refused(head.uri.path(), whole.get(PREFIX..).unwrap_or_default()) {
                let text = format!("[{address}][E1003]Fail to parse http body as {name}");
                return Ok(Status::invalid_argument(text).into_http());
            }
            let request = http::Request::from_parts(head, Body::new(Whole(Some(whole.into()))));
            methods.call(request).await.map(spoiled)
        })
    }
}

/// A message of four bytes, none of which begins a field.
const GARBAGE: &[u8] = &[0, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff];

/// The answer, unless it is not to be understood.
fn spoiled(answer: http::Response<Body>) -> http::Response<Body> {
    if answer.extensions().get::<Garbled>().is_none() {
        return answer;
    }
    let (head, _) = answer.into_parts();
    http::Response::from_parts(head, Body::new(Whole(Some(Bytes::from_static(GARBAGE)))))
}

async fn collect(mut body: Body) -> Result<Vec<u8>, Status> {
    let mut whole = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame?.into_data() {
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole)
}

/// A body that is there already.
struct Whole(Option<Bytes>);

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}
