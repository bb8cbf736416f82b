//! Metadata put together from what tablets that run have loaded: where ZooKeeper has lost everything and there is no backup. What is
//! not proven by what they say is left out or guessed, and said (docs/openmldb/metadata-in-zookeeper.md#what-tablets-know).

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Endpoint, MetadataTree, Offset, PartitionId, Pid, Role, Term, Tid, counted};
use crate::wire::api::TableMeta;
use crate::wire::nameserver::{PartitionMeta, TableInfo, TablePartition, TermPair};
use crate::wire::node;

use super::tables::OF_DATABASES;

/// One replica that a tablet has loaded, as it describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// Its tablet.
    pub endpoint: Endpoint,
    /// Which partition.
    pub partition: PartitionId,
    /// Its role.
    pub role: Role,
    /// The newest term that it knows of.
    pub term: Term,
    /// The end of its log.
    pub offset: Offset,
    /// Of a leader, how far those are that it replicates to.
    pub followers: Vec<(Endpoint, Offset)>,
    /// Its table.
    pub meta: TableMeta,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// The nodes.
    pub tree: MetadataTree,
    /// What is guessed, or missing, in sentences.
    pub remarks: Vec<String>,
    /// Tables that are left out: nobody can say how they are.
    pub left_out: Vec<String>,
}

/// Puts it together.
pub fn rebuild(replicas: &[Described]) -> Rebuilt {
    let mut of_table: BTreeMap<Tid, Vec<&Described>> = BTreeMap::new();
    replicas.iter().for_each(|replica| of_table.entry(replica.partition.tid).or_default().push(replica));
    let (mut tables, mut rebuilt) = (BTreeMap::new(), Rebuilt::default());
    for (tid, replicas) in &of_table {
        match table(*tid, replicas, &mut rebuilt.remarks) {
            Ok(table) => drop(tables.insert(*tid, table)),
            Err(why) => rebuilt.left_out.push(format!("table {tid}: {why}")),
        }
    }
    let tree = &mut rebuilt.tree;
    for empty in [
        "config",
        "data",
        "data/function",
        "db",
        "leader",
        "nodes",
        "notify",
        "op",
        "op/op_data",
        "table",
        OF_DATABASES,
    ] {
        tree.insert(empty, "");
    }
    let databases: BTreeSet<&str> = tables.values().map(TableInfo::db).collect();
    databases.iter().for_each(|db| tree.insert(format!("db/{db}"), ""));
    tables.iter().for_each(|(tid, table)| tree.insert(format!("{OF_DATABASES}/{tid}"), node::table_data(table)));
    let newest = replicas.iter().map(|replica| replica.term).max().unwrap_or(Term(1));
    let last = of_table.keys().last().copied().unwrap_or(Tid(1));
    tree.insert("table/table_index", last.to_string());
    tree.insert("table/term", newest.to_string());
    tree.insert("op/op_index", "0");
    tree.insert("table/notify", "1");
    tree.insert("notify/global_variable", "1");
    tree.insert("config/auto_failover", "false");
    rebuilt.remarks.extend([
        "auto_failover is restored as off: what it was is unknown".to_owned(),
        format!("the counters are those of what was seen (table {last}, term {newest}); what is not loaded may have larger ones"),
        "databases without tables, deployments (procedures), functions and operations exist only in ZooKeeper, and are \
         missing here".to_owned(),
    ]);
    rebuilt
}

/// What must be the same in all that replicas of a table say of it.
fn shape(meta: &TableMeta) -> TableMeta {
    TableMeta { pid: None, replicas: Vec::new(), mode: None, term: None, ..meta.clone() }
}

fn table(tid: Tid, replicas: &[&Described], remarks: &mut Vec<String>) -> Result<TableInfo, String> {
    let first = replicas.first().ok_or("no tablet has it")?;
    let meta = shape(&first.meta);
    if let Some(other) = replicas.iter().find(|replica| shape(&replica.meta) != meta) {
        return Err(format!("{} and {} describe it differently", first.endpoint, other.endpoint));
    }
    let name = match (meta.db(), meta.name()) {
        ("", name) => return Err(format!("{name} is from before there were databases")),
        (_, "") => return Err("it has no name".to_owned()),
        (db, name) => format!("{db}.{name}"),
    };
    let mut created: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for partition in &meta.table_partition {
        let endpoints = partition.partition_meta.iter().map(|replica| replica.endpoint());
        created.insert(partition.pid(), endpoints.collect());
    }
    if created.is_empty() {
        return Err(format!("{name} does not say how many partitions it has"));
    }
    if !created.keys().copied().eq(0..created.len() as u32) {
        return Err(format!("{name} was created with other partitions than those from 0 on"));
    }
    // Which name is whose address is in ZooKeeper alone, and each of its replicas would be there twice.
    if let Some(server) = created.values().flatten().find(|endpoint| !endpoint.contains(':')) {
        return Err(format!("{name} is on servers with names ({server}) whose addresses are unknown"));
    }
    let partitions: Vec<TablePartition> =
        created.iter().map(|(pid, endpoints)| partition(Pid(*pid), &name, replicas, endpoints, remarks)).collect();
    let most = partitions.iter().map(|partition| partition.partition_meta.len()).max().unwrap_or_default();
    Ok(TableInfo {
        name: meta.name.clone(),
        seg_cnt: meta.seg_cnt.and_then(|count| u32::try_from(count).ok()),
        tid: Some(tid.0),
        partition_num: u32::try_from(partitions.len()).ok(),
        replica_num: u32::try_from(most).ok(),
        compress_type: meta.compress_type,
        key_entry_max_height: meta.key_entry_max_height,
        column_desc: meta.column_desc.clone(),
        column_key: meta.column_key.clone(),
        added_column_desc: meta.added_column_desc.clone(),
        db: meta.db.clone(),
        schema_versions: meta.schema_versions.clone(),
        storage_mode: meta.storage_mode,
        base_table_tid: meta.base_table_tid,
        table_partition: partitions,
        ..TableInfo::default()
    })
}

