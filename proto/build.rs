//! Compiles the protocol with protox, so that no `protoc` has to be installed.

use std::path::Path;

const FILES: [&str; 4] =
    ["slipway/v1/common.proto", "slipway/v1/record.proto", "slipway/v1/agent.proto", "slipway/v1/runs.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let out = std::env::var("OUT_DIR")?;
    // For gRPC reflection.
    std::fs::write(
        Path::new(&out).join("slipway.descriptor.bin"),
        prost::Message::encode_to_vec(&descriptors),
    )?;
    tonic_prost_build::configure()
        .bytes(".")
        .codec_path("crate::codec::LeanCodec")
        .compile_fds(descriptors)?;
    Ok(())
}
