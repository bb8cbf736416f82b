//! The cluster's own seam, straight into a world: no sockets, so that tests may pause the clock.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::fault::{ToolFate, Way, nameserver_answers, tablet_answers};
use super::{Live, Unreachable, World};
use tokio::sync::oneshot;

use openmldb_client::{CallError, CallErrorKind, DiscoveryError, Pending, Rpc};
use openmldb_model::{Endpoint, Zone};
use openmldb_wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};

/// How long a frozen server is waited for.
const DEADLINE: Duration = Duration::from_secs(10);

/// Calls into a world on its clock. What the wire would refuse (credentials, missing fields) is not refused here.
#[derive(Debug, Clone)]
pub struct InProcess {
    live: Arc<Live>,
    /// The nameserver that led when last looked up.
    nameserver: Arc<Mutex<Option<Endpoint>>>,
}

impl InProcess {
    /// Calls into that world.
    pub fn new(live: Arc<Live>) -> Self {
        Self { live, nameserver: Arc::default() }
    }

    /// The world.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    async fn look_up(&self) -> Result<Endpoint, DiscoveryError> {
        tokio::task::yield_now().await;
        let found = self.live.look(|world| first_in_queue(world));
        let found = found
            .ok_or_else(|| DiscoveryError::NoNameserver { servers: "the sandbox".to_owned(), root: "/".to_owned() })?;
        *self.nameserver.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        Ok(found)
    }

    async fn call_nameserver(&self, call: NameserverCall) -> Result<NameserverAnswer, CallError> {
        let method = call.name();
        let known = self.nameserver.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let endpoint = match known {
            Some(endpoint) => endpoint,
            None => self.look_up().await.map_err(|error| no_leader(method, error))?,
        };
        tokio::task::yield_now().await;
        let way = self.live.with(|world| world.meet_nameserver_call(&endpoint, &call));
        let (live, server) = (self.live.clone(), format!("nameserver {endpoint}"));
        let to = Addressee { server: server.clone(), method };
        let coded = |code| nameserver_answers(&call, code);
        let made = call.clone();
        let sent = carry_out(live, server, method, endpoint, move |world, at| world.call_nameserver(at, made));
        self.go(way, to, coded, sent).await
    }

    /// Makes a call go the way it does.
    async fn go<A: Send + 'static>(
        &self,
        way: Way,
        to: Addressee,
        coded: impl Fn(i32) -> A,
        sent: impl Future<Output = Result<A, CallError>> + Send + 'static,
    ) -> Result<A, CallError> {
        let seen = || "a fault of the sandbox".to_owned();
        match way {
            Way::Through => sent.await,
            Way::Refused => to.fails(CallErrorKind::Unreachable { seen: seen() }),
            Way::ResetBefore => to.fails(CallErrorKind::HungUp { seen: seen() }),
            Way::ResetAfter => {
                let _done = sent.await;
                to.fails(CallErrorKind::HungUp { seen: seen() })
            }
            Way::TimesOut => {
                let _done = sent.await;
                tokio::time::sleep(DEADLINE).await;
                to.fails(CallErrorKind::DeadlineExceeded { after: DEADLINE })
            }
            Way::Late(by) => {
                let live = self.live.clone();
                tokio::spawn(async move {
                    live.pass(by).await;
                    let _done = sent.await;
                });
                tokio::time::sleep(DEADLINE).await;
                to.fails(CallErrorKind::DeadlineExceeded { after: DEADLINE })
            }
            Way::Answers(code) => Ok(coded(code)),
            Way::Unknown => to.fails(CallErrorKind::Unimplemented),
            Way::Garbage => {
                let _done = sent.await;
                to.fails(CallErrorKind::Garbage { seen: seen() })
            }
            Way::Slow(by) => {
                let answer = sent.await;
                self.live.pass(by).await;
                answer
            }
            Way::Tool(fate) => {
                let is_killed = matches!(fate, ToolFate::KilledBefore | ToolFate::KilledAfter);
                let answer = if fate == ToolFate::KilledBefore { None } else { Some(sent.await) };
                self.live.tell_tool(fate);
                match answer {
                    Some(answer) if !is_killed => answer,
                    _ => std::future::pending().await,
                }
            }
        }
    }

    async fn call_tablet(&self, endpoint: &Endpoint, call: TabletCall) -> Result<TabletAnswer, CallError> {
        let method = call.name();
        tokio::task::yield_now().await;
        let way = self.live.with(|world| world.meet_tablet_call(endpoint, &call));
        let (live, server) = (self.live.clone(), format!("tablet {endpoint}"));
        let to = Addressee { server: server.clone(), method };
        let coded = |code| tablet_answers(&call, code);
        let (made, endpoint) = (call.clone(), endpoint.clone());
        let sent = carry_out(live, server, method, endpoint, move |world, at| world.call_tablet(at, made));
        self.go(way, to, coded, sent).await
    }
}

