//! Compiles the protocols with protox, so that no `protoc` has to be installed.

use std::error::Error;
use std::path::Path;

/// Slipway's own protocol.
const OWN: [&str; 5] = [
    "slipway/v1/common.proto",
    "slipway/v1/record.proto",
    "slipway/v1/agent.proto",
    "slipway/v1/job_cache.proto",
    "slipway/v1/runs.proto",
];

/// KEDA's.
const KEDA: [&str; 1] = ["keda/externalscaler.proto"];

/// The remote cache protocol that build tools speak.
const REAPI: [&str; 2] =
    ["build/bazel/remote/execution/v2/remote_execution.proto", "google/bytestream/bytestream.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for folder in ["slipway", "build", "google", "keda"] {
        println!("cargo:rerun-if-changed={folder}");
    }
    let own = descriptors(&OWN, "slipway.descriptor.bin")?;
    tonic_prost_build::configure().bytes(".").codec_path("crate::codec::LeanCodec").compile_fds(own)?;
    let keda = descriptors(&KEDA, "keda.descriptor.bin")?;
    tonic_prost_build::configure().compile_fds(keda)?;
    if std::env::var_os("CARGO_FEATURE_REAPI").is_some() {
        let reapi = descriptors(&REAPI, "reapi.descriptor.bin")?;
        tonic_prost_build::configure().bytes(".").include_file("reapi.rs").compile_fds(reapi)?;
    }
    Ok(())
}

/// Compiles files, and leaves them in this form for gRPC reflection, too.
fn descriptors(files: &[&str], file: &str) -> Result<prost_types::FileDescriptorSet, Box<dyn Error>> {
    let descriptors = protox::compile(files, ["."])?;
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&out).join(file), prost::Message::encode_to_vec(&descriptors))?;
    Ok(descriptors)
}
