//! A history of terms put back from a backup, against a real ZooKeeper: what `partition set` promises.

use std::path::Path;

use openmldb_ops::metadata;
use openmldb_ops::model::MetadataTree;
use openmldb_ops::sandbox::scenario::Scenario;
use openmldb_ops::sandbox::{Options, ZooKeeperPath};
use openmldb_ops::wire::nameserver::{TableInfo, TermPair};
use prost::Message as _;
use serde_json::Value;

use crate::support::harness::Harness;
use crate::support::process::{Home, Ran};
use crate::support::zookeeper::{ZooKeeperServer, needs_zookeeper};

const ROOT: &str = "/terms";
const NAME: &str = "shop.orders/0";

struct Place {
    server: ZooKeeperServer,
    home: Home,
}

impl Place {
    async fn start() -> Self {
        Self { server: ZooKeeperServer::start().await, home: Home::new() }
    }

    async fn cluster(&self) -> Harness {
        let at = ZooKeeperPath { servers: self.server.address(), root: ROOT.to_owned(), digest: None };
        Harness::start_with(Scenario::Healthy, &Options { zookeeper: Some(at), ..Options::default() }).await
    }

    fn run(&self, command: &[&str]) -> Ran {
        self.home.run(&[command, &["--zk-cluster", &self.server.address(), "--zk-root-path", ROOT]].concat())
    }

    fn json(&self, command: &[&str]) -> Ran {
        self.run(&[command, &["--output", "json"]].concat())
    }

    /// `partition set` of the partition, from that file.
    fn set(&self, file: &str, more: &[&str]) -> Ran {
        self.json(&[&["partition", "set", NAME, "--terms-from", file], more].concat())
    }

    fn terms(&self) -> Value {
        self.json(&["partition", "show", NAME]).expect(0).events().pop().unwrap()["terms"].clone()
    }

    async fn old_terms(&self) -> Option<String> {
        let data = self.server.client().await.get_data(&format!("{ROOT}/openmldb-ops/old-terms")).await.ok()?;
        Some(String::from_utf8(data.0).unwrap())
    }

    /// A backup in which the table is another one.
    fn changed(&self, file: &str, called: &str, change: impl FnOnce(&mut TableInfo)) -> String {
        let mut backup = metadata::read(file.as_ref()).unwrap();
        let (path, mut table) = orders(&backup.tree);
        change(&mut table);
        backup.tree.insert(path, table.encode_to_vec());
        let file = self.home.file(called);
        metadata::save(&backup, file.as_ref()).unwrap();
        file
    }
}

