//! What people read, word for word, of clusters recorded from real servers.

use std::collections::BTreeMap;

use openmldb_ops::model::{
    Held, Manifest, Offset, PartitionId, Pid, Probes, Role, Seen, Snapshot, State, TabletState, Term, TermPair,
};
use openmldb_ops::playbook::{DEFAULT, Playbook};
use openmldb_ops::recovery::Plan;
use openmldb_ops::run::{
    Rpc, Scope, Service, Status, UnfinishedWork, prepare_plan, summary_of_plan, summary_of_status,
};
use openmldb_ops::ui::{About, Listed, Paint, PlanContext, plan_text, snapshot_text, status_text, summary_text};

use crate::support::decisions::{Usual, decisions};
use crate::support::recorded;

fn playbook() -> Playbook {
    let (file, text) = openmldb_ops::playbook::load(DEFAULT).unwrap();
    Playbook::parse(&file, &text).unwrap()
}

fn plan(snapshot: &Snapshot) -> Plan {
    prepare_plan(snapshot.clone(), &playbook(), &Scope::All, UnfinishedWork::default(), None).unwrap().plan
}

fn text_of_plan(snapshot: &Snapshot) -> String {
    let playbook = playbook();
    let auto_failover_before = snapshot.auto_failover;
    plan_text(
        &plan(snapshot),
        &PlanContext {
            snapshot,
            playbook: &playbook,
            auto_failover_before,
            stands: &[],
            id: None,
            service: &Service::of(&Status::of(snapshot, &Scope::All)),
            full: true,
            paint: Paint::Plain,
        },
    )
}

#[test]
fn plan_everything_restarted() {
    insta::assert_snapshot!(text_of_plan(&recorded::snapshot("02-everything-restarted")));
}

#[test]
fn plan_healthy() {
    insta::assert_snapshot!(text_of_plan(&recorded::snapshot("01-healthy")));
}

/// What is planned for the others, beside what is planned for `02-everything-restarted`.
macro_rules! decided {
    ($($name:ident = $folder:literal;)*) => { $(
        #[test]
        fn $name() {
            let usual = recorded::snapshot("02-everything-restarted");
            let usual = Usual::of(&plan(&usual), &usual, &playbook());
            let snapshot = recorded::snapshot($folder);
            insta::assert_snapshot!(decisions(&plan(&snapshot), &snapshot, &playbook(), &usual));
        }
    )* };
}

decided! {
    plan_leaders_loaded = "03-leaders-loaded";
    plan_tablets_restarted_failover_on = "06-tablets-restarted-nameserver-alive-failover-on";
    plan_tablets_restarted_failover_off = "07-tablets-restarted-nameserver-alive-failover-off";
    plan_two_leader_flags = "08-two-leader-flags";
    plan_server_names = "11-server-names";
}

/// `shop.orders` alone, as after loading it: replicas loaded as followers, each at the offset given for its partition.
fn loaded(folder: &str, offsets: [[u64; 3]; 4]) -> Snapshot {
    let mut snapshot = recorded::snapshot(folder);
    snapshot.tables.retain(|table| table.name.table == "orders");
    let table = snapshot.tables[0].clone();
    for (partition, offsets) in table.partitions.iter().zip(offsets) {
        let id = PartitionId { tid: table.tid, pid: partition.pid };
        for (replica, offset) in partition.replicas.iter().zip(offsets) {
            let tablet = snapshot.tablets.get_mut(&replica.endpoint).unwrap();
            let Seen::Known(held) = &mut tablet.held else { panic!("{} did not answer", replica.endpoint) };
            let offset = Offset(offset);
            let (role, state) = (Role::Follower, State::Normal);
            held.insert(id, Held { partition: id, role, state, offset, record_cnt: offset.0, index_rows: Vec::new() });
            let pair = TermPair { has_table: true, is_leader: false, term: Term(0), offset };
            tablet.probes.entry(id).or_insert(Probes::UNASKED).term_pair = Seen::Known(pair);
        }
    }
    snapshot
}

