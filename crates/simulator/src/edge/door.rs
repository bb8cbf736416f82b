//! What OpenMLDB does with a request before any of its methods sees it: credentials, and required fields.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body as _, Frame};
use openmldb_wire::Verbatim;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Bytes, Service, http};
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};

use super::gate::Gate;
use super::required;
use super::service::{Garbled, Methods};

/// A gRPC message on the wire follows five bytes: a compression flag and its length.
const PREFIX: usize = 5;

/// A server's methods behind its door.
#[derive(Debug, Clone)]
pub struct Door {
    methods: Methods,
    /// How the server calls itself in error messages: `ip:port`.
    address: String,
}

impl Door {
    /// Puts `methods` behind a door of the server listening at `address`.
    pub fn new(methods: Methods, address: String) -> Self {
        Self { methods, address }
    }
}

impl Service<http::Request<Body>> for Door {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Self { methods, address } = self.clone();
        let gate = request.extensions().get::<Gate>().cloned();
        let has_credentials = request.headers().contains_key(http::header::AUTHORIZATION);
        Box::pin(async move {
            if let Some(gate) = gate
                && !gate.let_in(has_credentials)
            {
                gate.cut();
                return pending().await;
            }
            let method = Method { methods, path: request.uri().path().to_owned() };
            if !required::has_any(&method.path) {
                return Ok(unary(method, request).await);
            }
            let (head, body) = request.into_parts();
            let Ok(whole) = collect(body).await else { return pending().await };
            if let Some(name) = required::refused(&method.path, whole.get(PREFIX..).unwrap_or_default()) {
                let text = format!("[{address}][E1003]Fail to parse http body as {name}");
                return Ok(Status::invalid_argument(text).into_http());
            }
            let request = http::Request::from_parts(head, Body::new(Whole(Some(whole.into()))));
            Ok(unary(method, request).await)
        })
    }
}

/// One of them, as tonic calls it.
struct Method {
    methods: Methods,
    path: String,
}

impl UnaryService<Bytes> for Method {
    type Response = Bytes;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        Box::pin(self.methods.clone().answer(self.path.clone(), request))
    }
}

async fn unary(method: Method, request: http::Request<Body>) -> http::Response<Body> {
    spoiled(Grpc::new(Verbatim).max_decoding_message_size(usize::MAX).unary(method, request).await)
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
