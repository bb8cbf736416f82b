//! What a replica is like beside the others: in words, and which is the longest.

use std::cmp::Reverse;

use openmldb_model::{Endpoint, Offset, counted};

use super::suspect::suspicion;
use super::view::{Data, ReplicaView, View};

pub(super) fn has_data(replica: &ReplicaView) -> bool {
    replica.offset() > Some(Offset(0))
}

/// The order in which replicas that are otherwise equal are preferred: more rows, alive before, smaller endpoint.
pub(super) fn preference(r: &ReplicaView) -> (Option<Offset>, u64, bool, Reverse<&Endpoint>) {
    (r.offset(), r.rows(), r.memory.alive_before, Reverse(&r.endpoint))
}

pub(super) fn longest<'a>(replicas: impl Iterator<Item = &'a ReplicaView>) -> Option<&'a ReplicaView> {
    replicas.max_by(|a, b| preference(a).cmp(&preference(b)))
}

pub(super) fn at_offset(replica: &ReplicaView) -> String {
    match replica.offset() {
        Some(offset) => format!("offset {offset}, {}", counted(replica.rows(), "row")),
        None => "not loaded".to_owned(),
    }
}

/// What is wrong with a replica that cannot lead, in a few words.
pub(super) fn condition(view: &View, replica: &ReplicaView) -> String {
    if let Some(suspicion) = suspicion(view, replica) {
        return format!("is not complete ({suspicion})");
    }
    match &replica.data {
        Data::OutOfReach(error) => format!("does not answer ({error})"),
        Data::Loading(_) => "is still loading".to_owned(),
        Data::Absent => match &replica.memory.load {
            super::Load::Refused(error) if replica.was_refused_in_place() => format!("refused to load it ({error})"),
            super::Load::Refused(error) => format!("has nothing in place ({error})"),
            super::Load::Vanished if replica.vanished_in_place() => {
                "vanished while loading, and its directory may be in place".to_owned()
            }
            super::Load::Vanished => "vanished while loading".to_owned(),
            _ if replica.has_no_directory() => "has no directory for it".to_owned(),
            super::Load::NeverAppeared => "never appeared after LoadTable".to_owned(),
            super::Load::Interrupted | super::Load::InDoubt => {
                "did not appear after its tablet stopped answering for a while".to_owned()
            }
            _ => "is not loaded".to_owned(),
        },
        Data::Loaded(_) if has_data(replica) => at_offset(replica),
        Data::Loaded(_) => "is empty".to_owned(),
    }
}