fn orders(tree: &MetadataTree) -> (String, TableInfo) {
    let tables = tree.children("table/db_table_data").map(|(tid, data)| (tid, TableInfo::decode(data).unwrap()));
    let named = tables.map(|(tid, table)| (format!("table/db_table_data/{tid}"), table));
    named.into_iter().find(|(_, table)| table.name() == "orders" && table.db() == "shop").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_a_history_gets_it_from_a_backup_and_is_recovered() {
    needs_zookeeper!();
    let place = Place::start().await;
    let harness = place.cluster().await;
    let file = place.home.file("metadata.json");
    place.run(&["metadata", "backup", "-o", &file]).expect(0);
    let before = place.terms();
    harness.world(|world| world.kill_everything());
    harness.until("every session has ended", |world| world.registered_tablets().is_empty()).await;
    let client = place.server.client().await;
    let (path, mut table) = orders(&metadata::read(file.as_ref()).unwrap().tree);
    table.table_partition[0].term_offset.clear();
    client.set_data(&format!("{ROOT}/{path}"), &table.encode_to_vec(), None).await.unwrap();
    harness.world(|world| world.start_everything());
    harness.until("a nameserver leads", |world| world.leader().is_some()).await;
    let left = place.json(&["recover", "--all"]).expect(4).summary();
    assert_eq!(left["blocked"][0]["reason"], "no_term_history", "{left}");
    let hint = left["blocked"][0]["hint"].as_str().unwrap();
    assert!(hint.contains("partition set"), "{hint}");

    place.run(&["failover", "set", "off"]).expect(0);
    let dry = place.set(&file, &["--dry-run"]).expect(0).events().pop().unwrap();
    assert_eq!((&dry["outcome"], &dry["step"]), (&"not_sent".into(), &"terms_set".into()));
    let remarks = dry["remarks"].to_string();
    assert!(
        remarks.contains("shop.orders/0 before: no terms") && remarks.contains("shop.orders/0 after: terms 1 from "),
        "{remarks}"
    );
    assert_eq!((place.terms(), place.old_terms().await), (Value::Array(Vec::new()), None), "a dry run writes nothing");

    let done = place.set(&file, &[]).expect(0).events().pop().unwrap();
    assert_eq!(done["outcome"], "reached", "{done}");
    assert_eq!(place.terms(), before);
    assert!(place.old_terms().await.unwrap().contains("metadata.json"), "who recovers it has to know");
    assert_eq!(place.set(&file, &[]).expect(0).events().pop().unwrap()["outcome"], "already");
    let records = place.home.run(&["record", "list", "--output", "json"]).expect(0).events();
    let named = |run: &Value| {
        run["name"].as_str().is_some_and(|name| name.starts_with("partition set shop.orders/0 --terms-from "))
    };
    assert!(records.iter().any(named), "{records:?}");

    let elected = place.run(&["leader", "change", NAME]).expect(5);
    assert!(elected.stderr.contains("is from a backup and may lack elections"), "{}", elected.stderr);
    place.run(&["failover", "set", "on"]).expect(0);
    let recovered = place.json(&["recover", "--all"]).expect(0);
    assert!(recovered.stdout.contains("histories of terms are from a backup"), "{}", recovered.stdout);
    assert_eq!(recovered.summary()["verdict"], "recovered");
    assert_eq!(place.old_terms().await, None, "each replica was seen whole");
    let elected = place.run(&["leader", "change", NAME]).expect(5);
    assert!(!elected.stderr.contains("backup"), "{}", elected.stderr);
    // Each recovery has saved what there was before it: by its id, or by its record's file.
    let saved = place.home.records();
    let saved: Vec<_> = saved.iter().filter(|record| record.with_extension("metadata.json").exists()).collect();
    let id = |record: &Path| record.file_stem().unwrap().to_str().unwrap().trim_start_matches("run-").to_owned();
    let [first, last] = &saved[..] else { panic!("{saved:?}") };
    for named in [id(last), last.to_str().unwrap().to_owned()] {
        assert_eq!(place.set(&named, &[]).expect(0).events().pop().unwrap()["outcome"], "already");
    }
    let without = place.set(&id(first), &[]).expect(2);
    assert!(without.stderr.contains("has no terms of shop.orders/0 either"), "{}", without.stderr);
    let unknown = place.set("4711-0", &[]).expect(2);
    assert!(unknown.stderr.contains("cannot read the backup"), "{}", unknown.stderr);
    assert_eq!(place.json(&["status", "--deep", "--rows"]).expect(0).summary()["verdict"], "healthy");
    let rows = harness.settle();
    assert_eq!((rows.rows_after, rows.partitions_with_two_alive_leaders), (rows.rows_expected, 0));
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_is_another_ones_or_cannot_be_is_refused_and_nothing_is_sent() {
    needs_zookeeper!();
    let place = Place::start().await;
    let harness = place.cluster().await;
    let file = place.home.file("metadata.json");
    place.run(&["metadata", "backup", "-o", &file]).expect(0);
    place.run(&["failover", "set", "off"]).expect(0);
    let before = place.terms();
    let refused = |file: &str, code: i32, why: &str| {
        let ran = place.set(file, &[]).expect(code);
        assert!(ran.stderr.contains(why), "{why}: {}", ran.stderr);
    };
    let with = |called: &str, terms: &[(u64, u64)]| {
        let terms = terms.iter().map(|(term, offset)| TermPair { term: *term, offset: *offset }).collect();
        place.changed(&file, called, |table| table.table_partition[0].term_offset = terms)
    };
    refused(&place.home.file("nothing.json"), 2, "cannot read the backup");
    refused(&with("none.json", &[]), 2, "has no terms of shop.orders/0 either");
    refused(&with("falling.json", &[(3, 0), (1, 9)]), 2, "do not ascend");
    refused(
        &with("beyond.json", &[(1, 0), (900_001, 9)]),
        5,
        "term 900001, which is beyond the cluster's counter of terms",
    );
    refused(&with("other.json", &[(1, 5)]), 5, "a history of terms is never shortened or contradicted");
    let other = place.changed(&file, "tid.json", |table| table.tid = Some(4711));
    refused(&other, 5, "shop.orders is another table");
    let fewer = place.changed(&file, "fewer.json", |table| table.table_partition.truncate(1));
    refused(&fewer, 5, "shop.orders has 1 partition in");
    let text = place.home.read("metadata.json").replacen("\"taken_at_ms\": 1", "\"taken_at_ms\": 2", 1);
    refused(&place.home.write("damaged.json", &text), 5, "was changed after it was written");
    let ran =
        place.home.run(&["partition", "set", NAME, "--terms-from", &file, "--nameserver", "127.0.0.1:9"]).expect(2);
    assert!(ran.stderr.contains("in its ZooKeeper"), "{}", ran.stderr);
    assert_eq!((place.terms(), place.old_terms().await), (before, None));
    harness.stop().await;
}
