//! The two services of the contract, answered by the world.

use std::future::pending;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::gate::Gate;
use crate::model::Endpoint;
use crate::sandbox::{Live, Unreachable};
use crate::wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use crate::wire::{api, nameserver};

/// One server of the world: who it is in metadata, and the world that answers for it.
#[derive(Debug, Clone)]
pub struct Process {
    /// The world.
    pub live: Arc<Live>,
    /// The server's endpoint.
    pub endpoint: Endpoint,
}

/// What a server that died in mid-call says: nothing, and its socket is gone.
async fn hang_up<T>(gate: Option<Gate>) -> T {
    if let Some(gate) = gate {
        gate.cut();
    }
    pending().await
}

fn wrong_answer(name: &str) -> Status {
    Status::internal(format!("the sandbox answered {name} with something else"))
}

macro_rules! serve_nameserver {
    ($call:ident $answer:ident $messages:ident $service:literal;
     $($variant:ident $snake:ident $request:ident => $response:ident $effect:ident;)*) => {
        /// A nameserver's methods.
        #[derive(Debug)]
        pub struct Nameserver(pub Process);

        #[tonic::async_trait]
        impl nameserver::name_server_server::NameServer for Nameserver {
            $(async fn $snake(
                &self,
                request: Request<$messages::$request>,
            ) -> Result<Response<$messages::$response>, Status> {
                let gate = request.extensions().get::<Gate>().cloned();
                let call = $call::$variant(request.into_inner());
                match self.0.live.with(|world| world.call_nameserver(&self.0.endpoint, call)) {
                    Ok($answer::$variant(answer)) => Ok(Response::new(answer)),
                    Ok(_) => Err(wrong_answer(stringify!($variant))),
                    Err(Unreachable { .. }) => hang_up(gate).await,
                }
            })*
        }
    };
}

macro_rules! serve_tablet {
    ($call:ident $answer:ident $messages:ident $service:literal;
     $($variant:ident $snake:ident $request:ident => $response:ident $effect:ident;)*) => {
        /// A tablet's methods.
        #[derive(Debug)]
        pub struct Tablet(pub Process);

        #[tonic::async_trait]
        impl api::tablet_server_server::TabletServer for Tablet {
            $(async fn $snake(
                &self,
                request: Request<$messages::$request>,
            ) -> Result<Response<$messages::$response>, Status> {
                let gate = request.extensions().get::<Gate>().cloned();
                let call = $call::$variant(request.into_inner());
                match self.0.live.with(|world| world.call_tablet(&self.0.endpoint, call)) {
                    Ok($answer::$variant(answer)) => Ok(Response::new(answer)),
                    Ok(_) => Err(wrong_answer(stringify!($variant))),
                    Err(Unreachable { .. }) => hang_up(gate).await,
                }
            })*
        }
    };
}

nameserver_methods!(serve_nameserver);
tablet_methods!(serve_tablet);
