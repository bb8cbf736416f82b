//! The official script's algorithm (`openmldb_ops.py`, recoverdata) on the same simulated clusters: one table after another,
//! one leader after another, followers through RecoverTable, polls of 2 s. Its faults are left out: it is given what it would
//! do if it worked.

use std::sync::Arc;
use std::time::Duration;

use openmldb_ops::cluster::{Cluster, Options};
use openmldb_ops::model::{Action, PartitionId, Table, Term};
use openmldb_ops::playbook::Playbook;
use openmldb_ops::rehearse::Rehearsal;
use openmldb_ops::sandbox::scenario::likeness;
use openmldb_ops::sandbox::world::Settings;
use openmldb_ops::sandbox::{InProcess, in_virtual_time};
use tokio::time::Instant;

use super::Size;
use super::table::{Book, rounded};

/// Between its polls.
const POLL: Duration = Duration::from_secs(2);

const SIZES: [Size; 3] = [
    Size { tablets: 3, tables: 6, partitions: 5, rows: 1_000 },
    Size { tablets: 3, tables: 33, partitions: 5, rows: 1_000 },
    Size { tablets: 10, tables: 125, partitions: 8, rows: 1_000 },
];

/// Runs it.
pub fn run(book: &mut Book, quick: bool) {
    book.begin("incumbent", "virtual seconds until redundant: the official script's algorithm, and ours");
    for size in SIZES.iter().take(if quick { 1 } else { SIZES.len() }) {
        let like = likeness(&size.generate().snapshot(), Settings::default()).expect("a likeness");
        let (_world, script) = in_virtual_time(like.world.clone(), async |live| {
            let cluster = Cluster::new(Arc::new(InProcess::new(live.clone())), Options::default());
            let began = Instant::now();
            recoverdata(&cluster).await;
            began.elapsed().as_secs_f64()
        })
        .expect("a runtime");
        let ours = ["recover", "fast"].map(|name| {
            let playbook = Playbook::find(name).expect("a built-in playbook");
            let done = Rehearsal { likeness: &like, playbook: &playbook, faults: &[], seed: 1 }.run();
            done.expect("a rehearsal").timeline.redundant.all_ms.map_or(f64::NAN, |ms| ms as f64 / 1000.0)
        });
        book.row(
            "incumbent",
            &[
                size.name().into(),
                rounded(script),
                rounded(script / size.total() as f64),
                rounded(ours[0]),
                rounded(ours[1]),
                (script / ours[1]).round().into(),
            ],
        );
    }
}

/// Everything, as the script would.
async fn recoverdata(cluster: &Cluster) {
    act(cluster, Action::SetAutoFailover { on: false }).await;
    for table in cluster.tables().await.expect("tables") {
        for partition in 0..table.partitions.len() {
            recover_partition(cluster, &table, partition).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        while is_doing(cluster, &table).await {
            tokio::time::sleep(POLL).await;
        }
    }
    act(cluster, Action::SetAutoFailover { on: true }).await;
}

/// Loads the leader and waits for it; then its followers are left to the nameserver.
async fn recover_partition(cluster: &Cluster, table: &Table, at: usize) {
    let partition = &table.partitions[at];
    let id = PartitionId { tid: table.tid, pid: partition.pid };
    let Some(leader) = partition.replicas.iter().rfind(|replica| replica.is_leader) else { return };
    let endpoint = leader.endpoint.clone();
    let load = Action::LoadTable {
        endpoint: endpoint.clone(),
        table: table.name.clone(),
        partition: id,
        seg_cnt: 8,
        storage: table.storage,
    };
    act(cluster, load).await;
    loop {
        let held = cluster.table_status(&endpoint).await.expect("a tablet that answers");
        if held.iter().any(|held| held.partition == id && held.state.is_loaded()) {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    // The script loads leaders as leaders.
    let term = partition.terms.iter().map(|start| start.term).max().unwrap_or(Term(1));
    act(cluster, Action::ChangeRole { endpoint: endpoint.clone(), partition: id, term, replicas: Vec::new() }).await;
    let mark = |endpoint, alive| Action::MarkAlive { table: table.name.clone(), pid: Some(id.pid), endpoint, alive };
    if !leader.is_alive {
        act(cluster, mark(endpoint.clone(), true)).await;
    }
    for follower in partition.replicas.iter().filter(|replica| replica.endpoint != endpoint) {
        if follower.is_alive {
            act(cluster, mark(follower.endpoint.clone(), false)).await;
        }
        let recover =
            Action::RecoverTable { table: table.name.clone(), pid: id.pid, endpoint: follower.endpoint.clone() };
        act(cluster, recover).await;
    }
}

/// Whether an operation on the table is under way.
async fn is_doing(cluster: &Cluster, table: &Table) -> bool {
    let ops = cluster.ops().await.expect("operations");
    ops.iter().any(|op| op.table == table.name && op.status.is_in_flight())
}

async fn act(cluster: &Cluster, action: Action) {
    cluster.act(&action).await.expect("a call of the script");
}
