//! After the storm: whatever began is over, and everything that can be up is up.

use openmldb_ops::model::Endpoint;
use openmldb_ops::sandbox::World;
use openmldb_ops::wire::api::{GetTableStatusRequest, TableState};
use openmldb_ops::wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use openmldb_ops::wire::nameserver::ConfGetRequest;

/// What a fault began is over after that, in milliseconds.
const LONGEST_FAULT: u64 = 40_000;

/// Time passes; tablets that are dead, frozen or load for ever are started again, but for those that do not come back.
pub fn calm_down(world: &mut World, missing: &[Endpoint]) {
    world.advance_by(LONGEST_FAULT);
    let mut tablets = world.tablet_endpoints().to_vec();
    tablets.retain(|tablet| !missing.contains(tablet));
    for tablet in &tablets {
        world.freeze_tablet(tablet, false);
        if loads_for_ever(world, tablet) {
            world.kill_tablet(tablet);
        }
        world.start_tablets(std::slice::from_ref(tablet));
    }
    for nameserver in world.nameserver_endpoints().to_vec() {
        world.freeze_nameserver(&nameserver, false);
        world.start_nameserver(&nameserver);
    }
    await_nameserver(world);
    await_others(world);
}

/// Until a recovery that somebody else has begun is over: what it does later on is not the next run's doing.
fn await_others(world: &mut World) {
    for _ in 0..10_000 {
        if !world.is_recovered_by_others() {
            return;
        }
        world.advance_by(100);
    }
    panic!("another recovery does not end");
}

/// Until a nameserver leads.
pub fn await_nameserver(world: &mut World) {
    for _ in 0..10_000 {
        if world.leader().is_some() {
            return;
        }
        // One that finds its own old session exits, and is started again by whoever looks after it.
        world.nameserver_endpoints().to_vec().iter().for_each(|endpoint| world.start_nameserver(endpoint));
        world.advance_by(100);
    }
    panic!("no nameserver leads");
}

fn loads_for_ever(world: &mut World, tablet: &Endpoint) -> bool {
    let call = TabletCall::GetTableStatus(GetTableStatusRequest::default());
    let Ok(TabletAnswer::GetTableStatus(answer)) = world.call_tablet(tablet, call) else { return false };
    answer.all_table_status.iter().any(|status| status.state() == TableState::KTableLoading)
}

/// What the leading nameserver says of auto_failover.
pub fn auto_failover(world: &mut World) -> Option<bool> {
    let leader = world.leader()?;
    let answer = world.call_nameserver(&leader, NameserverCall::ConfGet(ConfGetRequest {})).ok()?;
    let NameserverAnswer::ConfGet(answer) = answer else { return None };
    answer.conf.iter().find(|pair| pair.key == "auto_failover").map(|pair| pair.value == "true")
}
