//! Required fields: prost reads a missing one as its default, OpenMLDB refuses the whole request
//! (docs/openmldb/clients.md#required-fields).

use Kind::{Message, Plain};

/// What hides behind a required field.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Plain,
    Message(&'static [Required]),
}

/// A required field's number, and the required fields inside it.
type Required = (u32, Kind);

const PAIR: &[Required] = &[(1, Plain), (2, Plain)];

/// Request types with required fields, by the path of the call: the message's full name, and its fields.
fn of_path(path: &str) -> Option<(&'static str, &'static [Required])> {
    const ONE: &[Required] = &[(1, Plain)];
    const TWO: &[Required] = &[(1, Plain), (2, Plain)];
    const THREE: &[Required] = &[(1, Plain), (2, Plain), (3, Plain)];
    Some(match path {
        "/openmldb.nameserver.NameServer/ConfSet" => ("openmldb.nameserver.ConfSetRequest", &[(1, Message(PAIR))]),
        "/openmldb.nameserver.NameServer/ChangeLeader" => ("openmldb.nameserver.ChangeLeaderRequest", TWO),
        "/openmldb.nameserver.NameServer/OfflineEndpoint" => ("openmldb.nameserver.OfflineEndpointRequest", ONE),
        "/openmldb.nameserver.NameServer/RecoverEndpoint" => ("openmldb.nameserver.RecoverEndpointRequest", ONE),
        "/openmldb.nameserver.NameServer/RecoverTable" => ("openmldb.nameserver.RecoverTableRequest", THREE),
        "/openmldb.nameserver.NameServer/AddReplicaNS" => ("openmldb.nameserver.AddReplicaNSRequest", THREE),
        "/openmldb.nameserver.NameServer/DelReplicaNS" => ("openmldb.nameserver.DelReplicaNSRequest", THREE),
        "/openmldb.nameserver.NameServer/Migrate" => {
            ("openmldb.nameserver.MigrateRequest", &[(1, Plain), (2, Plain), (4, Plain)])
        }
        "/openmldb.api.TabletServer/MakeSnapshot"
        | "/openmldb.api.TabletServer/PauseSnapshot"
        | "/openmldb.api.TabletServer/RecoverSnapshot"
        | "/openmldb.api.TabletServer/DeleteBinlog" => ("openmldb.api.GeneralRequest", TWO),
        "/openmldb.api.TabletServer/SendSnapshot" => ("openmldb.api.SendSnapshotRequest", THREE),
        _ => return None,
    })
}

/// Whether any request to this path has required fields.
pub fn has_any(path: &str) -> bool {
    of_path(path).is_some()
}

/// The full name of the request's message if `request` (the message on the wire) lacks one of its required fields or is
/// no message at all.
pub fn refused(path: &str, request: &[u8]) -> Option<&'static str> {
    let (name, fields) = of_path(path)?;
    (!is_complete(request, fields)).then_some(name)
}

fn is_complete(message: &[u8], required: &[Required]) -> bool {
    let Some(present) = fields(message) else { return false };
    required.iter().all(|(number, kind)| {
        present.iter().rfind(|(found, _)| found == number).is_some_and(|(_, content)| match kind {
            Plain => true,
            Message(inner) => is_complete(content, inner),
        })
    })
}

/// The fields of a message on the wire: number and content (the bytes of a length-delimited one, else nothing).
fn fields(mut message: &[u8]) -> Option<Vec<(u32, &[u8])>> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let content: &[u8] = match key & 7 {
            0 => varint(&mut message).map(|_| &[][..])?,
            1 => take(&mut message, 8).map(|_| &[][..])?,
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                take(&mut message, length)?
            }
            5 => take(&mut message, 4).map(|_| &[][..])?,
            _ => return None,
        };
        found.push((u32::try_from(key >> 3).ok()?, content));
    }
    Some(found)
}

fn take<'a>(from: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(taken)
}

fn varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *take(from, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use openmldb_wire::nameserver::{ConfSetRequest, Pair, RecoverTableRequest};

    const CONF_SET: &str = "/openmldb.nameserver.NameServer/ConfSet";
    const RECOVER: &str = "/openmldb.nameserver.NameServer/RecoverTable";

    #[test]
    fn a_complete_request_passes() {
        let conf = ConfSetRequest { conf: Pair { key: "auto_failover".into(), value: String::new() } };
        assert_eq!(refused(CONF_SET, &conf.encode_to_vec()), None);
        let recover = RecoverTableRequest { name: "t".into(), pid: 0, endpoint: "e".into(), db: None };
        assert_eq!(refused(RECOVER, &recover.encode_to_vec()), None);
    }

    #[test]
    fn what_lacks_a_required_field_is_refused_by_its_message_name() {
        assert_eq!(refused(CONF_SET, &[]), Some("openmldb.nameserver.ConfSetRequest"));
        assert_eq!(refused(CONF_SET, &[0x0a, 0]), Some("openmldb.nameserver.ConfSetRequest"));
        assert_eq!(refused(RECOVER, &[0x0a, 1, b't']), Some("openmldb.nameserver.RecoverTableRequest"));
        assert_eq!(refused(RECOVER, &[0xff]), Some("openmldb.nameserver.RecoverTableRequest"));
    }

    /// The list above against the contract itself: every `required` field of a request that is a call's own is listed.
    #[test]
    fn the_list_agrees_with_the_contract() {
        for (proto, package) in [
            (include_str!("../../../../proto/name_server.proto"), "openmldb.nameserver"),
            (include_str!("../../../../proto/tablet.proto"), "openmldb.api"),
        ] {
            let service = proto.split("service ").nth(1).unwrap_or_default();
            let service_name = service.split_whitespace().next().unwrap_or_default();
            for rpc in service.split("rpc ").skip(1) {
                let (method, rest) = rpc.split_once('(').unwrap_or_default();
                let request = rest.split(')').next().unwrap_or_default();
                let body = proto.split(&format!("message {request} {{")).nth(1).unwrap_or_default();
                let body = body.split('}').next().unwrap_or_default();
                let wanted: Vec<u32> = body
                    .lines()
                    .filter(|line| line.trim().starts_with("required"))
                    .filter_map(|line| line.split('=').nth(1)?.trim().trim_end_matches(';').parse().ok())
                    .collect();
                let path = format!("/{package}.{service_name}/{method}");
                let listed = of_path(&path);
                let numbers: Vec<u32> =
                    listed.map(|(_, fields)| fields.iter().map(|(number, _)| *number).collect()).unwrap_or_default();
                assert_eq!(numbers, wanted, "{path}");
                if let Some((name, _)) = listed {
                    assert_eq!(name, format!("{package}.{request}"));
                }
            }
        }
    }
}
