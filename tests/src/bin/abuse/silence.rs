//! A client that is there no more although its connection is: it never says that it is gone.

use std::time::{Duration, Instant};

use crate::{client::poll_workflow, server::Server, wire::Wire};

const POLLS: usize = 10;
/// After a minute the server asks whether the client lives, and waits ten seconds for the answer.
const NOTICED_MAX: Duration = Duration::from_secs(90);
const HELD_MAX: Duration = Duration::from_secs(20);

/// Checks that the server closes the connection of a client that answers nothing.
pub(crate) async fn run(server: &Server) -> Result<(), String> {
    let mut silent = Wire::connect(server.address()).await?;
    for _ in 0..POLLS {
        let poll = silent.call("PollWorkflowTaskQueue", &poll_workflow("silence"));
        silent.write(&poll).await.map_err(|error| error.to_string())?;
    }
    server.until_polls(POLLS as u64, HELD_MAX).await?;
    let began = Instant::now();
    if !silent.is_closed(NOTICED_MAX).await {
        return Err(format!("the connection is still open after {NOTICED_MAX:?}"));
    }
    println!("silence: closed after {} s", began.elapsed().as_secs());
    server.until_polls(0, HELD_MAX).await?;
    Ok(())
}
