//! Protobuf messages to core types and back; everything from outside is validated here, once.
