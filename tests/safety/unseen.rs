//! Replicas that nobody has looked at when a run ends: what the nameserver does once their tablets come back must lose nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::run::{Consent, Recovered, Scope, Selector};
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::sandbox::tablet::RowId;
use openmldb_ops::sandbox::{Addresses, World};

use super::calm::{auto_failover, await_nameserver};
use super::run::{Ended, Host, Run};

/// Longer than the nameserver's failover and its operations take.
const A_WHILE: u64 = 300_000;

/// One table of two replicas in each of two partitions, and the partition that it is about.
struct Shop {
    world: World,
    host: Host,
    runs: u64,
    id: PartitionId,
    leader: Endpoint,
    follower: Endpoint,
}

impl Shop {
    fn open() -> Self {
        let generated = Some(Generated { tables: 1, partitions: 2, replicas: 2, rows: 30 });
        let shape = Shape { generated, ..Shape::default() };
        let mut world = Scenario::Healthy.bring_about(&shape, &Addresses::recorded(2, 3)).unwrap();
        world.nameserver_settings_mut().op_fails_for_no_reason = None;
        let tables = world.tables();
        let table = tables.iter().find(|table| table.db() == "shop").unwrap();
        let (id, metas) = world.metadata().into_iter().find(|(id, _)| id.tid.0 == table.tid()).unwrap();
        let at = |leads| metas.partition_meta.iter().find(|meta| meta.is_leader == leads).unwrap().endpoint.as_str();
        let (leader, follower) = (at(true).into(), at(false).into());
        world.advance_by(5_000);
        Self { world, host: Host::new(true), runs: 0, id, leader, follower }
    }

    /// Everything goes down and comes back but for the follower's tablet; the leader has lost so many of its last rows.
    fn without_the_follower(mut self, nameservers_too: bool, lost: u64) -> Self {
        let world = &mut self.world;
        if nameservers_too {
            world.kill_everything();
        } else {
            world.tablet_endpoints().to_vec().iter().for_each(|at| world.kill_tablet(at));
        }
        world.advance_by(20_000);
        if lost > 0 {
            let last = world.log(&self.leader, self.id).last().unwrap().index;
            let (tid, pid) = (self.id.tid.0, self.id.pid.0);
            assert!(world.tablets_mut().lose_entries(self.leader.as_str(), tid, pid, last - lost + 1, last));
        }
        self.starts_all_but_the_follower();
        self
    }

    /// What the nameserver saw of the follower's tablet is that it came back, empty, and went again.
    fn the_follower_blinks(mut self) -> Self {
        let follower = self.follower.clone();
        self.world.start_tablets(std::slice::from_ref(&follower));
        self.world.advance_by(3_000);
        self.world.kill_tablet(&follower);
        self.world.advance_by(20_000);
        self
    }

    fn starts_all_but_the_follower(&mut self) {
        let mut tablets = self.world.tablet_endpoints().to_vec();
        tablets.retain(|at| *at != self.follower);
        self.world.start_tablets(&tablets);
        for nameserver in self.world.nameserver_endpoints().to_vec() {
            self.world.start_nameserver(&nameserver);
        }
        await_nameserver(&mut self.world);
        self.world.advance_by(10_000);
    }

    fn run(&mut self, playbook: &'static str) -> Recovered {
        self.run_with(playbook, Scope::All, Consent::default())
    }

