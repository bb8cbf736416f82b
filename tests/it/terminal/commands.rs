//! Every command that prints, and what it is typed on.

use openmldb_ops::sandbox::scenario::Scenario;

/// What is typed, with an address in the place of `LEADER` and `FOLLOWER`, which have a replica of `shop.orders/0` each.
pub struct Case {
    pub words: &'static str,
    /// The cluster that it is typed on; none if it needs none, or brings its own.
    pub on: Option<Scenario>,
    /// Its clock stands still: what is under way there would be somewhere else each time.
    pub held: bool,
    /// Typed before it.
    pub before: &'static [&'static str],
    /// It does not end before this is said and it is interrupted.
    pub until: Option<&'static str>,
}

const fn alone(words: &'static str) -> Case {
    Case { words, on: None, held: false, before: &[], until: None }
}

const fn on(scenario: Scenario, words: &'static str) -> Case {
    Case { on: Some(scenario), ..alone(words) }
}

const fn held(scenario: Scenario, words: &'static str) -> Case {
    Case { held: true, ..on(scenario, words) }
}

const fn after(before: &'static [&'static str], case: Case) -> Case {
    Case { before, ..case }
}

/// Commands that look.
pub const LOOKS: &[Case] = &[
    alone("status --sandbox"),
    alone("status --deep --sandbox"),
    alone("status --deep --sandbox recovered"),
    alone("status --deep --rows --sandbox recovered"),
    alone("status --full --sandbox healthy"),
    alone("status --sandbox healthy --output json"),
    alone("status -o wide --sandbox recovered"),
    alone("status -o name --sandbox"),
    alone("status --check --sandbox"),
    alone("snapshot --sandbox"),
    alone("snapshot --sandbox -o seen.yaml"),
    alone("show tablets -o wide --sandbox"),
    alone("show tables -o wide --sandbox"),
    alone("show tables --health --sandbox healthy"),
    held(Scenario::TabletsRestartedFailoverOn, "show ops -o narrow"),
    alone("replica status --sandbox healthy"),
    on(Scenario::Healthy, "replica diff shop.orders/0"),
    alone("partition show shop.orders/0-3 --sandbox healthy"),
    alone("failover get --sandbox"),
    after(&["recover --all --sandbox --record-dir records"], alone("record list --record-dir records")),
    after(&["recover --all --sandbox --record-dir records"], alone("record show --record-dir records")),
    after(&["recover --all --sandbox --record-dir records"], alone("record show --summary --record-dir records")),
    after(&["recover --all --sandbox --record-dir records"], alone("record show --failed --record-dir records")),
    after(&["recover --all --sandbox --record-dir records"], alone("record follow --record-dir records")),
    after(&["recover --all --sandbox --record-dir records"], alone("record prune --keep 0 --record-dir records")),
    alone("record dismiss 1795921619607-0 --record-dir records"),
    alone("playbook list"),
    alone("explain 303"),
    alone("completions elvish"),
    alone("man"),
    alone("playbook show"),
    alone("playbook show --yaml"),
    alone("playbook check recover"),
    alone("rehearse --generate tables=2,partitions=2,rows=100"),
    alone("config show"),
    alone("metadata backup -o metadata.json --nameserver 127.0.0.1:1"),
    alone("metadata restore metadata.json --dry-run --repair"),
    alone("metadata wipe --dry-run --nameserver 127.0.0.1:1"),
    alone("metadata check --nameserver 127.0.0.1:1"),
    alone("guard pause 2h --why disks --nameserver 127.0.0.1:1"),
    alone("guard resume --nameserver 127.0.0.1:1"),
    alone("metadata rebuild --tablet 127.0.0.1:1 -o metadata.json"),
    alone("partition set shop.orders/0 --terms-from metadata.json --nameserver 127.0.0.1:1"),
    alone("sandbox list"),
    alone("sandbox list --faults"),
    Case { until: Some("recover --all --nameserver"), ..alone("sandbox serve") },
    Case { until: Some("recover --all --nameserver"), ..alone("sandbox serve --standalone") },
];

