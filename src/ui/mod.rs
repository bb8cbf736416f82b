//! Everything a person or a pipe sees. Functions from data to text; only [`json`] and [`progress`] write, where they are
//! told to, and [`print`] to stdout. stdout carries data and nothing else: progress goes to stderr.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, clippy::disallowed_types)]

mod arrangement;
mod arrangement_blocks;
mod arranging_rows;
mod blocks;
mod board;
mod causes;
mod check;
mod color;
mod columns;
mod comparison;
mod diagnosis;
mod digest;
mod error;
mod explained;
mod explanation;
mod gauge;
mod guard;
mod health;
mod json;
mod lines;
mod live;
mod metadata;
mod metadata_wiped;
mod metrics;
mod named;
mod op_rows;
mod outline;
mod page;
mod partition;
mod plan;
#[cfg(feature = "sandbox")]
mod practice;
mod print;
mod printing;
mod progress;
mod progress_rows;
mod recorded_run;
#[cfg(feature = "sandbox")]
mod rehearsal;
mod remotes;
mod room;
mod rows;
mod run_counts;
mod service;
mod settings;
mod sheet;
mod shown;
mod snapshot;
mod status;
mod summary;
mod table_rows;
mod tablet_rows;
mod verification;
mod wide_rows;
mod words;
mod wrapping;

pub use arrangement::{ArrangedLine, ArrangementLine, MoveLine, arranged_text, arrangement_text, undertaken_text};
pub use check::{CheckLine, CheckState, check_text};
pub use color::{Paint, Tone};
pub use comparison::{ComparisonLine, comparison_text, how_long_text};
pub use diagnosis::{DiagnosisLine, diagnoses_text};
pub use error::error_text;
pub use explained::{CodeKind, ExplainedLine, explained_text, groups_text, listed_text};
pub use explanation::{Explaining, Explanation, explanation_text};
pub use guard::{GuardFigures, GuardLine, guard_metrics_text, guard_text};
pub use health::{HealthRow, health_text};
pub use json::{JsonLines, json_line};
pub use live::Clock;
pub use metadata::{
    MetadataCheckedLine, MetadataFindingLine, MetadataRestoredLine, MetadataSavedLine, metadata_checked_text,
    metadata_restored_text, metadata_saved_text,
};
pub use metadata_wiped::{MetadataWipedLine, metadata_wiped_text};
pub use metrics::{Ended, metrics_text};
pub use op_rows::{OpRow, ops_text};
pub use outline::outline_text;
pub use page::page;
pub use partition::{PartitionLine, partition_text};
pub use plan::{LeaderRule, PlanContext, plan_text};
#[cfg(feature = "sandbox")]
pub use practice::{SandboxServersLine, SandboxWrittenLine, sandbox_servers_text, sandbox_written_text};
pub use print::{print, reader_gone_is_fine};
pub use printing::Printing;
pub use progress::{Beside, Detail, Drawn, Moved, Progress};
pub use recorded_run::{Part, Recorded, followed_text, records_text, story_lines, story_text};
#[cfg(feature = "sandbox")]
pub use rehearsal::{RehearsalLine, rehearsals_text};
pub use rows::{OddRowLine, RowsComparedLine, rows_text};
pub use service::{serve_text, service_text, since_text};
pub use settings::{SettingRow, settings_text};
pub use sheet::{Layout, NoColumn, stderr_width, stdout_width};
pub use shown::{ReplicaRow, replicas_text};
pub use snapshot::snapshot_text;
pub use status::{Listed, names_text, status_text};
pub use summary::{About, by_hand, going_on_text, kept_off_text, recovered_text, summary_text, was_switched_off};
pub use table_rows::{TableRow, tables_text};
pub use tablet_rows::{TabletRow, tablets_text};
pub use words::{Numbers, bytes, command};
pub use wrapping::Wrapping;
