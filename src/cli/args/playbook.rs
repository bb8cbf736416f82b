//! `playbook`, as clap reads it. Every doc comment on an argument is help text.

use clap::{Args, Subcommand};

/// `playbook`.
#[derive(Debug, Args)]
pub struct Playbook {
    #[command(subcommand)]
    /// What.
    pub command: PlaybookCommand,
}

/// What to do with playbooks.
#[derive(Debug, Subcommand)]
pub enum PlaybookCommand {
    /// List the built-in playbooks
    List,
    /// Print a playbook, each step explained
    Show {
        /// A name, or a file
        #[arg(value_name = "NAME|FILE", default_value = crate::playbook::DEFAULT)]
        playbook: String,
        /// Print only the YAML, as a start for your own playbook
        #[arg(long)]
        yaml: bool,
    },
    /// Check whether a playbook can be used, and if not, where it is wrong
    Check {
        /// A name, or a file
        #[arg(value_name = "NAME|FILE")]
        playbook: String,
    },
}