/// A partition's replicas: those that are loaded, and, not alive, those that it was created with where nobody has it now.
fn partition(
    pid: Pid,
    name: &str,
    replicas: &[&Described],
    created: &[&str],
    remarks: &mut Vec<String>,
) -> TablePartition {
    let name = format!("{name}/{pid}");
    let loaded: Vec<&Described> = replicas.iter().copied().filter(|replica| replica.partition.pid == pid).collect();
    let leader = leader(&loaded);
    if leader.is_none() {
        let text = "no replica leads, or it is unclear which: none is flagged leader";
        remarks.push(format!("{name}: among {} {text}", counted(loaded.len(), "loaded replica")));
    }
    let meta = |endpoint: &str, is_leader, is_alive| PartitionMeta {
        endpoint: endpoint.to_owned(),
        is_leader,
        is_alive: Some(is_alive),
        ..PartitionMeta::default()
    };
    let mut metas: BTreeMap<&str, PartitionMeta> = BTreeMap::new();
    for replica in &loaded {
        let (endpoint, leads) = (replica.endpoint.as_str(), leader == Some(*replica));
        metas.insert(endpoint, meta(endpoint, leads, true));
    }
    for endpoint in created {
        metas.entry(endpoint).or_insert_with(|| {
            remarks.push(format!("{name}: created on {endpoint}, which does not have it loaded: flagged not alive"));
            meta(endpoint, false, false)
        });
    }
    let term_offset = match leader.filter(|leader| metas.len() == loaded.len() && have_one_log(leader, &loaded)) {
        Some(leader) => vec![TermPair { term: leader.term.0, offset: 0 }],
        None => {
            remarks.push(format!(
                "{name}: its replicas are not proven to hold one log, and only ZooKeeper knew when its terms began: it \
                 has no history of terms, and `recover` leaves it alone (no_term_history)"
            ));
            Vec::new()
        }
    };
    TablePartition {
        pid: pid.0,
        partition_meta: metas.into_values().collect(),
        term_offset,
        ..TablePartition::default()
    }
}

/// Who leads: of several the one of the newest term; none of two with one term.
fn leader<'a>(loaded: &[&'a Described]) -> Option<&'a Described> {
    let leading: Vec<&Described> = loaded.iter().copied().filter(|replica| replica.role == Role::Leader).collect();
    let newest = leading.iter().map(|replica| replica.term).max()?;
    let mut of_it = leading.into_iter().filter(|replica| replica.term == newest);
    let leader = of_it.next();
    leader.filter(|_| of_it.next().is_none())
}

