//! What membership counts. Plain atomics: whoever exports them takes a `snapshot`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
}

/// One metric as it is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    pub value: u64,
}

/// A number that one thread changes and any thread reads.
#[derive(Debug, Default)]
pub struct Number(AtomicU64);

impl Number {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    pub(crate) fn set(&self, value: usize) {
        self.0.store(value as u64, Relaxed);
    }

    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

macro_rules! numbers {
    ($($(#[doc = $help:literal])+ $name:ident: $kind:ident,)+) => {
        /// The numbers of one node's membership.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($(#[doc = $help])+ pub $name: Number,)+
        }

        impl Metrics {
            /// Returns all metrics in a fixed order.
            #[must_use]
            pub fn snapshot(&self) -> Vec<Sample> {
                vec![$(Sample {
                    name: concat!("membership_", stringify!($name)),
                    help: concat!($($help),+).trim_ascii_start(),
                    kind: Kind::$kind,
                    value: self.$name.value(),
                },)+]
            }
        }
    };
}

numbers! {
    /// Members in the view, this node among them.
    members: Gauge,
    /// Members that are suspected to be dead.
    members_suspect: Gauge,
    /// Members that failed and did not come back yet.
    members_lost: Gauge,
    /// Members that came or came back.
    members_up: Counter,
    /// Members that failed, as far as this node heard.
    members_failed: Counter,
    /// Members that said goodbye.
    members_left: Counter,
    /// Times that this node was taken for dead and came back.
    rejoins: Counter,
    /// Times that this node was held up for so long that it gave the others more time.
    stalls: Counter,
    /// Datagrams sent.
    datagrams_sent: Counter,
    /// Bytes of the datagrams sent.
    bytes_sent: Counter,
    /// Datagrams that the socket did not take.
    datagrams_unsent: Counter,
    /// Datagrams received, good or bad.
    datagrams_received: Counter,
    /// Bytes of the datagrams received.
    bytes_received: Counter,
    /// Datagrams dropped: longer than any node sends.
    dropped_oversized: Counter,
    /// Datagrams dropped: not what a node writes.
    dropped_malformed: Counter,
    /// Datagrams dropped: a version of the envelope that this release does not know.
    dropped_version: Counter,
    /// Datagrams dropped: sealed with no key of this node, or not sealed.
    dropped_unauthenticated: Counter,
    /// Datagrams dropped: of another cluster.
    dropped_cluster: Counter,
    /// Datagrams dropped: seen before.
    dropped_replayed: Counter,
    /// Datagrams dropped: too many members are known.
    dropped_full: Counter,
    /// Datagrams of nodes that were told that their name has started anew elsewhere.
    superseded_told: Counter,
    /// Messages that the protocol refused.
    protocol_errors: Counter,
    /// Errors of the socket.
    socket_errors: Counter,
    /// Announcements to seeds and lost members.
    announcements: Counter,
    /// Resolutions of the seeds' names that failed.
    resolve_failures: Counter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_help_and_a_name_of_its_own() {
        let samples = Metrics::default().snapshot();
        for sample in &samples {
            assert!(
                sample.help.ends_with('.') && !sample.help.starts_with(' '),
                "{sample:?}"
            );
            assert_eq!(
                samples.iter().filter(|other| other.name == sample.name).count(),
                1
            );
        }
    }
}
