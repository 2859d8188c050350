//! The protobuf messages and gRPC services of `slipway.v1`.
//!
//! The `.proto` files beside this crate are the documentation of the protocol. They are compiled without a system
//! `protoc`. Nothing but the `wire` crate and the gRPC edges uses these types: everything else works on core types.

pub mod codec;

/// Messages, clients and servers of package `slipway.v1`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod v1 {
    tonic::include_proto!("slipway.v1");
}

/// The remote cache protocol that build tools speak: REAPI v2 and ByteStream, by their packages' names.
#[cfg(feature = "reapi")]
#[allow(missing_docs, unreachable_pub, clippy::all, rustdoc::all)]
pub mod reapi {
    tonic::include_proto!("reapi");

    /// The encoded `FileDescriptorSet`, for gRPC reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/reapi.descriptor.bin"));
}

/// KEDA's external scaler.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod keda {
    tonic::include_proto!("externalscaler");

    /// The encoded `FileDescriptorSet`, for gRPC reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/keda.descriptor.bin"));
}

/// The encoded `FileDescriptorSet`, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/slipway.descriptor.bin"));

/// Version of the agent protocol; raised when an older peer could misunderstand a newer one.
pub const PROTOCOL_VERSION: u32 = 1;
