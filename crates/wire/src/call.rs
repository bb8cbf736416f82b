//! Every RPC we use, named once. The macros below list the methods of both services; the enums, the sockets' dispatch
//! (`cluster::grpc`) and the sandbox's services are all made from those two lists, so they cannot drift apart.

use prost::bytes::Bytes;
use prost::{DecodeError, Message};

use super::{api, nameserver};

/// What a call does to a cluster. Read-only commands send nothing but [`Effect::Read`]
/// (docs/design/calls.md#reading-changes-nothing).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Changes nothing.
    Read,
    /// Changes metadata, data or what a server is doing.
    Mutate,
}

/// Hands the nameserver's methods to the macro `$then`: `Variant snake_name Request => Response Effect;` per method.
#[macro_export]
#[doc(hidden)]
macro_rules! nameserver_methods {
    ($then:ident) => {
        $then! { NameserverCall NameserverAnswer nameserver "openmldb.nameserver.NameServer";
            ShowTable show_table ShowTableRequest => ShowTableResponse Read;
            ShowTablet show_tablet ShowTabletRequest => ShowTabletResponse Read;
            ShowDatabase show_database GeneralRequest => ShowDatabaseResponse Read;
            ShowOpStatus show_op_status ShowOpStatusRequest => ShowOpStatusResponse Read;
            ConfGet conf_get ConfGetRequest => ConfGetResponse Read;
            ConfSet conf_set ConfSetRequest => GeneralResponse Mutate;
            CancelOp cancel_op CancelOpRequest => GeneralResponse Mutate;
            DeleteOp delete_op DeleteOpRequest => GeneralResponse Mutate;
            ChangeLeader change_leader ChangeLeaderRequest => GeneralResponse Mutate;
            RecoverTable recover_table RecoverTableRequest => GeneralResponse Mutate;
            UpdateTableAliveStatus update_table_alive_status UpdateTableAliveRequest => GeneralResponse Mutate;
            OfflineEndpoint offline_endpoint OfflineEndpointRequest => GeneralResponse Mutate;
            RecoverEndpoint recover_endpoint RecoverEndpointRequest => GeneralResponse Mutate;
            Migrate migrate MigrateRequest => GeneralResponse Mutate;
            AddReplicaNs add_replica_ns AddReplicaNsRequest => GeneralResponse Mutate;
            DelReplicaNs del_replica_ns DelReplicaNsRequest => GeneralResponse Mutate;
            ShowReplicaCluster show_replica_cluster GeneralRequest => ShowReplicaClusterResponse Read;
            GetTablePartition get_table_partition GetTablePartitionRequest => GetTablePartitionResponse Read;
            SetTablePartition set_table_partition SetTablePartitionRequest => GeneralResponse Mutate;
        }
    };
}

/// Hands the tablet's methods to the macro `$then`, as [`nameserver_methods`] does.
#[macro_export]
#[doc(hidden)]
macro_rules! tablet_methods {
    ($then:ident) => {
        $then! { TabletCall TabletAnswer api "openmldb.api.TabletServer";
            Put put PutRequest => PutResponse Mutate;
            LoadTable load_table LoadTableRequest => GeneralResponse Mutate;
            DropTable drop_table DropTableRequest => DropTableResponse Mutate;
            GetTableStatus get_table_status GetTableStatusRequest => GetTableStatusResponse Read;
            GetTableFollower get_table_follower GetTableFollowerRequest => GetTableFollowerResponse Read;
            AppendEntries append_entries AppendEntriesRequest => AppendEntriesResponse Mutate;
            AddReplica add_replica ReplicaRequest => AddReplicaResponse Mutate;
            DelReplica del_replica ReplicaRequest => GeneralResponse Mutate;
            ChangeRole change_role ChangeRoleRequest => ChangeRoleResponse Mutate;
            MakeSnapshot make_snapshot GeneralRequest => GeneralResponse Mutate;
            PauseSnapshot pause_snapshot GeneralRequest => GeneralResponse Mutate;
            RecoverSnapshot recover_snapshot GeneralRequest => GeneralResponse Mutate;
            SendSnapshot send_snapshot SendSnapshotRequest => GeneralResponse Mutate;
            DeleteBinlog delete_binlog GeneralRequest => GeneralResponse Mutate;
            GetTaskStatus get_task_status TaskStatusRequest => TaskStatusResponse Read;
            DeleteOpTask delete_op_task DeleteTaskRequest => GeneralResponse Mutate;
            CancelOp cancel_op CancelOpRequest => GeneralResponse Mutate;
            GetTableSchema get_table_schema GetTableSchemaRequest => GetTableSchemaResponse Read;
            GetTermPair get_term_pair GetTermPairRequest => GetTermPairResponse Read;
            GetManifest get_manifest GetManifestRequest => GetManifestResponse Read;
            CheckFile check_file CheckFileRequest => GeneralResponse Read;
            Traverse traverse TraverseRequest => TraverseResponse Read;
            CreateAggregator create_aggregator CreateAggregatorRequest => CreateAggregatorResponse Mutate;
        }
    };
}

