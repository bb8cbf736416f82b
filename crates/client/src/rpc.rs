//! The seam between us and OpenMLDB's servers: one trait, calls in, answers out. [`super::Grpc`] implements it over
//! sockets; tests implement it over whatever they need.

use std::future::Future;
use std::pin::Pin;

use openmldb_model::{Endpoint, Zone};
use openmldb_wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};

use super::CallError;

/// A call under way.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, CallError>> + Send + 'a>>;

/// A way to reach a cluster's servers. One method call is one attempt: nothing is repeated in here, and an answer with a
/// code other than 0 is an answer, for [`super::Cluster`] to judge.
pub trait Rpc: Send + Sync {
    /// Calls the nameserver that leads, as far as the last [`Rpc::find_nameserver`] knows.
    fn nameserver(&self, call: NameserverCall) -> Pending<'_, NameserverAnswer>;

    /// Calls a tablet, by its name in metadata.
    fn tablet<'a>(&'a self, endpoint: &'a Endpoint, call: TabletCall) -> Pending<'a, TabletAnswer>;

    /// Looks up which nameserver leads and calls that one from now on. Gives its address, for messages. Whether it
    /// answers is another question.
    fn find_nameserver(&self) -> Pending<'_, String>;

    /// A call to that nameserver was given up before its deadline: the connection may lead nowhere.
    fn give_up_on_nameserver(&self) {}

    /// The same of a tablet.
    fn give_up_on_tablet(&self, _endpoint: &Endpoint) {}

    /// The tablets that have registered themselves, by their names in metadata, whatever the nameserver made of that
    /// (docs/openmldb/nameserver.md#a-registration-that-the-nameserver-missed). None where nobody knows: without
    /// ZooKeeper.
    fn registered_tablets(&self) -> Pending<'_, Option<Vec<Endpoint>>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Whether the cluster follows another one, or is followed. Alone where nobody says.
    fn zone(&self) -> Pin<Box<dyn Future<Output = Zone> + Send + '_>> {
        Box::pin(std::future::ready(Zone::Alone))
    }

    /// Whether the machine that the cluster was found through is another one than this.
    fn is_on_another_host(&self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(std::future::ready(false))
    }

    /// The address that a server's name stands for, as it was last read. None where the name is the address.
    fn address_of(&self, _endpoint: &Endpoint) -> Option<String> {
        None
    }
}
