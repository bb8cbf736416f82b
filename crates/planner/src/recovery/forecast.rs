//! How long a plan takes, estimated from what real servers took, and which way its followers come back.

use std::collections::BTreeMap;

use serde::Serialize;

use openmldb_model::{Action, Endpoint};

use super::limits::LANE_MS;
use super::plan::{LeaderPlan, PartitionPlan, Plan};

/// Nanoseconds to load a replica, and one of its entries (docs/openmldb/timings.md#measured: 100,000 small rows in 0.8
/// s).
const LOAD: (u64, u64) = (10_000_000, 8_000);
/// Loads that a tablet does at a time (docs/openmldb/load-table.md#how-many-at-a-time).
const POOL: u64 = 3;
/// Nanoseconds to make a snapshot, and for one of its entries; a tablet makes one at a time
/// (docs/openmldb/timings.md#measured: 50 ms for 130).
const SNAPSHOT: (u64, u64) = (20_000_000, 4_000);

/// An estimate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// Of which playbook.
    pub playbook: String,
    /// Milliseconds until every partition that can serve does: the busiest tablet's loads and snapshots, and the minute in which a tablet
    /// that has just come up is not asked for one.
    pub serving_after_ms: u64,
    /// Milliseconds until every one that can be is redundant: with the fuller of the nameserver's lanes.
    pub redundant_after_ms: u64,
    /// Followers that their leader takes as they are, and that are only marked alive.
    pub reattached: usize,
    /// Followers that their leader takes as they are, through RecoverTable.
    pub recovered: usize,
    /// Replicas that get their leader's data, through RecoverTable.
    pub resent: usize,
    /// Partitions that are left alone, as far as can be told now.
    pub blocked: usize,
}

/// The estimate for a plan. Lengths that nobody knows count as 0.
pub fn forecast(plan: &Plan) -> Forecast {
    let mut forecast = Forecast {
        playbook: plan.playbook.clone(),
        serving_after_ms: 0,
        redundant_after_ms: 0,
        reattached: 0,
        recovered: 0,
        resent: 0,
        blocked: plan.counts.blocked,
    };
    let mut tablets: BTreeMap<&Endpoint, Work> = BTreeMap::new();
    let (mut lanes, mut uptime_ms, mut uptime_of_leaders_ms) = ([0; 2], 0, 0);
    for planned in &plan.partitions {
        let lane = &mut lanes[(planned.partition.pid.0 % 2) as usize];
        let mut serves = matches!(planned.leader, LeaderPlan::Serving { .. });
        uptime_ms = uptime_ms.max(planned.uptime_ms);
        uptime_of_leaders_ms = uptime_of_leaders_ms.max(if serves { 0 } else { planned.uptime_ms });
        for step in &planned.steps {
            match &step.action {
                Action::LoadTable { endpoint, .. } | Action::LoadWithSchema { endpoint, .. } => {
                    let work = tablets.entry(endpoint).or_default();
                    let takes = busy(LOAD, entries(planned, endpoint)) / POOL;
                    work.add(serves, takes);
                }
                Action::MakeSnapshot { endpoint, .. } => {
                    let work = tablets.entry(endpoint).or_default();
                    let takes = busy(SNAPSHOT, entries(planned, endpoint));
                    work.add(serves, takes);
                }
                Action::MarkAlive { alive: true, .. } if !serves => serves = true,
                Action::RecoverTable { endpoint, .. } if planned.connects(endpoint) => {
                    forecast.recovered += 1;
                    *lane += LANE_MS.0;
                }
                Action::RecoverTable { .. } => {
                    forecast.resent += 1;
                    *lane += LANE_MS.1;
                }
                Action::MarkAlive { endpoint, alive: true, .. } if planned.connects(endpoint) => {
                    forecast.reattached += 1
                }
                _ => {}
            }
        }
    }
    let busiest = |work: fn(&Work) -> u64| tablets.values().map(work).max().unwrap_or(0).div_ceil(1_000_000);
    // Leaders are chosen, and followers judged, once terms are known.
    forecast.serving_after_ms = busiest(|work| work.before_serving) + uptime_of_leaders_ms;
    let all_loaded = busiest(|work| work.before_serving.saturating_add(work.after_serving));
    forecast.redundant_after_ms = all_loaded + uptime_ms + lanes.into_iter().max().unwrap_or(0);
    forecast
}

/// Nanoseconds that a tablet is busy for, loading with its pool and making snapshots one by one.
#[derive(Default)]
struct Work {
    /// Until the partitions that it holds a part of can serve.
    before_serving: u64,
    /// For what is loaded then.
    after_serving: u64,
}

impl Work {
    fn add(&mut self, serves: bool, takes: u64) {
        let sum = if serves { &mut self.after_serving } else { &mut self.before_serving };
        *sum = sum.saturating_add(takes);
    }
}

/// How long something takes that takes so long by itself and for each entry. Offsets come from servers and files: they may be any.
fn busy((fixed, each): (u64, u64), entries: u64) -> u64 {
    each.saturating_mul(entries).saturating_add(fixed)
}

fn entries(planned: &PartitionPlan, endpoint: &Endpoint) -> u64 {
    let evidence = planned.evidence.iter().find(|evidence| evidence.endpoint == *endpoint);
    evidence.and_then(|evidence| evidence.offset).map_or(0, |offset| offset.0)
}
