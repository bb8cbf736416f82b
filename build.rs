//! Compiles `proto/` with protox, so that nobody needs protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let contract = protox::compile(["name_server.proto", "tablet.proto"], ["proto"])?;
    tonic_prost_build::configure().include_file("openmldb.rs").compile_fds(contract)?;
    Ok(())
}
