//! What membership counts.

use proto::metrics::{Counter, Family, Gauge, Metric};

proto::metrics! {
    /// The numbers of one node's membership.
    pub struct Metrics {
        /// Nodes of the cluster as this one sees it, itself among them.
        members: Gauge = Metric::own("perdure_members").gauge();
        /// Those of them that are suspected to be dead.
        members_suspect: Gauge = Metric::own("perdure_members_suspect").gauge();
        /// Nodes that failed and did not come back yet.
        members_lost: Gauge = Metric::own("perdure_members_lost").gauge();
        /// Nodes that came or came back.
        members_up: Counter = Metric::own("perdure_members_came_total");
        /// Nodes that failed, as far as this one heard.
        members_failed: Counter = Metric::own("perdure_members_failed_total");
        /// Nodes that said goodbye.
        members_left: Counter = Metric::own("perdure_members_left_total");
        /// Times that this node was taken for dead and came back.
        rejoins: Counter = Metric::own("perdure_gossip_rejoins_total");
        /// Times that this node was held up for so long that it gave the others more time.
        stalls: Counter = Metric::own("perdure_gossip_stalls_total");
        /// Datagrams of gossip, `sent` or `received`, good or bad.
        datagrams: Family<Counter> = Metric::own("perdure_gossip_datagrams_total").by(&["direction"]);
        /// Bytes of those datagrams.
        bytes: Family<Counter> = Metric::own("perdure_gossip_bytes_total").by(&["direction"]);
        /// Datagrams that were received and dropped, by reason: oversized, malformed, version, unauthenticated, cluster, replayed, full.
        dropped: Family<Counter> = Metric::own("perdure_gossip_dropped_total").by(&["reason"]);
        /// What went wrong with gossip, by what did: protocol, resolve, socket, unsent.
        errors: Family<Counter> = Metric::own("perdure_gossip_errors_total").by(&["error"]);
        /// Datagrams of nodes that were told that their name has started anew elsewhere.
        superseded_told: Counter = Metric::own("perdure_gossip_superseded_total");
        /// Announcements to seeds and lost nodes.
        announcements: Counter = Metric::own("perdure_gossip_announcements_total");
    }
}

/// Values of the label `direction`.
pub(crate) const SENT: &str = "sent";
pub(crate) const RECEIVED: &str = "received";

impl Metrics {
    /// A datagram went or came.
    pub(crate) fn datagram(&self, direction: &str, bytes: usize) {
        self.datagrams.with(&[direction]).inc();
        self.bytes.with(&[direction]).add(bytes as u64);
    }

    pub(crate) fn dropped(&self, reason: &str) {
        self.dropped.with(&[reason]).inc();
    }

    pub(crate) fn error(&self, error: &str) {
        self.errors.with(&[error]).inc();
    }
}
