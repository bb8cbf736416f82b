//! What the steps on single replicas need. OpenMLDB checks its flags; what could lose rows is checked here.

use crate::model::{Action, Endpoint, Held, Offset, Partition, Pid, Role, Seen, Snapshot, TableName};

use super::effect::Effect;
use super::partition_context::{
    PartitionContext, Planned, Refusal, failover_is_off, find_table, tablet_is_healthy, unknown_tablet,
};
use super::{Call, handover};

/// Segments an index is loaded into: the documented 8.
const SEG_CNT: u32 = 8;

/// What a tablet says of a replica.
enum Holds<'a> {
    /// It answers, and does not hold it.
    Nothing,
    /// It holds it.
    This(&'a Held),
    /// It does not answer.
    Unknown(String),
}

fn holds<'a>(place: &PartitionContext<'a>, endpoint: &Endpoint) -> Holds<'a> {
    match place.seen.tablets.get(endpoint).map(|tablet| &tablet.held) {
        Some(Seen::Known(held)) => held.get(&place.id()).map_or(Holds::Nothing, Holds::This),
        Some(Seen::Failed(error)) => Holds::Unknown(error.clone()),
        Some(Seen::Unasked) | None => Holds::Unknown("nobody has asked it".to_owned()),
    }
}

/// # Errors
/// It does not, with what was seen.
pub(super) fn loaded<'a>(place: &PartitionContext<'a>, endpoint: &Endpoint) -> Result<&'a Held, Refusal> {
    let name = place.name();
    match holds(place, endpoint) {
        Holds::This(held) if held.state.is_loaded() => Ok(held),
        Holds::This(held) => {
            let text = format!("{endpoint} has not loaded {name} yet ({:?})", held.state);
            Err(Refusal::unsafe_now(text, format!("wait; `openmldb-ops replica status {endpoint} {name}` tells")))
        }
        Holds::Nothing => {
            let text = format!("{endpoint} does not hold {name}");
            Err(Refusal::unsafe_now(text, format!("load it first: `openmldb-ops replica load {name} {endpoint}`")))
        }
        Holds::Unknown(error) => {
            let text = format!("{endpoint} does not answer ({error})");
            Err(Refusal::unsafe_now(text, "start that tablet, or see why it does not answer"))
        }
    }
}

/// `updatetablealive`, of one partition or of all that a table has there.
pub(super) fn mark_alive(
    seen: &Snapshot,
    name: &TableName,
    pid: Option<Pid>,
    endpoint: &Endpoint,
    alive: bool,
) -> Result<Planned, Refusal> {
    failover_is_off(seen)?;
    if seen.tablets.get(endpoint).is_none_or(|tablet| tablet.state.is_none()) {
        return Err(unknown_tablet(seen, endpoint));
    }
    let table = find_table(seen, name)?;
    if let Some(pid) = pid {
        PartitionContext::find(seen, name, pid)?.replica(endpoint)?;
    }
    let there: Vec<&Partition> =
        table.partitions_on(endpoint).filter(|partition| pid.is_none_or(|pid| partition.pid == pid)).collect();
    if there.is_empty() {
        let text = format!("{name} has no partition on {endpoint}");
        return Err(Refusal::of(321, text, "see `openmldb-ops status --full` for where it has some"));
    }
    let mut remarks = Vec::new();
    for partition in &there {
        let place = PartitionContext { seen, table, partition };
        if alive {
            may_serve(&place, endpoint)?;
        } else if place.leader() == Some(endpoint) {
            remarks
                .push(format!("{endpoint} leads {}: no client can write to it until a leader is alive", place.name()));
        }
    }
    let is_so = |partition: &&Partition| {
        partition.replicas.iter().any(|replica| replica.endpoint == *endpoint && replica.is_alive == alive)
    };
    let pids = there.iter().map(|partition| partition.pid).collect();
    let effect = Effect::Flag { table: name.clone(), pids, endpoint: endpoint.clone(), alive };
    let action = Action::MarkAlive { table: name.clone(), pid, endpoint: endpoint.clone(), alive };
    Ok(Planned { call: (!there.iter().all(is_so)).then_some(Call::Action(action)), effect, remarks })
}

