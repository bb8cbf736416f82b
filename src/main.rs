//! The program: see `lib.rs` for what it is made of.

use std::process::ExitCode;

fn main() -> ExitCode {
    openmldb_ops::cli::main()
}
