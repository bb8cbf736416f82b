//! The two services of the contract, answered by the world.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};

use super::gate::Gate;
use crate::fault::{Way, nameserver_answers, tablet_answers};
use crate::{Live, Unreachable, World};
use openmldb_model::Endpoint;
use openmldb_wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use openmldb_wire::{api, nameserver, nameserver_methods, tablet_methods};

/// One server of the world: who it is in metadata, and the world that answers for it.
#[derive(Debug, Clone)]
pub struct Process {
    /// The world.
    pub live: Arc<Live>,
    /// The server's endpoint.
    pub endpoint: Endpoint,
}

/// How often a call to a frozen server is tried again.
const THAW_POLL: Duration = Duration::from_millis(10);

impl Process {
    /// Makes a call to this server; none if the server is dead. A frozen one takes its time, and the call is made when it
    /// goes on even if the client has given up by then: a deadline does not stop the server
    /// (docs/openmldb/clients.md#a-deadline-does-not-stop-the-server).
    async fn answer<A: Send + 'static>(
        &self,
        call: impl Fn(&mut World, &Endpoint) -> Result<A, Unreachable> + Send + 'static,
    ) -> Option<A> {
        if let Ok(answer) = self.live.with(|world| call(world, &self.endpoint)) {
            return Some(answer);
        }
        let Self { live, endpoint } = self.clone();
        let thawed = async move {
            while live.look(|world| world.is_frozen(&endpoint)) {
                tokio::time::sleep(THAW_POLL).await;
            }
            live.with(|world| call(world, &endpoint)).ok()
        };
        tokio::spawn(thawed).await.ok().flatten()
    }
}

/// How a call ended.
enum Served<A> {
    Answer(A),
    /// With an answer that is not to be understood.
    Garbled(A),
    Unknown,
    HungUp,
}

impl Process {
    /// Makes a call go the way it does.
    async fn serve<A: Send + 'static>(
        &self,
        way: Way,
        coded: impl Fn(i32) -> A,
        call: impl Fn(&mut World, &Endpoint) -> Result<A, Unreachable> + Send + 'static,
    ) -> Served<A> {
        match way {
            Way::Refused | Way::ResetBefore => return Served::HungUp,
            Way::Unknown => return Served::Unknown,
            Way::Answers(code) => return Served::Answer(coded(code)),
            Way::Late(by) => {
                let process = self.clone();
                tokio::spawn(async move {
                    process.live.pass(by).await;
                    let _done = process.answer(call).await;
                });
                return pending().await;
            }
            Way::Through | Way::ResetAfter | Way::TimesOut | Way::Garbage | Way::Slow(_) | Way::Tool(_) => {}
        }
        let answer = self.answer(call).await;
        match (way, answer) {
            (Way::TimesOut, _) => pending().await,
            (Way::ResetAfter, _) | (_, None) => Served::HungUp,
            (Way::Garbage, Some(answer)) => Served::Garbled(answer),
            (Way::Slow(by), Some(answer)) => {
                self.live.pass(by).await;
                Served::Answer(answer)
            }
            (_, Some(answer)) => Served::Answer(answer),
        }
    }
}

// Not generic, so that they are compiled once, and not once for each method.
impl Process {
    async fn nameserver(&self, call: NameserverCall) -> Served<NameserverAnswer> {
        let way = self.live.with(|world| world.meet_nameserver_call(&self.endpoint, &call));
        let (made, coded) = (call.clone(), |code| nameserver_answers(&call, code));
        self.serve(way, coded, move |world, at| world.call_nameserver(at, made.clone())).await
    }

    async fn tablet(&self, call: TabletCall) -> Served<TabletAnswer> {
        let way = self.live.with(|world| world.meet_tablet_call(&self.endpoint, &call));
        let (made, coded) = (call.clone(), |code| tablet_answers(&call, code));
        self.serve(way, coded, move |world, at| world.call_tablet(at, made.clone())).await
    }
}

/// Stands in an answer that is not to be understood, for [`super::door`] to see to.
#[derive(Debug, Clone, Copy)]
pub struct Garbled;

fn garbled<T>(answer: T) -> Response<T> {
    let mut response = Response::new(answer);
    response.extensions_mut().insert(Garbled);
    response
}

/// What a server that died in mid-call says: nothing, and its socket is gone.
async fn hang_up<T>(gate: Option<Gate>) -> T {
    if let Some(gate) = gate {
        gate.cut();
    }
    pending().await
}

/// As brpc says it.
fn unknown(service: &str, name: &str) -> Status {
    Status::unimplemented(format!("[E1002]Fail to find method on `/{service}/{name}'"))
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
                match self.0.nameserver($call::$variant(request.into_inner())).await {
                    Served::Answer($answer::$variant(answer)) => Ok(Response::new(answer)),
                    Served::Garbled($answer::$variant(answer)) => Ok(garbled(answer)),
                    Served::Answer(_) | Served::Garbled(_) => Err(wrong_answer(stringify!($variant))),
                    Served::Unknown => Err(unknown($call::SERVICE, stringify!($variant))),
                    Served::HungUp => hang_up(gate).await,
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
                match self.0.tablet($call::$variant(request.into_inner())).await {
                    Served::Answer($answer::$variant(answer)) => Ok(Response::new(answer)),
                    Served::Garbled($answer::$variant(answer)) => Ok(garbled(answer)),
                    Served::Answer(_) | Served::Garbled(_) => Err(wrong_answer(stringify!($variant))),
                    Served::Unknown => Err(unknown($call::SERVICE, stringify!($variant))),
                    Served::HungUp => hang_up(gate).await,
                }
            })*
        }
    };
}

nameserver_methods!(serve_nameserver);
tablet_methods!(serve_tablet);