/// Whether the leader replicates to every other replica, and each has all that it has and has heard of no later term: then all of them
/// hold the same log, and what its parts are of makes no difference between them.
fn have_one_log(leader: &Described, loaded: &[&Described]) -> bool {
    loaded.iter().filter(|replica| **replica != leader).all(|replica| {
        let heard = leader.followers.iter().find(|(endpoint, _)| *endpoint == replica.endpoint);
        let is_connected = heard.is_some_and(|(_, offset)| *offset == leader.offset);
        is_connected && replica.offset == leader.offset && replica.term <= leader.term && replica.role == Role::Follower
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::metadata::check;
    use crate::wire::common;

    /// `d.t`, number 7, created with one partition on `a:1` and `b:1`, the first one leading.
    fn described(endpoint: &str, role: Role, offset: u64) -> Described {
        let replica =
            |endpoint: &str| common::PartitionMeta { endpoint: Some(endpoint.to_owned()), ..Default::default() };
        let partition = common::TablePartition { pid: Some(0), partition_meta: ["a:1", "b:1"].map(replica).into() };
        let (name, db) = (Some("t".to_owned()), Some("d".to_owned()));
        Described {
            endpoint: endpoint.into(),
            partition: PartitionId { tid: Tid(7), pid: Pid(0) },
            role,
            term: Term(9),
            offset: Offset(offset),
            followers: if role == Role::Leader { vec![("b:1".into(), Offset(40))] } else { Vec::new() },
            meta: TableMeta { name, db, table_partition: vec![partition], ..TableMeta::default() },
        }
    }

    fn only(rebuilt: &Rebuilt) -> TablePartition {
        let table = node::table(rebuilt.tree.get("table/db_table_data/7").unwrap()).unwrap();
        table.table_partition[0].clone()
    }

    #[test]
    fn a_partition_whose_replicas_hold_one_log_is_as_it_was() {
        let rebuilt = rebuild(&[described("a:1", Role::Leader, 40), described("b:1", Role::Follower, 40)]);
        assert!(rebuilt.left_out.is_empty());
        let partition = only(&rebuilt);
        assert_eq!(partition.term_offset, [TermPair { term: 9, offset: 0 }]);
        let flags: Vec<(&str, bool)> =
            partition.partition_meta.iter().map(|meta| (meta.endpoint.as_str(), meta.is_leader)).collect();
        assert_eq!(flags, [("a:1", true), ("b:1", false)]);
        assert_eq!((rebuilt.tree.text("table/term"), rebuilt.tree.text("table/table_index")), (Some("9"), Some("7")));
        assert_eq!(check(&rebuilt.tree, &MetadataTree::default()), []);
    }

    #[test]
    fn what_is_not_proven_has_no_history_of_terms() {
        let (leader, follower) = (described("a:1", Role::Leader, 40), described("b:1", Role::Follower, 40));
        let behind = Described { offset: Offset(39), ..follower.clone() };
        let ahead = Described { term: Term(10), ..follower.clone() };
        let apart = Described { followers: Vec::new(), ..leader.clone() };
        let cases = [
            vec![leader.clone()],
            vec![follower.clone()],
            vec![leader.clone(), behind],
            vec![leader.clone(), ahead],
            vec![apart, follower.clone()],
            vec![leader.clone(), described("b:1", Role::Leader, 40)],
        ];
        for replicas in cases {
            let rebuilt = rebuild(&replicas);
            let partition = only(&rebuilt);
            assert!(partition.term_offset.is_empty(), "{replicas:?}");
            assert_eq!(partition.partition_meta.len(), 2, "nobody it was created with is forgotten");
            assert!(rebuilt.remarks.iter().any(|remark| remark.contains("no_term_history")));
        }
    }

    #[test]
    fn a_table_on_servers_that_go_by_names_is_left_out() {
        let by_names = |endpoint| {
            let mut replica = described(endpoint, Role::Follower, 40);
            let metas = replica.meta.table_partition.iter_mut().flat_map(|partition| &mut partition.partition_meta);
            metas.for_each(|meta| meta.endpoint = Some(format!("tb{}", &meta.endpoint()[..1])));
            replica
        };
        let rebuilt = rebuild(&[by_names("a:1"), by_names("b:1")]);
        assert!(rebuilt.tree.get("table/db_table_data/7").is_none());
        assert!(rebuilt.left_out[0].contains("is on servers with names (tba)"), "{:?}", rebuilt.left_out);
    }

    #[test]
    fn of_several_that_lead_the_one_of_the_newest_term_is_flagged_and_none_of_two_with_one_term() {
        let leads = |endpoint: &str, term| Described { term: Term(term), ..described(endpoint, Role::Leader, 40) };
        let flagged = |replicas: &[Described]| -> Vec<String> {
            let metas = only(&rebuild(replicas)).partition_meta;
            metas.into_iter().filter(|meta| meta.is_leader).map(|meta| meta.endpoint).collect()
        };
        assert_eq!(flagged(&[leads("a:1", 8), leads("b:1", 9)]), ["b:1"]);
        assert!(flagged(&[leads("a:1", 9), leads("b:1", 9)]).is_empty());
        let newest = Described { followers: vec![("a:1".into(), Offset(40))], ..leads("b:1", 9) };
        let history = only(&rebuild(&[leads("a:1", 8), newest])).term_offset;
        assert!(history.is_empty(), "the old one may have taken writes that the new one has not");
    }

    #[test]
    fn a_table_that_tablets_describe_differently_is_left_out() {
        let mut other = described("b:1", Role::Follower, 40);
        other.meta.column_desc = vec![common::ColumnDesc { name: "new".to_owned(), ..Default::default() }];
        let rebuilt = rebuild(&[described("a:1", Role::Leader, 40), other]);
        assert!(rebuilt.tree.get("table/db_table_data/7").is_none());
        assert_eq!(rebuilt.left_out, ["table 7: a:1 and b:1 describe it differently"]);
    }
}