/// Makes a call: now, or at a server that stands still when it goes on, whether or not somebody still waits for the answer
/// (docs/openmldb/clients.md#a-deadline-does-not-stop-the-server).
async fn carry_out<A: Send + 'static>(
    live: Arc<Live>,
    server: String,
    method: &'static str,
    endpoint: Endpoint,
    call: impl FnOnce(&mut World, &Endpoint) -> Result<A, Unreachable> + Send + 'static,
) -> Result<A, CallError> {
    let answer = if live.look(|world| world.is_frozen(&endpoint)) {
        let (tell, told) = oneshot::channel();
        live.once_it_goes_on(endpoint.clone(), move |world| {
            // Nobody may wait for the answer any more.
            let _nobody = tell.send(call(world, &endpoint));
        });
        match tokio::time::timeout(DEADLINE, told).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                return Err(CallError::new(server, method, CallErrorKind::HungUp { seen: error.to_string() }));
            }
            Err(_) => {
                return Err(CallError::new(server, method, CallErrorKind::DeadlineExceeded { after: DEADLINE }));
            }
        }
    } else {
        live.with(|world| call(world, &endpoint))
    };
    answer.map_err(|error| unreachable(server, method, &error))
}

/// Who is called, and for what.
struct Addressee {
    server: String,
    method: &'static str,
}

impl Addressee {
    fn fails<A>(self, kind: CallErrorKind) -> Result<A, CallError> {
        Err(CallError::new(self.server, self.method, kind))
    }
}

/// Whoever has the smallest node under `leader`: that process leads, or did until it died.
fn first_in_queue(world: &World) -> Option<Endpoint> {
    let tree = world.zookeeper_tree();
    let lock =
        tree.iter().filter(|node| node.path.starts_with("leader/")).min_by(|one, other| one.path.cmp(&other.path));
    lock.and_then(|lock| std::str::from_utf8(&lock.data).ok()).map(Endpoint::from)
}

fn unreachable(server: String, method: &'static str, error: &Unreachable) -> CallError {
    CallError::new(server, method, CallErrorKind::Unreachable { seen: error.to_string() })
}

fn no_leader(method: &'static str, error: DiscoveryError) -> CallError {
    CallError::new("nameserver", method, CallErrorKind::Discovery(Box::new(error)))
}

