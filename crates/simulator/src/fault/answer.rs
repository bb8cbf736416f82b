//! Answers that consist of a code.

use openmldb_wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use openmldb_wire::{api, nameserver, nameserver_methods, tablet_methods};

/// A message with a code.
trait Coded: Default {
    fn with_code(code: i32) -> Self;
}

macro_rules! coded {
    ($($code:ident: $($answer:path),+;)*) => {
        $($(impl Coded for $answer {
            fn with_code(code: i32) -> Self {
                let mut answer = Self::default();
                coded!($code answer code);
                answer
            }
        })+)*
    };
    (required $answer:ident $code:ident) => { $answer.code = $code };
    (optional $answer:ident $code:ident) => { $answer.code = Some($code) };
}

coded! {
    required: nameserver::GeneralResponse, nameserver::ShowTableResponse, nameserver::ConfGetResponse;
    optional: nameserver::ShowTabletResponse, nameserver::ShowDatabaseResponse, nameserver::ShowOpStatusResponse,
        nameserver::ShowReplicaClusterResponse, nameserver::GetTablePartitionResponse,
        api::PutResponse, api::GeneralResponse, api::DropTableResponse, api::GetTableStatusResponse,
        api::GetTableFollowerResponse, api::AppendEntriesResponse, api::AddReplicaResponse, api::ChangeRoleResponse,
        api::TaskStatusResponse, api::GetTableSchemaResponse, api::GetTermPairResponse, api::GetManifestResponse,
        api::TraverseResponse, api::CreateAggregatorResponse;
}

macro_rules! answers {
    ($call:ident $answer:ident $messages:ident $service:literal $name:ident;
     $($variant:ident $snake:ident $request:ident => $response:ident $effect:ident;)*) => {
        /// The answer to that call that is this code and nothing else.
        pub(crate) fn $name(call: &$call, code: i32) -> $answer {
            match call { $($call::$variant(_) => $answer::$variant(Coded::with_code(code)),)* }
        }
    };
}

macro_rules! nameserver {
    ($call:ident $answer:ident $messages:ident $service:literal; $($rest:tt)*) => {
        answers! { $call $answer $messages $service nameserver_answers; $($rest)* }
    };
}

macro_rules! tablet {
    ($call:ident $answer:ident $messages:ident $service:literal; $($rest:tt)*) => {
        answers! { $call $answer $messages $service tablet_answers; $($rest)* }
    };
}

nameserver_methods!(nameserver);
tablet_methods!(tablet);
