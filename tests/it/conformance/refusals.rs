//! What real servers refuse, and how (tests/recordings/09-refusals). Requests that lack a required field never reach
//! the world; the edge's own tests are about those.

use openmldb_ops::model::Endpoint;
use openmldb_ops::sandbox::Addresses;
use openmldb_ops::sandbox::scenario::{Scenario, Shape};
use openmldb_ops::wire::call::{NameserverAnswer, TabletAnswer};
use serde_json::Value;

use super::recorded::{Answer, Recorded, read};

/// Code and text of any answer.
fn verdict(answer: &Answer) -> (i32, Option<String>) {
    macro_rules! of {
        ($($kind:ident $answers:ident: $($optional:ident)* ; $($required:ident)*;)*) => {
            match answer {
                $(
                    $(Answer::$kind($answers::$optional(answer)) => (answer.code(), answer.msg.clone()),)*
                    $(Answer::$kind($answers::$required(answer)) => (answer.code, answer.msg.clone()),)*
                )*
            }
        };
    }
    of! {
        Nameserver NameserverAnswer: ShowTablet ShowDatabase ShowOpStatus ShowReplicaCluster GetTablePartition;
            ShowTable ConfGet ConfSet CancelOp DeleteOp ChangeLeader RecoverTable UpdateTableAliveStatus OfflineEndpoint
            RecoverEndpoint Migrate AddReplicaNs DelReplicaNs SetTablePartition;
        Tablet TabletAnswer: Put LoadTable DropTable GetTableStatus GetTableFollower AppendEntries AddReplica DelReplica
            ChangeRole MakeSnapshot PauseSnapshot RecoverSnapshot SendSnapshot DeleteBinlog GetTaskStatus DeleteOpTask
            CancelOp GetTableSchema GetTermPair GetManifest CheckFile Traverse
            CreateAggregator; ;
    }
}

/// In the recording `audit` lies on the second tablet, in the sandbox on the first.
fn relocate(call: &mut Recorded) {
    let swap = |endpoint: &str| match endpoint {
        "127.0.0.1:11921" => "127.0.0.1:11922".to_owned(),
        "127.0.0.1:11922" => "127.0.0.1:11921".to_owned(),
        other => other.to_owned(),
    };
    if call.request.get("name").and_then(Value::as_str) == Some("audit")
        && let Some(Value::String(endpoint)) = call.request.get_mut("endpoint")
    {
        *endpoint = swap(endpoint);
    }
    if call.request.get("tid").and_then(Value::as_i64) == Some(9) {
        call.endpoint = swap(&call.endpoint);
    }
}

#[test]
fn every_refusal_is_the_recorded_one() {
    let mut world = Scenario::Healthy.bring_about(&Shape::default(), &Addresses::recorded(2, 3)).unwrap();
    assert_eq!(world.leader(), Some(Endpoint::from("127.0.0.1:8527")));
    let mut wrong = Vec::new();
    let mut asked = 0;
    for mut call in read::<Vec<Recorded>>("09-refusals/answers.json") {
        if call.grpc_status.is_some() {
            continue;
        }
        asked += 1;
        relocate(&mut call);
        let (code, msg) = verdict(&call.replay(&mut world));
        let recorded = &call.response;
        let expected = (
            recorded["code"].as_i64().unwrap_or_default(),
            recorded.get("msg").and_then(Value::as_str).map(str::to_owned),
        );
        if (i64::from(code), &msg) != (expected.0, &expected.1) {
            wrong.push(format!(
                "{} ({}) {}: {code} {msg:?}, real: {expected:?}",
                call.method, call.condition, call.request
            ));
        }
    }
    assert!(asked > 60, "only {asked} calls in the recording");
    assert!(wrong.is_empty(), "{} of {asked} differ:\n{}", wrong.len(), wrong.join("\n"));
}
