//! What is not as it should be in one partition.

use crate::recovery::{
    Health, Memory, Problem, ProblemKind, ReplicaView, View, health, lacks_rows_of, led_apart, remotes_of,
    resend_went_wrong, seen_to_lack,
};
use openmldb_model::{Aggregator, Endpoint, Held, Offset, Partition, Seen, Snapshot, State, Table};

use super::finding::{Finding, FindingKind, Persistence};

/// One look at a partition.
pub(super) struct Look<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) table: &'a Table,
    pub(super) partition: &'a Partition,
    pub(super) view: View,
}

impl<'a> Look<'a> {
    pub(super) fn of(snapshot: &'a Snapshot, table: &'a Table, partition: &'a Partition, memory: &Memory) -> Self {
        Self { snapshot, table, partition, view: View::of(snapshot, table, partition, memory) }
    }
}

impl Look<'_> {
    fn offset(&self, endpoint: &Endpoint) -> Option<Offset> {
        self.view.replica(endpoint)?.offset()
    }

    fn held(&self, endpoint: &Endpoint) -> Option<&Held> {
        let held = self.snapshot.tablets.get(endpoint)?.held.known()?;
        held.get(&self.view.partition).filter(|held| held.state.is_loaded())
    }

    fn is_paused(&self, endpoint: &Endpoint) -> bool {
        self.held(endpoint).is_some_and(|held| held.state == State::SnapshotPaused)
    }
}

/// Two looks at a partition, and its leader.
struct Case<'a> {
    then: &'a Look<'a>,
    now: &'a Look<'a>,
    leader: &'a ReplicaView,
}

/// Everything that is not as it should be. Without an earlier look, what only two can show is left out.
pub(super) fn findings_of(then: Option<&Look<'_>>, now: &Look<'_>) -> Vec<Finding> {
    let mut found = operations(&now.view);
    found.extend(state(&now.view));
    found.extend(not_aggregated(now));
    found.extend(remote_detached(now));
    found.extend(now.view.replicas.iter().filter_map(|replica| paused(then, now, replica)));
    found.extend(now.view.replicas.iter().filter_map(|replica| data_not_replaced(&now.view, replica)));
    if let (Some(then), Some(leader)) = (then, now.view.serving_leader()) {
        let case = Case { then, now, leader };
        let followers = now.view.replicas.iter().filter(|r| r.endpoint != leader.endpoint && r.loaded().is_some());
        for follower in followers {
            found.extend(case.behind(follower));
            found.extend(case.ahead(follower));
            found.extend(case.fewer_rows(follower));
        }
    }
    found
}

fn finding(view: &View, kind: FindingKind, endpoint: Option<&Endpoint>, nature: Persistence, text: String) -> Finding {
    Finding {
        kind,
        table: Some(view.table.clone()),
        pid: Some(view.partition.pid),
        endpoint: endpoint.cloned(),
        nature,
        text,
        hint: kind.hint().replace("D.T/PID", &view.name()),
    }
}

/// What an operation under way may still put right.
fn unless_op(view: &View) -> Persistence {
    if view.ops_in_flight.is_empty() { Persistence::Stays } else { Persistence::GoesOn }
}

fn operations(view: &View) -> Vec<Finding> {
    let running = view.ops_in_flight.iter().map(|op| {
        let text = format!("operation {} ({}) is under way: it {}", op.id, op.kind.name(), op.progress());
        finding(view, FindingKind::OpRunning, None, Persistence::GoesOn, text)
    });
    running.collect()
}

/// Flags, roles and connections.
fn state(view: &View) -> Vec<Finding> {
    let seen = health(view);
    if let Health::Unknown(probe) = &seen {
        let text = "was not asked for its followers".to_owned();
        return vec![finding(view, FindingKind::NoAnswer, Some(&probe.endpoint), Persistence::Unknown, text)];
    }
    if matches!(&seen, Health::Down(problems) if problems.is_empty()) {
        let text = "no replica is flagged leader, alive and leading".to_owned();
        return vec![finding(view, FindingKind::NoLeader, None, unless_op(view), text)];
    }
    let apart = led_apart(view);
    let found = seen.problems().iter().chain(&apart).map(|Problem { endpoint, kind, text }| {
        let (kind, nature) = match kind {
            ProblemKind::NoAnswer => (FindingKind::NoAnswer, Persistence::Unknown),
            ProblemKind::Loading => (FindingKind::Loading, Persistence::GoesOn),
            ProblemKind::NotAlive => (FindingKind::NotAlive, unless_op(view)),
            ProblemKind::NotLoaded => (FindingKind::NotLoaded, unless_op(view)),
            ProblemKind::WrongRole => (FindingKind::WrongRole, unless_op(view)),
            ProblemKind::SecondLeader => (FindingKind::SecondLeader, unless_op(view)),
            ProblemKind::NotConnected => (FindingKind::NotConnected, unless_op(view)),
            ProblemKind::Stuck => (FindingKind::Stuck, unless_op(view)),
            ProblemKind::LedApart => (FindingKind::LedApart, unless_op(view)),
            ProblemKind::WrittenWhileLoading => (FindingKind::WrittenWhileLoading, unless_op(view)),
            ProblemKind::TooFewReplicas | ProblemKind::TooManyReplicas => {
                (FindingKind::ReplicaCount, Persistence::Remark)
            }
        };
        finding(view, kind, Some(endpoint), nature, text.clone())
    });
    found.collect()
}

