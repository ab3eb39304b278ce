//! Logs.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::cli::{LogFormat, LogLevel};

/// What is heard only if `RUST_LOG` asks for it: each connection of the driver to Cassandra.
const QUIET: &str = "scylla=error";

/// Starts logging to standard error; `RUST_LOG` narrows or widens it by module.
pub fn start(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Never => LevelFilter::OFF,
    };
    let quiet = if level == LevelFilter::OFF { "" } else { QUIET };
    let wanted = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_else(|_| quiet.to_owned());
    let filter = EnvFilter::builder()
        .with_default_directive(level.into())
        .parse_lossy(wanted);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        LogFormat::Json => registry
            .with(fmt::layer().json().with_writer(std::io::stderr))
            .try_init(),
        LogFormat::Text | LogFormat::Pretty => registry
            .with(fmt::layer().with_writer(std::io::stderr))
            .try_init(),
    };
    // A program that embeds the server may have its own.
    drop(started);
}
