//! RecoverTable for eight followers against the recorded timelines: lanes, steps, times.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fixture::{Cluster, NS, ORDERS, recorded_settings, recorded_tables, recording};

/// What became of an op, as somebody sees it who looks every 50 ms.
#[derive(Debug, Default)]
struct Story {
    kind: String,
    pid: u64,
    started: u64,
    ended: u64,
    /// Tasks seen for at least a second.
    tasks: Vec<String>,
    current: Option<(String, u64)>,
}

impl Story {
    fn see(&mut self, at: u64, status: &str, task: &str) {
        let over = status == "kDone";
        if let Some((current, since)) = &self.current
            && (current != task || over)
        {
            if at - since >= 1_000 {
                self.tasks.push(current.clone());
            }
            self.current = None;
        }
        if self.started == 0 && status != "kInited" {
            self.started = at;
        }
        if over && self.ended == 0 {
            self.ended = at;
        } else if status == "kDoing" && task != "-" && self.current.is_none() {
            self.current = Some((task.to_owned(), at));
        }
    }
}

/// Stories by op number.
type Stories = BTreeMap<u64, Story>;

fn recorded_stories(timeline: &[Value]) -> Stories {
    let mut stories = Stories::new();
    for event in timeline.iter().filter(|event| event.get("op_id").is_some()) {
        let story = stories.entry(event["op_id"].as_u64().unwrap()).or_default();
        story.kind = event["op_type"].as_str().unwrap().to_owned();
        story.pid = event["pid"].as_u64().unwrap();
        let (status, task) = (event["status"].as_str().unwrap(), event["task"].as_str().unwrap());
        story.see(event["ms"].as_u64().unwrap(), status, task);
    }
    stories
}

/// The first poll came some 850 ms after the calls.
const BEFORE_FIRST_POLL: u64 = 1_150;

fn our_stories(cluster: &mut Cluster, timeline: &[Value]) -> Stories {
    cluster.pass(BEFORE_FIRST_POLL);
    for call in timeline.iter().filter(|event| event.get("call").is_some()) {
        let pid = u32::try_from(call["pid"].as_u64().unwrap()).unwrap();
        assert_eq!(cluster.recover(pid, call["endpoint"].as_str().unwrap()), 0);
    }
    let mut stories = Stories::new();
    for tick in 1..2_000 {
        for op in cluster.ns.ops() {
            let story = stories.entry(op.op_id).or_default();
            story.kind = op.op_type.clone();
            story.pid = u64::from(op.pid());
            story.see(tick * 50, &op.status, &op.task_type);
        }
        if stories.values().all(|story| story.ended > 0) {
            break;
        }
        cluster.pass(50);
    }
    stories
}

/// The ops of a lane in the order in which they ran: kind, pid, steps.
fn lane(stories: &Stories, lane: u64) -> Vec<(String, u64, Vec<String>)> {
    let mut ops: Vec<_> = stories.iter().filter(|(_, story)| story.pid % 2 == lane).collect();
    ops.sort_by_key(|(id, story)| (story.started, **id));
    ops.into_iter().map(|(_, story)| (story.kind.clone(), story.pid, story.tasks.clone())).collect()
}

fn end(stories: &Stories) -> u64 {
    stories.values().map(|story| story.ended).max().unwrap()
}

/// Brings the followers into the recorded state, all of them not alive.
fn cluster(prepare: impl Fn(&mut Cluster, &str, u32, &str)) -> Cluster {
    let tables = recorded_tables();
    let mut cluster = Cluster::of(&[NS], &tables, recorded_settings());
    cluster.auto_failover(false);
    let orders = tables.table_info.iter().find(|table| table.tid() == ORDERS).unwrap();
    for partition in &orders.table_partition {
        let leader = partition.partition_meta.iter().find(|meta| meta.is_leader).unwrap();
        for follower in partition.partition_meta.iter().filter(|meta| !meta.is_leader) {
            cluster.mark("orders", partition.pid, &follower.endpoint, false);
            prepare(&mut cluster, &leader.endpoint, partition.pid, &follower.endpoint);
        }
    }
    cluster
}

fn assert_like_recorded(file: &str, prepare: impl Fn(&mut Cluster, &str, u32, &str)) {
    let timeline = recording(&format!("10-recover-table-timelines/{file}.json"));
    let timeline = timeline.as_array().unwrap();
    let theirs = recorded_stories(timeline);
    let mut cluster = cluster(prepare);
    let ours = our_stories(&mut cluster, timeline);
    for number in [0, 1] {
        assert_eq!(lane(&ours, number), lane(&theirs, number), "lane {number}");
    }
    let (our_end, their_end) = (end(&ours), end(&theirs));
    assert!(our_end.abs_diff(their_end) * 100 <= their_end * 15, "ends after {our_end} ms, recorded {their_end} ms");
    for story in ours.values() {
        let polls = story.tasks.len().saturating_sub(1) as u64;
        assert!(story.ended - story.started >= polls * 2_000, "a poll apart at least: {story:?}");
    }
    for partition in 0..4 {
        let metas = &cluster.ns.partition("shop", "orders", partition).unwrap().partition_meta;
        assert!(metas.iter().all(|meta| meta.is_alive()), "{metas:?}");
    }
}

fn disconnect(cluster: &mut Cluster, leader: &str, pid: u32, follower: &str) {
    cluster.tablets.replica(leader, ORDERS, pid).followers.remove(follower);
}

#[test]
fn followers_connected_to_their_leader() {
    assert_like_recorded("connected", |_, _, _, _| ());
}

#[test]
fn followers_not_loaded() {
    assert_like_recorded("unloaded", |cluster, leader, pid, follower| {
        disconnect(cluster, leader, pid, follower);
        cluster.tablets.replica(follower, ORDERS, pid).loaded = false;
    });
}

#[test]
fn followers_loaded_but_never_contacted() {
    assert_like_recorded("loaded-not-connected", |cluster, leader, pid, follower| {
        disconnect(cluster, leader, pid, follower);
        cluster.tablets.replica(follower, ORDERS, pid).term = 0;
    });
}