impl Rpc for InProcess {
    fn nameserver(&self, call: NameserverCall) -> Pending<'_, NameserverAnswer> {
        Box::pin(self.call_nameserver(call))
    }

    fn tablet<'a>(&'a self, endpoint: &'a Endpoint, call: TabletCall) -> Pending<'a, TabletAnswer> {
        Box::pin(self.call_tablet(endpoint, call))
    }

    fn find_nameserver(&self) -> Pending<'_, String> {
        Box::pin(async {
            let found = self.look_up().await.map_err(|error| no_leader("find_nameserver", error))?;
            Ok(self.live.look(|world| world.address_of(&found).to_string()))
        })
    }

    fn zone(&self) -> Pin<Box<dyn Future<Output = Zone> + Send + '_>> {
        Box::pin(async { self.live.look(|world| world.zone().clone()) })
    }

    fn registered_tablets(&self) -> Pending<'_, Option<Vec<Endpoint>>> {
        Box::pin(async { Ok(Some(self.live.look(|world| world.registered_tablets()))) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::scenario::{Scenario, Shape};
    use crate::tablet::RowId;
    use crate::writers::Write;
    use crate::{Addresses, TimeScale};
    use openmldb_wire::api::GetTableStatusRequest;

    async fn rpc(scenario: Scenario) -> InProcess {
        let world = scenario.bring_about(&Shape::default(), &Addresses::recorded(2, 3)).unwrap();
        InProcess::new(Arc::new(Live::new(world, TimeScale::default())))
    }

    fn status() -> TabletCall {
        TabletCall::GetTableStatus(GetTableStatusRequest::default())
    }

    #[tokio::test(start_paused = true)]
    async fn the_world_moves_with_the_paused_clock() {
        let rpc = rpc(Scenario::FollowersRecovering).await;
        let began = rpc.live().now();
        rpc.live().with(|world| world.nameserver_settings_mut().op_fails_for_no_reason = None);
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(rpc.live().now(), began + 80_000, "twenty times faster");
        let count = rpc.live().look(|world| world.row_count());
        assert_eq!(count.rows_after, count.rows_expected, "every follower has come back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_leader_is_found_until_its_node_goes_and_then_the_standby() {
        let rpc = rpc(Scenario::Healthy).await;
        assert_eq!(rpc.find_nameserver().await.unwrap(), "127.0.0.1:8527");
        rpc.live().with(|world| world.kill_nameserver(&"127.0.0.1:8527".into()));
        assert_eq!(rpc.find_nameserver().await.unwrap(), "127.0.0.1:8527");
        let call = NameserverCall::ShowTablet(openmldb_wire::nameserver::ShowTabletRequest::default());
        assert!(matches!(rpc.nameserver(call.clone()).await.unwrap_err().kind, CallErrorKind::Unreachable { .. }));
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(rpc.find_nameserver().await.unwrap(), "127.0.0.1:8528");
        assert!(rpc.nameserver(call).await.is_ok());
    }

    /// However long each of them has waited.
    #[tokio::test(start_paused = true)]
    async fn what_a_server_that_stood_still_was_asked_is_done_in_that_order_and_before_anything_that_comes_later() {
        let rpc = rpc(Scenario::Healthy).await;
        let led = |world: &World| {
            world.metadata().into_iter().find_map(|(partition, metas)| {
                let leader = metas.partition_meta.iter().find(|meta| meta.is_leader && meta.is_alive())?;
                Some((partition, Endpoint::from(leader.endpoint.as_str())))
            })
        };
        let (partition, leader) = rpc.live().look(|world| led(world)).unwrap();
        let put = |row: u64| {
            let write = Write { partition, leader: leader.clone(), row: RowId(row) };
            TabletCall::Put(write.request())
        };
        rpc.live().with(|world| world.freeze_tablet(&leader, true));
        for row in [9_001, 9_002] {
            assert!(rpc.tablet(&leader, put(row)).await.is_err());
            tokio::time::sleep(Duration::from_secs(7)).await;
        }
        rpc.live().with(|world| world.freeze_tablet(&leader, false));
        assert!(rpc.tablet(&leader, put(9_003)).await.is_ok());
        tokio::time::sleep(Duration::from_secs(5)).await;
        let log = rpc.live().look(|world| world.log(&leader, partition));
        let rows: Vec<u64> = log.iter().map(|entry| entry.row.0).filter(|row| *row > 9_000).collect();
        assert_eq!(rows, [9_001, 9_002, 9_003]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_frozen_tablet_answers_late_or_never_and_a_dead_one_is_not_there() {
        let rpc = rpc(Scenario::Healthy).await;
        let tablet = Endpoint::from("127.0.0.1:11921");
        rpc.live().with(|world| world.freeze_tablet(&tablet, true));
        let never = rpc.tablet(&tablet, status()).await.unwrap_err();
        assert!(matches!(never.kind, CallErrorKind::DeadlineExceeded { .. }));
        let late = rpc.tablet(&tablet, status());
        let thaw = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            rpc.live().with(|world| world.freeze_tablet(&tablet, false));
        };
        assert!(tokio::join!(late, thaw).0.is_ok());
        rpc.live().with(|world| world.kill_tablet(&tablet));
        let dead = rpc.tablet(&tablet, status()).await.unwrap_err();
        assert!(matches!(dead.kind, CallErrorKind::Unreachable { .. }));
    }
}
