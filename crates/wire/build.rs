//! Compiles `proto/` with protox, so that nobody needs protoc.

/// The contract is the whole project's, and so lies at its top.
const PROTO: &str = "../../proto";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed={PROTO}");
    let contract = protox::compile(["name_server.proto", "tablet.proto"], [PROTO])?;
    tonic_prost_build::configure().include_file("openmldb.rs").compile_fds(contract)?;
    Ok(())
}
