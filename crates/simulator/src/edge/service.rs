//! The two services of the contract, answered by the world.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tonic::codegen::Bytes;
use tonic::{Request, Response, Status};

use super::gate::Gate;
use crate::fault::{Way, nameserver_answers, tablet_answers};
use crate::{Live, Unreachable, World};
use openmldb_model::Endpoint;
use openmldb_wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use prost::DecodeError;

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
    Garbled,
    Unknown,
    HungUp,
}

impl<A> Served<A> {
    fn map<B>(self, answer: impl FnOnce(A) -> B) -> Served<B> {
        match self {
            Self::Answer(answered) => Served::Answer(answer(answered)),
            Self::Garbled => Served::Garbled,
            Self::Unknown => Served::Unknown,
            Self::HungUp => Served::HungUp,
        }
    }
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
            (Way::Garbage, Some(_)) => Served::Garbled,
            (Way::Slow(by), Some(answer)) => {
                self.live.pass(by).await;
                Served::Answer(answer)
            }
            (_, Some(answer)) => Served::Answer(answer),
        }
    }
}

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

/// What a server that died in mid-call says: nothing, and its socket is gone.
async fn hang_up<T>(gate: Option<Gate>) -> T {
    if let Some(gate) = gate {
        gate.cut();
    }
    pending().await
}

/// Which service a server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `openmldb.nameserver.NameServer`.
    Nameserver,
    /// `openmldb.api.TabletServer`.
    Tablet,
}

/// The methods of a server. What is sent is read here, so that nothing around it is compiled for each method.
#[derive(Debug, Clone)]
pub struct Methods {
    process: Process,
    kind: Kind,
}

impl Methods {
    /// A server's, which offers that service.
    pub fn new(process: Process, kind: Kind) -> Self {
        Self { process, kind }
    }

    /// Answers a request that came on that path.
    pub async fn answer(self, path: String, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
        let gate = request.extensions().get::<Gate>().cloned();
        let message = request.into_inner();
        let served = match self.kind {
            Kind::Nameserver => {
                let call = read(&path, NameserverCall::decode(&path, message))?;
                let served = self.process.nameserver(call.clone()).await;
                served.map(|answer| answer.answers(&call).then(|| answer.encode()))
            }
            Kind::Tablet => {
                let call = read(&path, TabletCall::decode(&path, message))?;
                let served = self.process.tablet(call.clone()).await;
                served.map(|answer| answer.answers(&call).then(|| answer.encode()))
            }
        };
        match served {
            Served::Answer(answer) => Ok(Response::new(answer.ok_or_else(|| wrong_answer(&path))?)),
            Served::Garbled => {
                let mut response = Response::new(Bytes::new());
                response.extensions_mut().insert(Garbled);
                Ok(response)
            }
            Served::Unknown => Err(unknown(&path)),
            Served::HungUp => hang_up(gate).await,
        }
    }
}

fn read<C>(path: &str, call: Result<Option<C>, DecodeError>) -> Result<C, Status> {
    let call = call.map_err(|error| Status::internal(error.to_string()))?;
    call.ok_or_else(|| unknown(path))
}

/// As brpc says it.
fn unknown(path: &str) -> Status {
    let (service, name) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
    Status::unimplemented(format!("[E1002]Fail to find method on `/{service}/{name}'"))
}

fn wrong_answer(path: &str) -> Status {
    Status::internal(format!("the sandbox answered {path} with something else"))
}
