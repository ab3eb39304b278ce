//! The frontend from outside: a real server in this process, spoken to over gRPC.

mod bad_input;
mod failures;
mod history;
mod http;
mod limits;
mod namespaces;
mod polls;
mod queues;
mod server;
mod tokens;
mod transport;
mod worker;
