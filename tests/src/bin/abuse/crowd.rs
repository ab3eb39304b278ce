//! More connections than the server may have files for: it accepts what it can, spends nothing on the others, serves
//! whom it has accepted, and accepts again when there is room.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use proto::temporal::workflowservice::v1::GetSystemInfoRequest;
use tokio::net::TcpStream;

use crate::{
    client::{self, of, timed},
    server::Server,
};

const FILES: usize = 256;
/// More than there are files left, and no more than wait where the system keeps few that are not accepted.
const CONNECTIONS: usize = 245;
const CALLS: usize = 200;
/// How long the server's processor time is looked at, and how much of it is fine.
const WATCHED: Duration = Duration::from_secs(2);
const BUSY_MAX: Duration = Duration::from_millis(500);
const SERVED_MAX: Duration = Duration::from_secs(30);

/// Writes a program that runs the server with few files.
pub(crate) fn program(server: &Path, directory: &Path) -> Result<PathBuf, String> {
    let path = directory.join("few-files");
    let script = format!(
        "#!/bin/sh\nulimit -n {FILES}\nexec '{}' \"$@\"\n",
        server.display()
    );
    let write = || {
        fs::create_dir_all(directory)?;
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
    };
    write().map_err(|error| format!("write {}: {error}", path.display()))?;
    Ok(path)
}

pub(crate) async fn run(server: &Server) -> Result<(), String> {
    let mut accepted = server.connect().await?;
    let mut crowd = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(server.address()).await;
        crowd.push(stream.map_err(|error| format!("connect: {error}"))?);
    }
    let before = server.resources()?;
    tokio::time::sleep(WATCHED).await;
    let busy = server.resources()?.processor.saturating_sub(before.processor);
    println!(
        "crowd: {CONNECTIONS} connections to a server with {FILES} files: {before}, {busy:?} busy in {WATCHED:?}"
    );
    if busy > BUSY_MAX {
        return Err(format!(
            "the server is busy with nothing: {busy:?} in {WATCHED:?}"
        ));
    }
    for _ in 0..CALLS {
        accepted
            .get_system_info(timed(GetSystemInfoRequest {}))
            .await
            .map_err(of("call of an accepted client"))?;
    }
    drop(crowd);
    let late = async {
        client::connect(server.address())
            .await?
            .get_system_info(timed(GetSystemInfoRequest {}))
            .await
            .map_err(of("call of a late client"))
    };
    tokio::time::timeout(SERVED_MAX, late)
        .await
        .map_err(|_| format!("a late client was not served within {SERVED_MAX:?}"))??;
    Ok(())
}
