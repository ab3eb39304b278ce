//! The program once more, in a network namespace of its own: packets may get lost there, and nobody else's do.

use std::{
    env,
    process::{Command, ExitCode},
};

/// Runs this program with the same arguments in a fresh network namespace, to its end.
pub(crate) fn enter() -> Result<ExitCode, String> {
    let program = env::current_exe().map_err(|error| format!("find this program: {error}"))?;
    let done = Command::new("unshare")
        .args(["--net", "--kill-child", "--fork"])
        .arg(program)
        .args(env::args_os().skip(1))
        .arg("--in-namespace")
        .status()
        .map_err(|error| format!("start unshare: {error}"))?;
    let code = done.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