/// Whether clients may be sent to a replica. One that is flagged alive can be elected at the next failover, whatever it lacks.
fn may_serve(place: &PartitionContext<'_>, endpoint: &Endpoint) -> Result<(), Refusal> {
    let (name, flags) = (place.name(), place.replica(endpoint)?);
    let held = loaded(place, endpoint)?;
    let recover = format!("`openmldb-ops recover --partition {name}` brings the whole partition back");
    if flags.is_leader {
        if let Some(other) = place.leader().filter(|other| *other != endpoint) {
            let text = format!("{other} leads {name} already: with two, each takes writes that the other never gets");
            return Err(Refusal::unsafe_now(
                text,
                format!("bring it back: `openmldb-ops replica recover {name} {endpoint}`"),
            ));
        }
        if held.role != Role::Leader {
            let text =
                format!("{endpoint} is flagged leader of {name} and has it loaded as follower: it would refuse writes");
            return Err(Refusal::unsafe_now(text, recover));
        }
        return Ok(());
    }
    let Some(leader) = place.leader() else {
        let text = format!("{name} has no leader that is alive, so nobody knows what {endpoint} lacks");
        return Err(Refusal::unsafe_now(text, recover));
    };
    let followers = place.seen.tablets.get(leader).and_then(|tablet| tablet.probes(place.id()).followers.known());
    let reached = followers.and_then(|all| {
        let own = all.followers.iter().find(|(follower, _)| follower == endpoint)?;
        Some((own.1.max(held.offset), all.leader_offset))
    });
    match reached {
        Some((offset, of_leader)) if offset >= of_leader => Ok(()),
        Some((offset, of_leader)) => {
            let text = format!("{endpoint} is at offset {offset} of {name}, its leader {leader} at {of_leader}");
            Err(Refusal::unsafe_now(text, "wait until it has caught up"))
        }
        None => {
            let text = format!("the leader {leader} of {name} does not replicate to {endpoint}");
            Err(Refusal::unsafe_now(text, format!("`openmldb-ops replica recover {name} {endpoint}` connects it")))
        }
    }
}

/// `loadtable`, always as follower: as leader it would take writes before its rows are there
/// (docs/openmldb/load-table.md#writes-before-it-is-loaded).
pub(super) fn load(place: &PartitionContext<'_>, endpoint: &Endpoint) -> Result<Planned, Refusal> {
    let (name, id) = (place.name(), place.id());
    place.replica(endpoint)?;
    let effect = Effect::Loaded { partition: id, endpoint: endpoint.clone() };
    match holds(place, endpoint) {
        Holds::This(held) if held.state.is_loaded() => Ok(Planned { call: None, effect, remarks: Vec::new() }),
        Holds::This(held) => {
            let text = format!("{endpoint} is loading {name} already ({:?})", held.state);
            Err(Refusal::of(101, text, format!("wait; `openmldb-ops replica status {endpoint} {name}` tells")))
        }
        Holds::Unknown(error) => {
            let text = format!("{endpoint} does not answer ({error})");
            Err(Refusal::unsafe_now(text, "start that tablet, or see why it does not answer"))
        }
        // It may be loading, unseen, and a step remembers nothing of the one before it.
        Holds::Nothing if place.table.storage.is_disk() => {
            let text = format!("{name} is a disk table: it loads unseen, and told to load twice it destroys itself");
            let hint = format!("`openmldb-ops recover --partition {name}` loads it, and remembers that it did");
            Err(Refusal::unsafe_now(text, hint))
        }
        Holds::Nothing => {
            let (table, storage) = (place.table.name.clone(), place.table.storage);
            let endpoint = endpoint.clone();
            let action = Action::LoadTable { endpoint, table, partition: id, seg_cnt: SEG_CNT, storage };
            let remarks =
                vec!["it is loaded as follower; `openmldb-ops recover` chooses who leads, and connects it".to_owned()];
            Ok(Planned { call: Some(Call::Action(action)), effect, remarks })
        }
    }
}

/// `recovertable`.
pub(super) fn recover(
    place: &PartitionContext<'_>,
    endpoint: &Endpoint,
    led_until: Option<Offset>,
) -> Result<Planned, Refusal> {
    failover_is_off(place.seen)?;
    let (name, flags) = (place.name(), place.replica(endpoint)?);
    tablet_is_healthy(place.seen, endpoint)?;
    if flags.is_alive {
        let text = format!("{endpoint} of {name} is flagged alive, and what is alive is not recovered");
        let hint =
            format!("if it is not well, clear its flag first: `openmldb-ops replica alive {name} {endpoint} no`");
        return Err(Refusal::of(311, text, hint));
    }
    let whole = format!("`openmldb-ops recover --partition {name}` brings the whole partition back");
    if place.partition.replicas.len() == 1 {
        let text = format!("{endpoint} is the only replica of {name}");
        return Err(Refusal::unsafe_now(text, whole));
    }
    if place.leader().is_none() {
        let text = format!("{name} has no leader that is alive: the nameserver would answer 0 and do nothing");
        return Err(Refusal::unsafe_now(text, whole));
    }
    let handed_over = led_until.is_some_and(|end| handover::is_its_leaders_beginning(place, endpoint, end));
    let remarks = match if handed_over { Ok(false) } else { place.may_be_resent(endpoint) } {
        Ok(true) => vec![format!("what {endpoint} holds goes to its recycle bin, and its leader's is sent")],
        Ok(false) => Vec::new(),
        Err(blocked) => return Err(Refusal::unsafe_now(blocked.text, format!("{}; or {whole}", blocked.hint))),
    };
    let (table, pid) = (place.table.name.clone(), place.partition.pid);
    let effect = Effect::Recovered { table: table.clone(), partition: place.id(), endpoint: endpoint.clone() };
    let action = Action::RecoverTable { table, pid, endpoint: endpoint.clone() };
    Ok(Planned { call: Some(Call::Action(action)), effect, remarks })
}
