//! The generated gRPC client stubs of `markstein/v1/services.proto`.
#![allow(missing_docs, clippy::all, clippy::pedantic, unused_qualifications)]

tonic::include_proto!("markstein.v1");
