//! From a call to its answer, for both services. Everything that waits here is compiled once, and not once for each method:
//! messages travel as bytes, and are read where they arrive.

use tonic::client::Grpc;
use tonic::codegen::Bytes;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};

use openmldb_wire::Verbatim;
use openmldb_wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};

/// A call that knows how to be sent.
pub(super) trait Dispatch: Send + Sync + 'static {
    /// What comes back.
    type Answer;

    /// The method's name.
    fn method(&self) -> &'static str;

    /// Where it goes, and its request.
    fn request(&self) -> (&'static str, Bytes);

    /// Reads what came back.
    fn read(&self, answer: Bytes) -> Result<Self::Answer, Status>;
}

macro_rules! dispatch {
    ($call:ident $answer:ident) => {
        impl Dispatch for $call {
            type Answer = $answer;

            fn method(&self) -> &'static str {
                self.name()
            }

            fn request(&self) -> (&'static str, Bytes) {
                (self.path(), self.encode())
            }

            fn read(&self, answer: Bytes) -> Result<$answer, Status> {
                self.answer(answer).map_err(|error| Status::internal(error.to_string()))
            }
        }
    };
}

dispatch!(NameserverCall NameserverAnswer);
dispatch!(TabletCall TabletAnswer);

/// Sends a request and gives the answer, whatever its code. `limit` is the largest answer accepted, in bytes.
pub(super) async fn send(
    channel: Channel,
    (path, message): (&'static str, Bytes),
    authorization: MetadataValue<Ascii>,
    limit: usize,
) -> Result<Bytes, Status> {
    let mut grpc = Grpc::new(channel).max_decoding_message_size(limit);
    grpc.ready().await.map_err(|error| Status::unknown(format!("not ready: {error}")))?;
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", authorization);
    let answer = grpc.unary(request, PathAndQuery::from_static(path), Verbatim).await?;
    Ok(answer.into_inner())
}
