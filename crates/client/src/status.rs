//! What tonic's errors mean. Its codes alone do not say: a refused connection, a hang-up in mid-call and a server that
//! speaks something else all arrive as errors of a few codes, told apart by what caused them
//! (docs/design/calls.md#transport).

use std::error::Error;
use std::io;
use std::time::Duration;

use tonic::{Code, ConnectError, Status, TimeoutExpired};

use super::CallErrorKind;

/// What a failed call saw. `after` is the deadline it had, `limit` the largest answer it accepted, in bytes.
pub(super) fn kind_of(status: &Status, after: Duration, limit: usize) -> CallErrorKind {
    let msg = status.message().to_owned();
    if cause::<TimeoutExpired>(status).is_some() || status.code() == Code::DeadlineExceeded {
        return CallErrorKind::DeadlineExceeded { after };
    }
    if let Some(connect) = cause::<ConnectError>(status) {
        return CallErrorKind::Unreachable { seen: why_unreachable(connect) };
    }
    if status.source().is_some() {
        return broken(status, limit);
    }
    match status.code() {
        Code::Cancelled if msg == "Timeout expired" => CallErrorKind::DeadlineExceeded { after },
        Code::OutOfRange if msg.contains("message length too large") => CallErrorKind::TooMuch { limit },
        Code::Unimplemented => CallErrorKind::Unimplemented,
        Code::InvalidArgument => CallErrorKind::InvalidRequest { msg },
        Code::Unauthenticated | Code::PermissionDenied => CallErrorKind::Denied { msg },
        // A brpc server that is shutting down, and hyper's word for a connection closed under a call.
        Code::Unavailable | Code::Cancelled => CallErrorKind::HungUp { seen: msg },
        code => CallErrorKind::Garbage { seen: format!("{code:?}: {msg}") },
    }
}

/// A connection that existed and then failed under the call: closed, or spoken on in something that is not HTTP/2.
fn broken(status: &Status, limit: usize) -> CallErrorKind {
    let chain = causes(status);
    let seen = chain.last().cloned().unwrap_or_else(|| status.message().to_owned());
    let says = |words: &str| chain.iter().any(|cause| cause.contains(words));
    if says("flow-control protocol violated") {
        CallErrorKind::TooMuch { limit }
    } else if says("unspecific protocol error") || says("frame with invalid size") || says("invalid HTTP") {
        CallErrorKind::Garbage { seen: format!("not HTTP/2 ({seen})") }
    } else {
        CallErrorKind::HungUp { seen }
    }
}

fn why_unreachable(connect: &ConnectError) -> String {
    let deepest = causes(connect).pop().unwrap_or_else(|| connect.to_string());
    match cause::<io::Error>(connect).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => "connection refused, nothing listens there".to_owned(),
        Some(io::ErrorKind::TimedOut) => "no answer to the attempt to connect".to_owned(),
        _ => deepest,
    }
}

/// The first error of this type among an error and its causes.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// What caused an error, in words, the deepest cause last.
fn causes(error: &dyn Error) -> Vec<String> {
    let mut words = Vec::new();
    let mut next = error.source();
    while let Some(error) = next {
        words.push(error.to_string());
        next = error.source();
    }
    words
}