/// The MANIFEST of a replica of `orders` names the term of its last entry.
fn name_last_term(snapshot: &mut Snapshot, pid: u32, replica: usize, term: u64) {
    let id = PartitionId { tid: snapshot.tables[0].tid, pid: Pid(pid) };
    let partition = &snapshot.tables[0].partitions[pid as usize];
    let tablet = snapshot.tablets.get_mut(&partition.replicas[replica].endpoint).unwrap();
    let offset = tablet.held.known().unwrap()[&id].offset;
    let manifest = Manifest { offset, term: Some(Term(term)), count: offset.0 };
    tablet.probes.get_mut(&id).unwrap().manifest = Seen::Known(manifest);
}

/// Followers longer than their leader; an old leader with a tail that nobody received, beside the one elected last; equal
/// replicas; and a leader that is empty.
#[test]
fn plan_after_loading() {
    let offsets = [[105, 120, 120], [95, 99, 95], [116, 116, 116], [0, 86, 86]];
    let mut snapshot = loaded("08-two-leader-flags", offsets);
    [(0, 15), (1, 1), (2, 15)].into_iter().for_each(|(replica, term)| name_last_term(&mut snapshot, 1, replica, term));
    insta::assert_snapshot!(text_of_plan(&snapshot));
}

#[test]
fn plan_with_a_tablet_out_of_reach() {
    let mut snapshot = loaded("07-tablets-restarted-nameserver-alive-failover-off", [[0; 3]; 4]);
    for (endpoint, tablet) in &mut snapshot.tablets {
        tablet.held = match endpoint.as_str().ends_with('1') {
            true => Seen::Failed("connection refused, nothing listens there".to_owned()),
            false => Seen::Known(BTreeMap::new()),
        };
    }
    insta::assert_snapshot!(text_of_plan(&snapshot));
}

fn text_of_status(snapshot: &Snapshot, all: bool) -> String {
    let status = Status::of(snapshot, &Scope::All);
    let summary = summary_of_status(&status, Rpc { reads: 41, mutations: 0 });
    status_text(&status, &[], if all { Listed::All } else { Listed::Unhealthy }, Paint::Plain)
        + "---\n"
        + &summary_text(&summary, About::Look, Paint::Plain)
}

#[test]
fn status_everything_restarted() {
    insta::assert_snapshot!(text_of_status(&recorded::snapshot("02-everything-restarted"), false));
}

#[test]
fn status_half_way() {
    insta::assert_snapshot!(text_of_status(&recorded::snapshot("04-followers-recovering"), false));
}

#[test]
fn status_healthy_counted_and_listed() {
    let snapshot = recorded::snapshot("01-healthy");
    insta::assert_snapshot!("status_healthy", text_of_status(&snapshot, false));
    insta::assert_snapshot!("status_healthy_all", text_of_status(&snapshot, true));
}

#[test]
fn status_of_tablets_in_trouble() {
    let mut snapshot = recorded::snapshot("11-server-names");
    let mut tablets = snapshot.tablets.values_mut();
    tablets.next().unwrap().state = Some(TabletState::Offline);
    let gone = tablets.next().unwrap();
    (gone.state, gone.in_zookeeper) = (Some(TabletState::Offline), Some(false));
    gone.held = Seen::Failed("connection refused, nothing listens there".to_owned());
    tablets.next().unwrap().in_zookeeper = Some(false);
    snapshot.tables.retain(|table| table.name.table == "orders");
    insta::assert_snapshot!(text_of_status(&snapshot, false));
}

#[test]
fn summary_of_a_dry_run() {
    let snapshot = recorded::snapshot("08-two-leader-flags");
    let summary = summary_of_plan(&plan(&snapshot), snapshot.auto_failover, Rpc { reads: 41, mutations: 0 });
    insta::assert_snapshot!(summary_text(&summary, About::Plan, Paint::Plain));
}

#[test]
fn a_snapshot_in_a_few_lines() {
    let mut snapshot = recorded::snapshot("01-healthy");
    snapshot.tablets.values_mut().next().unwrap().held = Seen::Failed("no answer within 5 s".to_owned());
    insta::assert_snapshot!(snapshot_text(&snapshot, Some("before.yaml")));
}