/// A method's name in the contract, which prost spells like other names.
macro_rules! in_contract {
    (AddReplicaNs) => {
        "AddReplicaNS"
    };
    (CancelOp) => {
        "CancelOP"
    };
    (DelReplicaNs) => {
        "DelReplicaNS"
    };
    (DeleteOp) => {
        "DeleteOP"
    };
    (DeleteOpTask) => {
        "DeleteOPTask"
    };
    (ShowOpStatus) => {
        "ShowOPStatus"
    };
    ($method:ident) => {
        stringify!($method)
    };
}

macro_rules! declare_calls {
    ($call:ident $answer:ident $messages:ident $service:literal;
     $($variant:ident $snake:ident $request:ident => $response:ident $effect:ident;)*) => {
        #[doc = concat!("A call to ", $service, ", with its request.")]
        #[derive(Debug, Clone, PartialEq)]
        #[allow(clippy::large_enum_variant, reason = "lives for one call, on one stack")]
        pub enum $call { $(#[allow(missing_docs)] $variant($messages::$request),)* }

        #[doc = concat!("The answer of ", $service, " to the call of the same name.")]
        #[derive(Debug, Clone, PartialEq)]
        pub enum $answer { $(#[allow(missing_docs)] $variant($messages::$response),)* }

        impl $call {
            /// The full name of the service.
            pub const SERVICE: &'static str = $service;

            /// The method's name, for messages and traces.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => stringify!($variant),)* }
            }

            /// Whether the call changes anything.
            pub fn effect(&self) -> Effect {
                match self { $(Self::$variant(_) => Effect::$effect,)* }
            }

            /// Where the method is found on a server.
            pub fn path(&self) -> &'static str {
                match self { $(Self::$variant(_) => concat!("/", $service, "/", in_contract!($variant)),)* }
            }

            /// The request as it is sent.
            pub fn encode(&self) -> Bytes {
                match self { $(Self::$variant(request) => request.encode_to_vec(),)* }.into()
            }

            /// What was called, from a path and a request that was sent there; none if no such method is known.
            ///
            /// # Errors
            /// The bytes are no such request.
            pub fn decode(path: &str, request: Bytes) -> Result<Option<Self>, DecodeError> {
                match path {
                    $(path if path == concat!("/", $service, "/", in_contract!($variant)) => {
                        $messages::$request::decode(request).map(Self::$variant).map(Some)
                    })*
                    _ => Ok(None),
                }
            }

            /// What came back to this call.
            ///
            /// # Errors
            /// The bytes are no answer to it.
            pub fn answer(&self, answer: Bytes) -> Result<$answer, DecodeError> {
                match self { $(Self::$variant(_) => $messages::$response::decode(answer).map($answer::$variant),)* }
            }
        }

        impl $answer {
            /// The answer as it is sent.
            pub fn encode(&self) -> Bytes {
                match self { $(Self::$variant(answer) => answer.encode_to_vec(),)* }.into()
            }

            /// Whether it answers that call.
            pub fn answers(&self, call: &$call) -> bool {
                match (self, call) { $((Self::$variant(_), $call::$variant(_)) => true,)* _ => false }
            }
        }
    };
}

nameserver_methods!(declare_calls);
tablet_methods!(declare_calls);

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths that a service of the contract has.
    fn paths(proto: &str, service: &str) -> Vec<String> {
        let methods = proto.lines().filter_map(|line| line.trim().strip_prefix("rpc "));
        methods.map(|rpc| format!("/{service}/{}", rpc.split('(').next().unwrap_or_default().trim())).collect()
    }

    #[test]
    fn every_method_of_the_contract_is_found_by_its_path_and_no_other() {
        let services = [
            (NameserverCall::SERVICE, include_str!("../../../proto/name_server.proto")),
            (TabletCall::SERVICE, include_str!("../../../proto/tablet.proto")),
        ];
        for (service, proto) in services {
            let of_contract = paths(proto, service);
            assert!(of_contract.len() > 15, "{of_contract:?}");
            for path in &of_contract {
                let nameserver = NameserverCall::decode(path, Bytes::new()).unwrap().map(|call| call.path());
                let tablet = TabletCall::decode(path, Bytes::new()).unwrap().map(|call| call.path());
                assert_eq!(nameserver.or(tablet), Some(path.as_str()));
                assert_eq!(nameserver.is_some(), service == NameserverCall::SERVICE, "{path}");
            }
        }
        assert_eq!(TabletCall::decode("/openmldb.api.TabletServer/Scan", Bytes::new()), Ok(None));
    }

    #[test]
    fn what_is_sent_is_read_as_the_same_and_other_bytes_are_refused() {
        let call = TabletCall::DropTable(api::DropTableRequest { tid: Some(7), pid: Some(1), task_info: None });
        assert_eq!(TabletCall::decode(call.path(), call.encode()), Ok(Some(call.clone())));
        let answer = TabletAnswer::DropTable(api::DropTableResponse { code: Some(100), msg: None });
        assert_eq!(call.answer(answer.encode()), Ok(answer.clone()));
        assert!(answer.answers(&call));
        assert!(!answer.answers(&TabletCall::GetTableStatus(api::GetTableStatusRequest::default())));
        let broken = Bytes::from_static(&[0xff; 4]);
        assert!(call.answer(broken.clone()).is_err() && TabletCall::decode(call.path(), broken).is_err());
    }
}
