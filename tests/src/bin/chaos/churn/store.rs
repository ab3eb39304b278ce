//! A store that is away for a while, whole or one node of it.

use std::time::{Duration, Instant};

use super::Churn;
use crate::room::Room;

/// What nodes may take while the store is away, above what they took before: what waits is bounded.
const GROWTH_MIB_MAX: u64 = 1024;
/// Connections and other sockets likewise.
const SOCKETS_MAX: u64 = 1024;
/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long one of the store's nodes is away.
const REPLICA_AWAY: Duration = Duration::from_secs(20);

impl Churn<'_> {
    /// Takes the whole store away and brings it back.
    pub(super) async fn outage(&mut self, killed: bool) -> Result<(), String> {
        let how = if killed { "store killed" } else { "store stalled" };
        self.phase(how);
        let before = self.fleet.rooms()?;
        let (fleet, away) = (self.fleet.clone(), self.scale.outage);
        let outage = async move {
            if killed {
                fleet.kill_store(away).await
            } else {
                fleet.stall_store(away).await
            }
        };
        let most = self.watching(outage).await?;
        self.rooms(how, &before, &most)?;
        self.recovered(Instant::now(), how).await?;
        self.phase(&format!("after {how}"));
        tokio::time::sleep(self.scale.pause).await;
        self.check(how).await?;
        self.one_writer(how).await
    }

    /// Takes one node of the store after the other away: a majority stays.
    pub(super) async fn replicas(&mut self) -> Result<(), String> {
        let stores = self.fleet.stores().len();
        if stores < 3 {
            return Err("a majority stays only with --stores 3 or more".to_owned());
        }
        for number in 0..stores {
            let what = format!("replica {}", number + 1);
            self.phase(&format!("{what} killed"));
            let killed = Instant::now();
            self.fleet.kill_replica(number).await?;
            tokio::time::sleep(REPLICA_AWAY).await;
            self.said_failed(&format!("{what} killed"), killed);
            self.phase(&format!("{what} starts"));
            let started = Instant::now();
            self.fleet.start_replica(number).await?;
            self.recovered(started, &format!("{what} started")).await?;
            self.said_failed(&format!("{what} started"), started);
            self.phase(&format!("after {what}"));
            tokio::time::sleep(self.scale.pause).await;
            self.check(&what).await?;
            self.one_writer(&what).await?;
        }
        Ok(())
    }

    fn said_failed(&mut self, what: &str, since: Instant) {
        let phase = self.load.api.ledger.open();
        let last = phase
            .last_failure
            .unwrap_or(since)
            .saturating_duration_since(since);
        self.figure(format!(
            "{what}: {} of {} calls failed, the last one after {:.1} s",
            phase.failed(),
            phase.calls,
            last.as_secs_f64()
        ));
    }

    /// Waits for the end of what is done; returns the most that each node took meanwhile.
    async fn watching(
        &self,
        done: impl Future<Output = Result<(), String>> + Send + 'static,
    ) -> Result<Vec<(String, Room)>, String> {
        let done = tokio::spawn(done);
        let mut most: Vec<(String, Room)> = Vec::new();
        while !done.is_finished() {
            tokio::time::sleep(LOOK).await;
            let Ok(rooms) = self.fleet.rooms() else { continue };
            for (node, room) in rooms {
                match most.iter_mut().find(|(known, _)| *known == node) {
                    Some((_, known)) => *known = known.most(room),
                    None => most.push((node, room)),
                }
            }
        }
        done.await.map_err(|error| error.to_string())??;
        Ok(most)
    }

    fn rooms(
        &mut self,
        what: &str,
        before: &[(String, Room)],
        most: &[(String, Room)],
    ) -> Result<(), String> {
        for (node, most) in most {
            let Some((_, before)) = before.iter().find(|(known, _)| known == node) else {
                continue;
            };
            self.figure(format!(
                "{what}: {node} took {before} before, {most} at most meanwhile"
            ));
            if most.mib > before.mib + GROWTH_MIB_MAX || most.sockets > before.sockets + SOCKETS_MAX {
                return Err(format!("{what}: {node} grew from {before} to {most}"));
            }
        }
        Ok(())
    }
}