    fn run_with(&mut self, playbook: &'static str, scope: Scope, consent: Consent) -> Recovered {
        self.runs += 1;
        let run = Run { scope, consent, ..Run::calm(playbook, &self.host, self.runs) };
        let empty = World::new(Default::default(), &Addresses::recorded(1, 1));
        let (world, ran) = run.on(std::mem::replace(&mut self.world, empty), &Arc::default());
        self.world = world;
        match ran.ended {
            Ended::Itself(result) => result.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn is_on(&mut self) -> bool {
        auto_failover(&mut self.world).unwrap()
    }

    /// Clients write, the follower's tablet comes back, and the nameserver does what it does.
    fn the_follower_comes_back(&mut self) {
        for _ in 0..15 {
            assert!(self.world.put_row(&self.leader, self.id));
        }
        let follower = self.follower.clone();
        self.world.start_tablets(std::slice::from_ref(&follower));
        self.world.advance_by(A_WHILE);
    }

    fn held_by(&self, at: &Endpoint) -> BTreeSet<RowId> {
        self.world.log(at, self.id).iter().map(|entry| entry.row).collect()
    }
}

fn kept_off_for(recovered: &Recovered) -> Vec<(PartitionId, Endpoint)> {
    let held = recovered.summary.auto_failover.held_for.iter();
    held.map(|held| (held.partition, held.endpoint.clone())).collect()
}

/// Power was cut: the leader has lost the last rows, its follower has them and boots last.
#[test]
fn the_replica_that_boots_last_is_not_replaced_by_the_nameserver() {
    for playbook in ["recover", "fast", "leaders-first"] {
        let mut shop = Shop::open().without_the_follower(true, 10).the_follower_blinks();
        let before = shop.held_by(&shop.follower);
        let recovered = shop.run(playbook);
        assert!(kept_off_for(&recovered).contains(&(shop.id, shop.follower.clone())), "{playbook}: {recovered:#?}");
        let seen = &recovered.summary.auto_failover;
        assert_eq!((seen.before, seen.after, shop.is_on()), (true, false, false), "{playbook}");
        shop.the_follower_comes_back();
        let kept = &shop.held_by(&shop.follower) | &shop.held_by(&shop.leader);
        assert!(kept.is_superset(&before), "{playbook}: {} rows are gone", before.difference(&kept).count());

        // It is looked at, and holds more than its leader: the nameserver would still replace it.
        let again = shop.run(playbook);
        let reasons: Vec<_> = again.summary.blocked.iter().map(|blocked| blocked.reason).collect();
        assert_eq!(reasons, ["longer_than_leader"], "{playbook}");
        assert_eq!(kept_off_for(&again), [(shop.id, shop.follower.clone())], "{playbook}");
        assert!(!shop.is_on(), "{playbook}");
        shop.world.kill_tablet(&shop.follower.clone());
        shop.world.advance_by(20_000);
        shop.the_follower_comes_back();
        let kept = &shop.held_by(&shop.follower) | &shop.held_by(&shop.leader);
        assert!(kept.is_superset(&before), "{playbook}: {} rows are gone", before.difference(&kept).count());
    }
}

#[test]
fn it_is_given_back_once_they_were_looked_at_and_brought_back() {
    let mut shop = Shop::open().without_the_follower(true, 0).the_follower_blinks();
    let recovered = shop.run("recover");
    assert!(!kept_off_for(&recovered).is_empty() && !shop.is_on());
    shop.the_follower_comes_back();
    let again = shop.run("recover");
    let seen = &again.summary.auto_failover;
    assert_eq!((seen.before, seen.after, seen.held_for.len()), (true, true, 0), "{:?}", again.summary.blocked);
    assert!(shop.is_on());
}

/// On another host there is no record, but the note.
#[test]
fn another_host_knows_for_whom_it_is_kept_off() {
    let mut shop = Shop::open().without_the_follower(true, 0).the_follower_blinks();
    let first = shop.run("recover");
    shop.host = shop.host.another();
    let second = shop.run("recover");
    assert_eq!(kept_off_for(&second), kept_off_for(&first));
    assert!(second.summary.auto_failover.before && !shop.is_on());
    shop.the_follower_comes_back();
    shop.host = shop.host.another();
    assert!(kept_off_for(&shop.run("recover")).is_empty() && shop.is_on());
}

/// A run of another table gives nothing back, and leaves it to be known.
#[test]
fn a_run_of_something_else_keeps_it_off() {
    let mut shop = Shop::open().without_the_follower(true, 0).the_follower_blinks();
    let first = shop.run("recover");
    let system = Scope::Some(vec![Selector { db: "INFORMATION_SCHEMA".to_owned(), table: None, pid: None }]);
    for hosts in 0..2 {
        if hosts > 0 {
            shop.host = shop.host.another();
        }
        let other = shop.run_with("recover", system.clone(), Consent::default());
        assert!(kept_off_for(&other).contains(&(shop.id, shop.follower.clone())), "{:?}", other.summary);
        assert!(other.summary.auto_failover.before && !shop.is_on());
    }
    assert_eq!(kept_off_for(&shop.run("recover")), kept_off_for(&first));
}

/// The nameserver had watched all the time: its number for the leader is where that one came back, and it had the follower no longer.
#[test]
fn it_is_given_back_where_the_nameserver_had_seen_them_no_longer() {
    let mut shop = Shop::open().without_the_follower(false, 0);
    let before = shop.held_by(&shop.follower);
    let recovered = shop.run("recover");
    assert_eq!(kept_off_for(&recovered), []);
    assert!(recovered.summary.auto_failover.before && shop.is_on(), "{recovered:#?}");
    shop.the_follower_comes_back();
    assert!(shop.held_by(&shop.leader).is_superset(&before));
}

/// The standby leads since the tablets went down: what it says is from ZooKeeper, and older than the last rows.
#[test]
fn an_old_number_is_no_evidence() {
    let mut shop = Shop::open();
    for _ in 0..12 {
        assert!(shop.world.put_row(&shop.leader, shop.id));
    }
    shop.world.advance_by(5_000);
    let nameserver = shop.world.leader().unwrap();
    shop.world.tablet_endpoints().to_vec().iter().for_each(|at| shop.world.kill_tablet(at));
    shop.world.advance_by(3_000);
    shop.world.kill_nameserver(&nameserver);
    shop.world.advance_by(10_000);
    shop.starts_all_but_the_follower();
    let recovered = shop.run("recover");
    assert!(kept_off_for(&recovered).contains(&(shop.id, shop.follower.clone())), "{recovered:#?}");
    assert!(!shop.is_on());
}

/// It has the number that the nameserver had for it, and not the rows.
#[test]
fn a_leader_that_lost_the_beginning_of_its_log_is_no_evidence() {
    let mut shop = Shop::open();
    shop.world.tablet_endpoints().to_vec().iter().for_each(|at| shop.world.kill_tablet(at));
    shop.world.advance_by(20_000);
    let (tid, pid) = (shop.id.tid.0, shop.id.pid.0);
    assert!(shop.world.tablets_mut().lose_entries(shop.leader.as_str(), tid, pid, 1, 10));
    shop.starts_all_but_the_follower();
    let before = shop.held_by(&shop.follower);
    let recovered = shop.run("recover");
    assert!(kept_off_for(&recovered).contains(&(shop.id, shop.follower.clone())), "{recovered:#?}");
    shop.the_follower_comes_back();
    let kept = &shop.held_by(&shop.follower) | &shop.held_by(&shop.leader);
    assert!(kept.is_superset(&before), "{} rows are gone", before.difference(&kept).count());
}

/// Nothing is settled by its leader's tablet going away. Both were looked at when the leader was chosen: what the follower is held
/// for is only in what the first run wrote down.
#[test]
fn it_stays_off_for_what_holds_more_while_the_leader_is_away() {
    let mut shop = Shop::open();
    shop.world.kill_tablet(&shop.follower.clone());
    shop.world.advance_by(30_000);
    // Once a snapshot leaves them out, nothing tells these from rows that are lost.
    for _ in 0..10 {
        assert!(shop.world.delete_row(&shop.leader, shop.id));
    }
    assert!(shop.world.make_snapshot(&shop.leader, shop.id));
    shop.world.kill_everything();
    shop.world.advance_by(20_000);
    shop.world.start_everything();
    await_nameserver(&mut shop.world);
    let first = shop.run("recover");
    let reasons: Vec<_> = first.summary.blocked.iter().map(|blocked| blocked.reason).collect();
    let held = (shop.id, shop.follower.clone());
    assert_eq!((reasons, kept_off_for(&first)), (vec!["leader_lacks_rows"], vec![held.clone()]));
    let sent = shop.world.trace().mutations();
    assert_eq!(kept_off_for(&shop.run("recover")), vec![held.clone()]);
    assert_eq!(shop.world.trace().mutations(), sent, "a second run only looks, and compares");
    shop.world.kill_tablet(&shop.leader.clone());
    shop.world.advance_by(20_000);
    for time in ["once", "again", "on another host"] {
        let away = shop.run("recover");
        assert!(kept_off_for(&away).contains(&held), "{time}: {:?}", away.summary);
        assert!(!shop.is_on(), "{time}");
        if time == "again" {
            shop.host = shop.host.another();
        }
    }
}

#[test]
fn what_is_gone_for_good_can_be_named() {
    let mut shop = Shop::open().without_the_follower(true, 0).the_follower_blinks();
    assert!(!kept_off_for(&shop.run("recover")).is_empty());
    let without = vec![shop.follower.clone()];
    let consent = Consent { without, ..Consent::default() };
    let named = shop.run_with("recover", Scope::All, consent);
    assert_eq!((kept_off_for(&named).len(), named.summary.auto_failover.after), (0, true));
    assert!(shop.is_on());
    // It need not be said twice, whoever asks.
    for _ in 0..2 {
        assert!(kept_off_for(&shop.run("recover")).is_empty() && shop.is_on());
        shop.host = shop.host.another();
    }
}

#[test]
fn it_can_be_released_whatever_they_hold() {
    let mut shop = Shop::open().without_the_follower(true, 10).the_follower_blinks();
    assert!(!kept_off_for(&shop.run("recover")).is_empty());
    shop.the_follower_comes_back();
    assert!(!kept_off_for(&shop.run("recover")).is_empty());
    let consent = Consent { release: true, ..Consent::default() };
    let released = shop.run_with("recover", Scope::All, consent);
    assert_eq!((kept_off_for(&released).len(), released.summary.auto_failover.after), (0, true));
    assert!(kept_off_for(&shop.run("recover")).is_empty() && shop.is_on());
}

/// Nobody looked at it, and somebody has marked it alive: clients and elections must not count on it.
#[test]
fn what_nobody_has_looked_at_is_not_left_flagged_alive() {
    let mut shop = Shop::open().without_the_follower(true, 0).the_follower_blinks();
    shop.run("recover");
    let tables = shop.world.tables();
    let table = tables.iter().find(|table| table.tid() == shop.id.tid.0).unwrap();
    let request = openmldb_ops::wire::nameserver::UpdateTableAliveRequest {
        endpoint: Some(shop.follower.to_string()),
        name: table.name.clone(),
        pid: Some(shop.id.pid.0),
        is_alive: Some(true),
        db: table.db.clone(),
    };
    let nameserver = shop.world.leader().unwrap();
    let call = openmldb_ops::wire::call::NameserverCall::UpdateTableAliveStatus(request);
    shop.world.call_nameserver(&nameserver, call).unwrap();
    let is_alive = |shop: &Shop| {
        let metas = shop.world.metadata().remove(&shop.id).unwrap();
        metas.partition_meta.iter().find(|meta| meta.endpoint == shop.follower.as_str()).unwrap().is_alive()
    };
    assert!(is_alive(&shop));
    shop.run("recover");
    assert!(!is_alive(&shop));
}