/// Orders to sandboxes, of which none is served, and the tour.
pub const PRACTICE: &[Case] = &[
    alone("sandbox kill tablet2"),
    alone("sandbox start all"),
    alone("sandbox hang tablet1 nameserver1"),
    alone("sandbox write --rows 1"),
    alone("sandbox tour --night 1"),
];

/// Recoveries, and what they would do.
pub const RUNS: &[Case] = &[
    alone("recover --all --sandbox"),
    alone("recover --all --sandbox healthy"),
    alone("recover --all --sandbox tablet-missing --wait-for-tablets 40s"),
    alone("recover --all --sandbox --playbook fast"),
    alone("recover --all --sandbox --release-failover"),
    alone("recover --all --sandbox --output json"),
    alone("recover --all --dry-run --sandbox"),
    alone("recover --explain shop.orders/1 --sandbox"),
    alone("recover --all --dry-run --sandbox tablet-missing"),
    on(Scenario::EverythingRestarted, "recover --all"),
];

/// Undertakings, and what they would do.
pub const UNDERTAKINGS: &[Case] = &[
    alone("scale out --sandbox tablets-added"),
    alone("scale out --dry-run --sandbox tablets-added"),
    alone("scale out --replicas-only --dry-run --sandbox tablets-added"),
    on(Scenario::TabletsAdded, "scale in LEADER"),
    after(&["replica remove shop.orders/0 FOLLOWER"], on(Scenario::TabletsAdded, "scale repair")),
    on(Scenario::TabletsAdded, "tablet replace LEADER --dry-run"),
    on(Scenario::Healthy, "upgrade pre LEADER"),
    on(Scenario::Healthy, "upgrade pre LEADER --allow-unavailable"),
    after(&["upgrade pre LEADER --allow-unavailable"], on(Scenario::Healthy, "upgrade post LEADER")),
    after(&["upgrade pre LEADER"], on(Scenario::Healthy, "upgrade post LEADER --gone")),
    on(Scenario::Healthy, "leader handover shop.orders/0 --to FOLLOWER"),
    on(Scenario::Healthy, "leader handover shop.orders/0 --to FOLLOWER --dry-run"),
];

/// The handbook's single steps.
pub const STEPS: &[Case] = &[
    on(Scenario::Healthy, "failover set off"),
    on(Scenario::Healthy, "failover set on --release"),
    on(Scenario::Healthy, "failover restore"),
    on(Scenario::Healthy, "failover restore --dry-run"),
    on(Scenario::Healthy, "op cancel 99999"),
    on(Scenario::Healthy, "op delete done"),
    after(&["failover set off"], on(Scenario::Healthy, "leader change shop.orders/0 --to FOLLOWER")),
    after(&["failover set off"], on(Scenario::Healthy, "tablet offline FOLLOWER --allow-unavailable")),
    after(
        &["failover set off", "tablet offline FOLLOWER --allow-unavailable"],
        on(Scenario::Healthy, "tablet recover FOLLOWER"),
    ),
    on(Scenario::EverythingRestarted, "replica load shop.orders/0 LEADER --no-wait"),
    on(Scenario::Healthy, "replica recover shop.orders/0 FOLLOWER"),
    on(Scenario::Healthy, "replica add shop.orders/0 FOLLOWER"),
    on(Scenario::Healthy, "replica remove shop.orders/0 FOLLOWER"),
    on(Scenario::Healthy, "replica aggregate shop.orders/0 LEADER"),
    on(Scenario::Healthy, "replica snapshot shop.orders/0 FOLLOWER"),
    on(Scenario::Healthy, "replica disconnect shop.orders/0 FOLLOWER"),
    after(&["failover set off"], on(Scenario::Healthy, "replica migrate shop.orders/0 FOLLOWER LEADER")),
    after(
        &["failover set off"],
        on(Scenario::Healthy, "replica alive shop.orders/0 LEADER no --allow-unavailable --dry-run"),
    ),
];

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Case> {
    LOOKS.iter().chain(PRACTICE).chain(RUNS).chain(UNDERTAKINGS).chain(STEPS)
}
