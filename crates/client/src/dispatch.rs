//! From a call's enum to the generated client's method, for both services, made from the method lists of
//! [`openmldb_wire::call`].

use std::future::Future;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};

use openmldb_wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use openmldb_wire::{nameserver_methods, tablet_methods};

/// The generated client of each service, under the name of the module that holds its messages.
mod client {
    pub mod nameserver {
        pub use openmldb_wire::nameserver::name_server_client::NameServerClient as Client;
    }
    pub mod api {
        pub use openmldb_wire::api::tablet_server_client::TabletServerClient as Client;
    }
}

/// A call that knows how to be sent.
pub(super) trait Dispatch: Send + 'static {
    /// What comes back.
    type Answer;

    /// The method's name.
    fn method(&self) -> &'static str;

    /// Sends it, and gives the answer whatever its code. `limit` is the largest answer accepted, in bytes.
    fn send(
        self,
        channel: Channel,
        authorization: MetadataValue<Ascii>,
        limit: usize,
    ) -> impl Future<Output = Result<Self::Answer, Status>> + Send;
}

macro_rules! dispatch {
    ($call:ident $answer:ident $messages:ident $service:literal;
     $($variant:ident $snake:ident $request:ident => $response:ident $effect:ident;)*) => {
        impl Dispatch for $call {
            type Answer = $answer;

            fn method(&self) -> &'static str {
                self.name()
            }

            async fn send(
                self,
                channel: Channel,
                authorization: MetadataValue<Ascii>,
                limit: usize,
            ) -> Result<$answer, Status> {
                let mut client = client::$messages::Client::new(channel).max_decoding_message_size(limit);
                match self {
                    $(Self::$variant(message) => {
                        let mut request = Request::new(message);
                        request.metadata_mut().insert("authorization", authorization);
                        client.$snake(request).await.map(|answer| $answer::$variant(answer.into_inner()))
                    })*
                }
            }
        }
    };
}

nameserver_methods!(dispatch);
tablet_methods!(dispatch);
