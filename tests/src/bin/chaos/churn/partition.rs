//! Nodes that are cut off from others or from the store, for a while.

use std::time::Instant;

use nodes::cuts::Cut;

use super::{Churn, LOOK};
use crate::health;

/// What is cut, and what that is called.
const CUTS: [(&str, Cut); 5] = [
    ("without peers", Cut::Peers),
    ("without store", Cut::Store),
    ("alone", Cut::PeersAndStore),
    ("mute", Cut::Mute),
    ("deaf", Cut::Deaf),
];

impl Churn<'_> {
    /// Cuts one node after the other off, each in another way.
    pub(super) async fn partitions(&mut self) -> Result<(), String> {
        let heeds = health::heed(self.load.api.clone());
        for (number, (what, cut)) in CUTS.into_iter().enumerate() {
            self.partition(number, what, cut).await?;
        }
        heeds.abort();
        Ok(())
    }

    /// Cuts a node off, lets it and the others find out, and brings it back.
    async fn partition(&mut self, number: usize, what: &str, cut: Cut) -> Result<(), String> {
        let nodes = self.fleet.nodes();
        let (name, address) = &nodes[number % nodes.len()];
        self.phase(&format!("cut: {name} {what}"));
        let since = Instant::now();
        self.fleet.cut(name, cut).await?;
        let known = self.until_serves(address, false, since).await;
        let known = known.map_err(|problem| format!("{name} {what}: {problem}"))?;
        // Clients know as much as they can.
        self.phase(&format!("cut known: {name} {what}"));
        tokio::time::sleep(self.scale.partition.saturating_sub(since.elapsed())).await;
        let phase = self.load.api.ledger.open();
        let last = phase
            .last_failure
            .unwrap_or(since)
            .saturating_duration_since(since);
        self.figure(format!(
            "{name} {what}: says that it does not serve after {known:.1} s; {} of {} calls failed from then on, the \
             last one {:.1} s after the cut",
            phase.failed(),
            phase.calls,
            last.as_secs_f64()
        ));
        self.phase(&format!("cut healed: {name} {what}"));
        let healed = Instant::now();
        self.fleet.heal().await?;
        let back = self.until_serves(address, true, healed).await;
        let back = back.map_err(|problem| format!("{name} {what}, healed: {problem}"))?;
        self.figure(format!("{name} {what}, healed: serves after {back:.1} s"));
        // Its shards come back to it only now.
        self.recovered(Instant::now(), &format!("{name} {what}, serves again"))
            .await?;
        self.phase(&format!("after {name} {what}"));
        tokio::time::sleep(self.scale.pause).await;
        self.check(what).await?;
        self.one_writer(what).await
    }

    /// Waits until the node says that it serves, or that it does not. Returns how many seconds later that was.
    async fn until_serves(&self, address: &str, serves: bool, since: Instant) -> Result<f64, String> {
        while health::serves(address).await != Some(serves) {
            if since.elapsed() > self.scale.recovery_max {
                let said = if serves { "serves" } else { "does not serve" };
                return Err(format!("does not say that it {said} after {:?}", since.elapsed()));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(since.elapsed().as_secs_f64())
    }
}