/// A leader that was made by ChangeRole knows nothing of other clusters, and nobody tells it later.
fn remote_detached(now: &Look<'_>) -> Vec<Finding> {
    if now.partition.remotes.is_empty() {
        return Vec::new();
    }
    let found = remotes_of(now.snapshot, now.table, now.partition).into_iter().filter_map(|remote| {
        let leader = remote.detached_from()?;
        let text = format!(
            "leads, and does not replicate to {} of the cluster {}, which follows this one",
            remote.replica.endpoint, remote.replica.alias
        );
        Some(finding(&now.view, FindingKind::RemoteDetached, Some(leader), Persistence::Remark, text))
    });
    found.collect()
}

/// Fewer or more replicas than there should be.
pub(super) fn count(view: &View, Problem { endpoint, text, .. }: &Problem) -> Finding {
    finding(view, FindingKind::ReplicaCount, Some(endpoint), Persistence::Remark, text.clone())
}

/// A snapshot stays paused after an operation that failed or was cancelled; while one is under way it may be meant.
/// Only the tablet that led the base table when its aggregation was deployed aggregates
/// (docs/openmldb/load-table.md#pre-aggregate-tables).
fn not_aggregated(now: &Look<'_>) -> Option<Finding> {
    let base = now.view.base.as_ref()?;
    let leader = base.leader.as_ref()?;
    let aggregates = |at: &Endpoint| {
        let tablet = now.snapshot.tablets.get(at)?;
        tablet.probes(now.view.partition).aggregator.known().map(|found| *found == Aggregator::Present)
    };
    let again = format!(
        "`openmldb-ops replica aggregate {} {leader}` creates an aggregator that catches up on what was missed, once \
         it leads both",
        now.view.name()
    );
    let found = |text: String, hint: String| {
        Some(Finding {
            hint,
            ..finding(&now.view, FindingKind::NotAggregated, Some(leader), Persistence::Remark, text)
        })
    };
    if aggregates(leader)? {
        let is_unattached = now.view.replica(leader).is_some_and(|replica| replica.memory.unattached);
        let text = format!("leads {}, and has no aggregator attached: it was loaded before that", base.name);
        let hint = "restart that tablet, then `openmldb-ops recover --all` recreates its aggregator".to_owned();
        return is_unattached.then(|| found(text, hint))?;
    }
    let mut elsewhere = now.view.replicas.iter().map(|r| &r.endpoint).filter(|at| *at != leader);
    let Some(at) = elsewhere.clone().find(|at| aggregates(at) == Some(true)) else {
        let nobody = elsewhere.all(|at| aggregates(at) == Some(false));
        let text = format!("leads {}, which is not aggregated: no tablet has an aggregator for it", base.name);
        let hint = format!("{again}; or drop its deployment and deploy it anew");
        return nobody.then(|| found(text, hint))?;
    };
    let text = format!("leads {}, and does not aggregate it: {at} would", base.name);
    let lead_again = format!("`openmldb-ops leader handover {} --to {at}` moves the leader back there", base.name);
    found(text, format!("{again}; or {lead_again}, without what it missed"))
}

fn paused(then: Option<&Look<'_>>, now: &Look<'_>, replica: &ReplicaView) -> Option<Finding> {
    if !now.is_paused(&replica.endpoint) || !now.view.ops_in_flight.is_empty() {
        return None;
    }
    let stays = then.is_some_and(|then| then.is_paused(&replica.endpoint) && then.view.ops_in_flight.is_empty());
    let nature = if stays { Persistence::Stays } else { Persistence::GoesOn };
    let text = "kept from making snapshots (kSnapshotPaused), and no operation is under way".to_owned();
    Some(finding(&now.view, FindingKind::SnapshotPaused, Some(&replica.endpoint), nature, text))
}

