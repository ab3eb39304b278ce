//! Logs.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::cli::{LogFormat, LogLevel};

/// What is heard only if `RUST_LOG` asks for it: each connection of the driver to Cassandra, and, as an error, each one
/// that is refused while Cassandra is away. Whoever needs the store then says so.
const QUIET: &str = "scylla=off";

/// Starts logging to standard error; `RUST_LOG` narrows or widens it by module.
pub fn start(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Never => LevelFilter::OFF,
    };
    let wanted = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let registry = tracing_subscriber::registry().with(filter(level, wanted.as_deref()));
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

/// What is heard: what `wanted` says, which is `RUST_LOG`; without it all of the level.
fn filter(level: LevelFilter, wanted: Option<&str>) -> EnvFilter {
    // Where anything is said of a module the default directive is not heard: it is written out.
    let quiet = if level == LevelFilter::OFF {
        "off".to_owned()
    } else {
        format!("{level},{QUIET}")
    };
    EnvFilter::builder()
        .with_default_directive(level.into())
        .parse_lossy(wanted.unwrap_or(&quiet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_the_level_is_heard() {
        for level in [
            LevelFilter::DEBUG,
            LevelFilter::INFO,
            LevelFilter::ERROR,
            LevelFilter::OFF,
        ] {
            assert_eq!(filter(level, None).max_level_hint(), Some(level));
        }
        assert!(filter(LevelFilter::INFO, None).to_string().contains(QUIET));
        let narrowed = filter(LevelFilter::INFO, Some("perdure_server=warn"));
        assert_eq!(narrowed.max_level_hint(), Some(LevelFilter::WARN));
    }
}
