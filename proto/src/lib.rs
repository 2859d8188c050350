//! The protobuf messages and gRPC services of slipway.v1, compiled without a system protoc.
