//! `--sandbox`, `sandbox` and `rehearse` in a build without the simulator (`--no-default-features`): each is refused in a sentence.

use clap::Args;

/// What is said.
pub(in crate::cli) const NONE: &str = "this build has no sandbox: it was made without the feature `sandbox`";

/// `--sandbox`.
#[derive(Debug, Clone, Args)]
pub struct Embedded {
    #[arg(long, hide = true, value_parser = none, num_args = 0..=1, default_missing_value = "", conflicts_with_all = [
        "zk_cluster", "nameserver", "flagfile", "cluster"])]
    /// Not in this build.
    pub sandbox: Option<String>,
}

fn none(_: &str) -> Result<String, String> {
    Err(NONE.to_owned())
}

/// `sandbox` and `rehearse`, with whatever follows.
#[derive(Debug, Args)]
pub struct Absent {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}
