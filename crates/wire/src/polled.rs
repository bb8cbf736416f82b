//! What ShowTable says beside the metadata: what the nameserver last polled of each replica, and how tables keep their rows.

use openmldb_model::{Compression, Pid, Polled, TableName, Ttl};

use super::decode::{Garbage, each, lets_rows_expire, text};
use super::{common, nameserver, r#type};

/// ShowTable: what the nameserver last polled of each replica.
///
/// # Errors
/// The first field that makes no sense.
pub fn polled(answer: &nameserver::ShowTableResponse) -> Result<Vec<Polled>, Garbage> {
    let tables = each("table_info", &answer.table_info, |info| {
        let name = TableName { db: info.db().to_owned(), table: text("name", info.name.as_deref())?.to_owned() };
        let mut ttl: Vec<Ttl> = Vec::new();
        for rule in info.column_key.iter().filter_map(expires) {
            if !ttl.contains(&rule) {
                ttl.push(rule);
            }
        }
        let compression = match info.compress_type() {
            r#type::CompressType::KNoCompress => Compression::None,
            r#type::CompressType::KSnappy => Compression::Snappy,
        };
        let metas =
            info.table_partition.iter().flat_map(|found| found.partition_meta.iter().map(|meta| (found.pid, meta)));
        let of = |(pid, meta): (u32, &nameserver::PartitionMeta)| Polled {
            table: name.clone(),
            pid: Pid(pid),
            endpoint: meta.endpoint.as_str().into(),
            rows: meta.record_cnt,
            memory_bytes: meta.record_byte_size,
            disk_bytes: meta.diskused,
            ttl: ttl.clone(),
            compression,
        };
        Ok(metas.map(of).collect::<Vec<_>>())
    })?;
    Ok(tables.into_iter().flatten().collect())
}

/// What lets the rows of an index expire; none if nothing does.
fn expires(key: &common::ColumnKey) -> Option<Ttl> {
    use r#type::TtlType::{KAbsAndLat, KAbsOrLat, KAbsoluteTime, KLatestTime, KRelativeTime};
    let ttl = key.ttl.as_ref().filter(|_| lets_rows_expire(key))?;
    let (minutes, rows) = (ttl.abs_ttl(), ttl.lat_ttl());
    Some(match ttl.ttl_type() {
        KAbsoluteTime | KRelativeTime => Ttl::Age(minutes),
        KLatestTime => Ttl::Newest(rows),
        KAbsAndLat => Ttl::Both(minutes, rows),
        KAbsOrLat => Ttl::Either(minutes, rows),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn table(column_key: Vec<common::ColumnKey>) -> nameserver::TableInfo {
        let seen = nameserver::PartitionMeta {
            endpoint: "t1:1".into(),
            record_cnt: Some(0),
            record_byte_size: Some(9),
            ..Default::default()
        };
        let unseen = nameserver::PartitionMeta { endpoint: "t2:1".into(), ..Default::default() };
        nameserver::TableInfo {
            name: Some("orders".into()),
            table_partition: vec![nameserver::TablePartition {
                partition_meta: vec![seen, unseen],
                ..Default::default()
            }],
            column_key,
            ..Default::default()
        }
    }

    fn read(table: nameserver::TableInfo) -> Vec<Polled> {
        polled(&nameserver::ShowTableResponse { table_info: vec![table], ..Default::default() }).unwrap()
    }

    #[test]
    fn what_was_not_polled_is_unknown_and_not_0() {
        let read = read(table(Vec::new()));
        assert_eq!((read[0].rows, read[0].memory_bytes), (Some(0), Some(9)));
        assert_eq!((read[1].endpoint.as_str(), read[1].rows, read[1].disk_bytes), ("t2:1", None, None));
        assert_eq!((&read[0].ttl, read[0].compression), (&Vec::new(), Compression::None));
    }

    #[test]
    fn each_rule_that_lets_rows_expire_is_told_once() {
        use r#type::TtlType::{KAbsAndLat, KAbsOrLat, KAbsoluteTime, KLatestTime};
        let key = |kind: r#type::TtlType, minutes, rows| common::ColumnKey {
            ttl: Some(common::TtlSt { ttl_type: Some(kind.into()), abs_ttl: Some(minutes), lat_ttl: Some(rows) }),
            ..Default::default()
        };
        let keys = [
            key(KAbsoluteTime, 10, 0),
            key(KAbsoluteTime, 10, 0),
            key(KAbsoluteTime, 0, 0),
            key(KLatestTime, 0, 3),
            key(KAbsAndLat, 10, 3),
            key(KAbsOrLat, 10, 3),
        ];
        let compress_type = Some(r#type::CompressType::KSnappy.into());
        let read = read(nameserver::TableInfo { compress_type, ..table(keys.into()) });
        let said: Vec<String> = read[0].ttl.iter().map(ToString::to_string).collect();
        assert_eq!(said, ["10min", "newest 3", "10min and newest 3", "10min or newest 3"]);
        assert_eq!(read[1].compression, Compression::Snappy);
    }
}