fn data_not_replaced(view: &View, replica: &ReplicaView) -> Option<Finding> {
    resend_went_wrong(view, replica).then(|| {
        let text = "RecoverTable should have replaced its data, but the operation it started kept it".to_owned();
        finding(view, FindingKind::DataNotReplaced, Some(&replica.endpoint), Persistence::Stays, text)
    })
}

impl Case<'_> {
    /// Writers never stop, so a follower is held against where its leader was a look before.
    fn behind(&self, follower: &ReplicaView) -> Option<Finding> {
        let target = self.then.offset(&self.leader.endpoint)?;
        let known = match &self.leader.followers {
            Seen::Known(followers) => followers.followers.iter().find(|(endpoint, _)| *endpoint == follower.endpoint),
            Seen::Unasked | Seen::Failed(_) => None,
        };
        let reached = follower.offset()?.max(known.map_or(Offset(0), |(_, offset)| *offset));
        if reached >= target {
            return None;
        }
        let moves = self.then.offset(&follower.endpoint).is_none_or(|before| before < reached);
        let nature = if moves { Persistence::GoesOn } else { unless_op(&self.now.view) };
        let text = format!("at offset {reached}, its leader {} was already at {target}", self.leader.endpoint);
        Some(self.finding(FindingKind::Behind, follower, nature, text))
    }

    /// Its leader will never send it what it writes in that place
    /// (docs/openmldb/logs-and-terms.md#a-follower-that-is-longer-than-its-leader).
    fn ahead(&self, follower: &ReplicaView) -> Option<Finding> {
        let (was, is) = (self.then.offset(&follower.endpoint)?, self.leader.offset()?);
        let text = || format!("was at offset {was} before its leader {} was at {is}", self.leader.endpoint);
        (was > is).then(|| self.finding(FindingKind::Ahead, follower, unless_op(&self.now.view), text()))
    }

    /// Fewer rows at the same offset, on either side, index by index where they are counted so; where rows may expire, fewer
    /// than 90 % of them. While clients write, offsets are hardly ever the same: then, whether it lacks more of its log. What
    /// a single look shows may be a moment's.
    fn fewer_rows(&self, follower: &ReplicaView) -> Option<Finding> {
        let fewer = |x: &ReplicaView, y: &ReplicaView| {
            let in_look = |look: &Look<'_>| look.lacks_rows(&x.endpoint, &y.endpoint);
            in_look(self.then) && in_look(self.now)
        };
        let (poorer, fuller) = match (fewer(follower, self.leader), fewer(self.leader, follower)) {
            (true, _) => (follower, self.leader),
            (false, true) => (self.leader, follower),
            (false, false) => return None,
        };
        let counted = |replica: &ReplicaView| {
            let rows = self.now.held(&replica.endpoint).map_or_else(|| vec![replica.rows()], rows_by_index);
            let rows: Vec<String> = rows.iter().map(u64::to_string).collect();
            format!("{} rows at offset {}", rows.join("+"), replica.offset().unwrap_or(Offset(0)))
        };
        let seen = seen_to_lack(&self.now.view, poorer, fuller);
        let text = match seen {
            Some(rows) => format!("lacks {} that {} holds", openmldb_model::counted(rows, "row"), fuller.endpoint),
            None => format!("holds {}, {} {}", counted(poorer), fuller.endpoint, counted(fuller)),
        };
        Some(self.finding(FindingKind::FewerRows, poorer, unless_op(&self.now.view), text))
    }

    fn finding(&self, kind: FindingKind, replica: &ReplicaView, nature: Persistence, text: String) -> Finding {
        finding(&self.now.view, kind, Some(&replica.endpoint), nature, text)
    }
}

impl Look<'_> {
    fn lacks_rows(&self, x: &Endpoint, y: &Endpoint) -> bool {
        let (Some(mine), Some(others)) = (self.held(x), self.held(y)) else { return false };
        let Some((x, y)) = self.view.replica(x).zip(self.view.replica(y)) else { return false };
        if let Some(rows) = seen_to_lack(&self.view, x, y) {
            return rows > 0;
        }
        if mine.offset != others.offset {
            return lacks_rows_of(&self.view, x, y);
        }
        let is_fewer = |mine: u64, others: u64| match self.view.has_ttl {
            true => u128::from(mine) * 10 < u128::from(others) * 9,
            false => mine < others,
        };
        let (mine, others) = (rows_by_index(mine), rows_by_index(others));
        mine.len() == others.len() && mine.iter().zip(&others).any(|(mine, others)| is_fewer(*mine, *others))
    }
}

fn rows_by_index(held: &Held) -> Vec<u64> {
    if held.index_rows.is_empty() { vec![held.record_cnt] } else { held.index_rows.clone() }
}
