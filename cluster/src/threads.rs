//! Threads: the arbiters that run shards and queues.

use std::hash::{DefaultHasher, Hash, Hasher};

use actix_rt::{Arbiter, ArbiterHandle, System};
use proto::ids::{QueueKey, ShardId};

/// The actor threads of a node, under a system of their own.
#[derive(Clone)]
pub(crate) struct Threads {
    system: System,
    arbiters: Vec<ArbiterHandle>,
}

impl Threads {
    /// Starts the threads; the handle is that of the thread that ends last.
    pub(crate) fn start(count: usize) -> Result<(Self, std::thread::JoinHandle<()>), String> {
        let (send, receive) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("actors".to_owned())
            .spawn(move || {
                let runner = System::new();
                let arbiters: Vec<_> = (0..count).map(|_| Arbiter::new().handle()).collect();
                if send.send((System::current(), arbiters)).is_ok()
                    && let Err(error) = runner.run()
                {
                    tracing::error!(%error, "actor system failed");
                }
            })
            .map_err(|error| error.to_string())?;
        let (system, arbiters) = receive.recv().map_err(|error| error.to_string())?;
        Ok((Self { system, arbiters }, thread))
    }

    pub(crate) fn of_shard(&self, id: ShardId) -> &ArbiterHandle {
        &self.arbiters[id.0 as usize % self.arbiters.len()]
    }

    pub(crate) fn of_queue(&self, key: &QueueKey) -> &ArbiterHandle {
        let mut hash = DefaultHasher::new();
        key.hash(&mut hash);
        let arbiters = self.arbiters.len() as u64;
        &self.arbiters[usize::try_from(hash.finish() % arbiters).unwrap_or(0)]
    }

    pub(crate) fn stop(&self) {
        self.system.stop();
    }
}
