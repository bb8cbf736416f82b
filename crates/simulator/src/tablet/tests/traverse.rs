//! Traverse: what a replica holds, page by page.

use super::fixture::{A, B, Cluster, TID, ask};
use openmldb_model::{PartitionId, Pid, Row, StorageMode, Tid};
use openmldb_wire::{api, call::TabletCall, decode, encode};

/// Everything a tablet shows, in pages of so many rows.
fn all(cluster: &mut Cluster, at: &str, limit: u32) -> Vec<Row> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let call = encode::traverse(PartitionId { tid: Tid(TID), pid: Pid(0) }, None, after.as_ref(), limit);
        let TabletCall::Traverse(request) = call else { unreachable!() };
        let answer: api::TraverseResponse = ask!(cluster, at, Traverse, request);
        assert_eq!(answer.code, Some(0));
        let page = decode::rows(&answer).unwrap();
        rows.extend(page.rows);
        after = page.next;
        if after.is_none() {
            return rows;
        }
    }
}

#[test]
fn leader_and_follower_show_the_same_rows_in_pages_of_any_size() {
    let mut cluster = Cluster::new().with_orders(&[A, B], 40);
    let whole = all(&mut cluster, A, 1_000);
    assert_eq!(whole.len(), 40);
    for limit in [1, 7, 39, 40, 41] {
        assert_eq!(all(&mut cluster, B, limit), whole, "{limit}");
    }
}

#[test]
fn an_unknown_index_and_an_unknown_replica_are_refused() {
    let mut cluster = Cluster::new().with_orders(&[A, B], 4);
    cluster.create(TID + 1, 0, StorageMode::Memory, "other", &[A]);
    let request = |tid: u32, index: &str| api::TraverseRequest {
        tid: Some(tid),
        pid: Some(0),
        idx_name: Some(index.to_owned()),
        ..Default::default()
    };
    let answer = ask!(cluster, A, Traverse, request(TID, "nothing"));
    assert_eq!(answer.code, Some(108));
    let answer = ask!(cluster, B, Traverse, request(TID + 1, "idx"));
    assert_eq!(answer.code, Some(100));
}
