//! What a world does when it is told something.

use super::{Answer, Order, Server, ServerState, Who, Written};
use crate::writers::is_system;
use crate::{Live, Millis, Started, World};
use openmldb_model::Endpoint;

/// How often it is looked whether a server runs, in the world's time.
const LOOK_EVERY: Millis = 200;
/// How long a server may take to start: several times as long as its last session in ZooKeeper stays.
const UP_WITHIN: Millis = 120_000;

/// Does what it is told, and answers once that is so.
pub(super) async fn obey(live: &Live, order: Order) -> Answer {
    let done = match order {
        Order::Write { rows } => Ok(Answer::Written(live.with(|world| write(world, rows)))),
        Order::Kill { servers } => live.with(|world| each(world, &servers, kill)),
        Order::Hang { servers } => live.with(|world| each(world, &servers, hang)),
        Order::Start { servers } => start_all(live, &servers).await,
    };
    done.unwrap_or_else(|why| Answer::Refused { why })
}

fn each(world: &mut World, words: &[Who], does: fn(&mut World, &Endpoint)) -> Result<Answer, String> {
    let servers = named(world, words)?;
    servers.iter().for_each(|server| does(world, server));
    Ok(listed(world, &servers))
}

async fn start_all(live: &Live, words: &[Who]) -> Result<Answer, String> {
    let servers = live.look(|world| named(world, words))?;
    start(live, &servers).await?;
    Ok(live.look(|world| listed(world, &servers)))
}

/// The servers meant, tablets first.
fn named(world: &World, words: &[Who]) -> Result<Vec<Endpoint>, String> {
    let all: Vec<(String, Endpoint)> = names(world);
    let mut meant = Vec::new();
    for word in words {
        let is_meant = |(name, endpoint): &&(String, Endpoint)| match word {
            Who::All => true,
            Who::At(at) => endpoint == at || world.address_of(endpoint) == *at,
            word => *name == word.to_string(),
        };
        let found: Vec<&(String, Endpoint)> = all.iter().filter(is_meant).collect();
        if found.is_empty() {
            let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
            return Err(format!("it has no server {word}; there are {}", names.join(", ")));
        }
        meant.extend(found);
    }
    Ok(all.iter().filter(|server| meant.contains(server)).map(|(_, endpoint)| endpoint.clone()).collect())
}

/// Every server by the name that orders have for it, tablets first.
fn names(world: &World) -> Vec<(String, Endpoint)> {
    let tablets = world.tablet_endpoints().iter().zip(1..).map(|(at, number)| (Who::Tablet(number), at));
    let nameservers = world.nameserver_endpoints().iter().zip(1..).map(|(at, number)| (Who::Nameserver(number), at));
    tablets.chain(nameservers).map(|(who, at)| (who.to_string(), at.clone())).collect()
}

fn is_nameserver(world: &World, server: &Endpoint) -> bool {
    world.nameserver_endpoints().contains(server)
}

fn kill(world: &mut World, server: &Endpoint) {
    match is_nameserver(world, server) {
        true => world.kill_nameserver(server),
        false => world.kill_tablet(server),
    }
}

fn hang(world: &mut World, server: &Endpoint) {
    match is_nameserver(world, server) {
        true => world.freeze_nameserver(server, true),
        false => world.hang_tablet(server, true),
    }
}

/// Tablets before nameservers: a nameserver that finds too few of them exits (docs/openmldb/nameserver.md#becoming-leader).
async fn start(live: &Live, servers: &[Endpoint]) -> Result<(), String> {
    let (nameservers, tablets): (Vec<&Endpoint>, Vec<&Endpoint>) =
        live.look(|world| servers.iter().partition(|server| is_nameserver(world, server)));
    let mut left = UP_WITHIN;
    while live.with(|world| tablets.iter().filter(|tablet| !start_tablet(world, tablet)).count()) > 0 {
        wait(live, &mut left).await.ok_or("a tablet does not start: its last registration stays in ZooKeeper")?;
    }
    live.with(|world| nameservers.iter().for_each(|nameserver| start_nameserver(world, nameserver)));
    while !nameservers.is_empty() && live.look(|world| world.leader().is_none()) {
        wait(live, &mut left).await.ok_or("no nameserver leads: start the tablets, too")?;
        // One that found too few tablets has exited.
        live.with(|world| nameservers.iter().for_each(|nameserver| start_nameserver(world, nameserver)));
    }
    Ok(())
}

async fn wait(live: &Live, left: &mut Millis) -> Option<()> {
    *left = left.checked_sub(LOOK_EVERY)?;
    live.pass(LOOK_EVERY).await;
    Some(())
}

/// Whether it runs now.
fn start_tablet(world: &mut World, tablet: &Endpoint) -> bool {
    if world.is_frozen(tablet) {
        world.hang_tablet(tablet, false);
    }
    matches!(world.start_tablet(tablet), Started::Running)
}

fn start_nameserver(world: &mut World, nameserver: &Endpoint) {
    match world.is_frozen(nameserver) {
        true => world.freeze_nameserver(nameserver, false),
        false => world.start_nameserver(nameserver),
    }
}

fn listed(world: &World, told: &[Endpoint]) -> Answer {
    let state = |at: &Endpoint| match (world.is_up(at), world.is_frozen(at)) {
        (_, true) => ServerState::Hanging,
        (true, _) => ServerState::Running,
        (false, _) => ServerState::Dead,
    };
    let server = |(name, at): (String, Endpoint)| Server {
        name,
        address: world.address_of(&at),
        state: state(&at),
        told: told.contains(&at),
    };
    Answer::Servers { servers: names(world).into_iter().map(server).collect() }
}

/// As OpenMLDB's own clients do, to whoever metadata calls leader and alive. Pre-aggregate tables are the servers' to write.
fn write(world: &mut World, rows: u64) -> Written {
    let mut written = Written::default();
    let tables = world.tables();
    for table in tables.iter().filter(|table| !is_system(table.db()) && table.base_table_tid() == 0) {
        for partition in &table.table_partition {
            let id = crate::world::partition(table.tid(), partition.pid);
            let leads = partition.partition_meta.iter().find(|meta| meta.is_leader && meta.is_alive());
            let leader = leads.map(|meta| Endpoint::from(meta.endpoint.as_str()));
            // One that hangs would take the row and never say so.
            let leader = leader.filter(|leader| !world.is_frozen(leader));
            let taken = leader.map_or(0, |leader| (0..rows).filter(|_| world.put_row(&leader, id)).count() as u64);
            written.partitions += 1;
            written.partitions_refusing += u64::from(taken == 0);
            written.acknowledged += taken;
            written.refused += rows - taken;
        }
    }
    written
}
