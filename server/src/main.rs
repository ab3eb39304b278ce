//! The program.

#![expect(
    clippy::print_stderr,
    reason = "what is wrong with the command line, and what is asked of it, is said on the terminal"
)]

use std::process::ExitCode;

use clap::Parser;
use perdure_server::{
    cli::{Cli, Command, Mode},
    config, run, telemetry,
};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = match Cli::parse().command {
        Command::Server(args) => args,
        Command::Admin(args) => return done(perdure_server::admin::command::run(args)),
        #[cfg(feature = "cassandra")]
        Command::Schema(args) => return done(perdure_server::schema::run(args)),
    };
    let loaded = match args.mode {
        Some(Mode::StartDev(args)) => {
            let log_config = args.log_config;
            config::load_dev(*args).inspect(|config| {
                if log_config {
                    eprintln!("{config:#?}");
                }
            })
        }
        None => config::load(args.run),
    };
    let config = match loaded {
        Ok(config) => config,
        Err(error) => return fail(&error.to_string()),
    };
    telemetry::start(config.log_level, config.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("start threads: {error}")),
    };
    done(runtime.block_on(run::run(config, run::stop_signal())))
}

fn done(result: Result<(), impl std::fmt::Display>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(why: &str) -> ExitCode {
    eprintln!("perdure: {why}");
    ExitCode::FAILURE
}
