//! The frontend from outside: a real server in this process, spoken to over gRPC.

mod bad_input;
mod namespaces;
mod polls;
mod server;
mod transport;
mod worker;
