//! Where two plans differ, field by field.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::{KeptPartition, KeptPlan};

/// A field that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which: a partition and the way to the field in its facts.
    pub field: String,
    /// In the plan; null if it was not there.
    pub planned: Value,
    /// Now; null if it is not there.
    pub now: Value,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} in the plan, {} now", self.field, self.planned, self.now)
    }
}

impl KeptPlan {
    /// What is not as it was when this plan was made, compared with one made `now`. Sentences do not count.
    pub fn differences(&self, now: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut compare = |field: &str, planned: Value, now: Value| differ(field, &planned, &now, &mut found);
        compare("cluster", value(&self.cluster), value(&now.cluster));
        compare("program", value(&self.program), value(&now.program));
        compare("auto_failover", value(&self.auto_failover), value(&now.auto_failover));
        compare("playbook", value(&self.playbook), value(&now.playbook));
        for planned in &self.partitions {
            let name = format!("{}/{}", planned.table, planned.partition.pid);
            let mut same = now.partitions.iter().filter(|other| other.partition == planned.partition);
            match same.next() {
                Some(now) => compare(&name, essence(planned), essence(now)),
                None => compare(&name, value("to bring back"), value("healthy, or gone")),
            }
        }
        for other in &now.partitions {
            if !self.partitions.iter().any(|planned| planned.partition == other.partition) {
                let name = format!("{}/{}", other.table, other.partition.pid);
                compare(&name, Value::Null, value("to bring back"));
            }
        }
        found
    }
}

fn value(of: &(impl Serialize + ?Sized)) -> Value {
    serde_json::to_value(of).unwrap_or(Value::Null)
}

/// A partition without its sentences.
fn essence(planned: &KeptPartition) -> Value {
    let calls = |steps: &[super::KeptStep]| value(&steps.iter().map(|step| &step.action).collect::<Vec<_>>());
    serde_json::json!({
        "facts": value(&planned.facts),
        "leader": value(&planned.leader),
        "steps": calls(&planned.steps),
        "blocked": value(&planned.blocked.as_ref().map(|blocked| blocked.reason)),
        "losses": value(&planned.losses),
        "if_accepted": calls(&planned.if_accepted),
    })
}

/// Walks both values side by side.
fn differ(field: &str, planned: &Value, now: &Value, found: &mut Vec<Difference>) {
    match (planned, now) {
        (Value::Object(before), Value::Object(after)) => {
            let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for key in keys {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
                differ(&format!("{field} {key}"), &of(before), &of(after), found);
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (nth, (before, after)) in before.iter().zip(after).enumerate() {
                differ(&format!("{field} {nth}"), before, after, found);
            }
        }
        _ if planned == now => {}
        _ => found.push(Difference { field: field.to_owned(), planned: planned.clone(), now: now.clone() }),
    }
}
