//! LoadTable with the columns that the nameserver knows, and what a tablet's files say of a replica.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::cluster_tests::{PARTITION, Scripted, cluster, deadline, loaded};
use super::{CallErrorKind, Outcome};
use openmldb_model::{Action, Directory, StorageMode, TableName};
use openmldb_wire::call::{NameserverAnswer, TabletAnswer, TabletCall};
use openmldb_wire::{api, common, nameserver};

fn load() -> Action {
    let table = TableName { db: "shop".into(), table: "orders".into() };
    Action::LoadWithSchema {
        endpoint: "t1:1".into(),
        table,
        partition: PARTITION,
        seg_cnt: 8,
        storage: StorageMode::Hdd,
    }
}

/// ShowTable's answer: the table under that number.
fn shows(code: i32, tid: u32) -> NameserverAnswer {
    let column = common::ColumnDesc { name: "id".to_owned(), ..Default::default() };
    let table = nameserver::TableInfo { tid: Some(tid), column_desc: vec![column], ..Default::default() };
    NameserverAnswer::ShowTable(nameserver::ShowTableResponse { table_info: vec![table], code, ..Default::default() })
}

#[tokio::test(start_paused = true)]
async fn the_columns_are_those_of_the_table_of_that_number() {
    let tablet = |_, call: TabletCall| {
        let TabletCall::LoadTable(load) = call else { panic!("nobody expected {}", call.name()) };
        let meta = load.table_meta.unwrap();
        assert_eq!((meta.tid, meta.column_desc.len()), (Some(7), 1));
        Ok(loaded(0))
    };
    let (_, cluster) = cluster(Scripted {
        nameserver: Box::new(|_, _| Ok(shows(0, PARTITION.tid.0))),
        tablet: Box::new(tablet),
        ..Scripted::new()
    });
    cluster.act(&load()).await.unwrap();
}

/// A disk table that may have been told must not be told again, and a refusal is an answer about the replica: neither may be made of
/// what the nameserver says.
#[tokio::test(start_paused = true)]
async fn without_the_columns_the_tablet_is_certainly_not_told() {
    let answers: [fn() -> Result<NameserverAnswer, CallErrorKind>; 3] =
        [|| Ok(shows(0, 8)), || Ok(shows(111, PARTITION.tid.0)), || Err(deadline())];
    for answer in answers {
        // A tablet that is called panics.
        let (_, cluster) = cluster(Scripted { nameserver: Box::new(move |_, _| answer()), ..Scripted::new() });
        let error = cluster.act(&load()).await.unwrap_err();
        assert_eq!((error.outcome(), error.code()), (Outcome::NotApplied, None), "{error}");
        assert!(error.to_string().starts_with("tablet t1:1 was not asked for LoadTable"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_there_is_to_load_is_told_by_the_files_that_are_there() {
    let says = async |storage, description: &'static str, files: &'static [&str]| {
        let tablet = move |_, call: TabletCall| {
            let TabletCall::CheckFile(check) = call else { panic!("nobody expected {}", call.name()) };
            let msg = match check.file() {
                "table_meta.txt" => description,
                file if files.contains(&file) => "check size failed",
                _ => "get size failed",
            };
            let code = if msg == "ok" { 0 } else { -1 };
            let answer = api::GeneralResponse { code: Some(code), msg: Some(msg.to_owned()), ..Default::default() };
            Ok(TabletAnswer::CheckFile(answer))
        };
        let (_, cluster) = cluster(Scripted { tablet: Box::new(tablet), ..Scripted::new() });
        cluster.directory(&"t1:1".into(), PARTITION, storage).await.unwrap()
    };
    let (memory, disk) = (StorageMode::Memory, StorageMode::Hdd);
    let (missing, empty, written) = ("get size failed", "ok", "check size failed");
    for files in [&["MANIFEST"][..], &["../binlog/00000000.log"]] {
        assert_eq!(says(disk, written, files).await, Directory::InPlace);
        assert_eq!(says(disk, empty, files).await, Directory::Undescribed);
        assert_eq!(says(disk, missing, files).await, Directory::Undescribed);
        assert_eq!(says(memory, missing, files).await, Directory::InPlace, "LoadTable tells");
    }
    for storage in [memory, disk] {
        assert_eq!(says(storage, written, &[]).await, Directory::Bare);
        assert_eq!(says(storage, missing, &[]).await, Directory::Missing);
        assert_eq!(says(storage, empty, &[]).await, Directory::Undescribed, "it was one once");
    }
}
