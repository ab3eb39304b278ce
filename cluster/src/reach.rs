//! Reach: whether this node reaches what it needs to answer, for clients and balancers that choose a node to call.
//!
//! A node that is cut off from the others has let its shards go and can ask nobody; one that is cut off from the store
//! can make nothing durable. Both live on and come back by themselves: what they lack is the way.

use tokio::sync::watch;

/// What a node reaches, as far as it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Not so only while it is known that others are alive and this node is on the smaller side.
    pub others: bool,
    /// Not so only after the store has taken nothing for longer than one call of it may take.
    pub store: bool,
}

impl Reach {
    pub const ALL: Self = Self {
        others: true,
        store: true,
    };

    /// Returns what is missing, in a few words.
    #[must_use]
    pub const fn lacks(self) -> Option<&'static str> {
        match self {
            Self { others: false, .. } => Some("cut off from the other nodes"),
            Self { store: false, .. } => Some("cut off from the store"),
            Self { .. } => None,
        }
    }
}

/// Tells of a change, and writes it to the log.
pub(crate) fn tell(reach: &watch::Sender<Reach>, change: impl FnOnce(&mut Reach)) {
    reach.send_if_modified(|known| {
        let before = *known;
        change(known);
        let changed = *known != before;
        if changed {
            match known.lacks() {
                Some(lacks) => tracing::warn!(lacks, "this node cannot answer for now"),
                None => tracing::info!("this node can answer again"),
            }
        }
        changed
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_told() {
        let reach = watch::Sender::new(Reach::ALL);
        let mut heard = reach.subscribe();
        tell(&reach, |reach| reach.store = true);
        assert!(!heard.has_changed().expect("the sender is there"));
        tell(&reach, |reach| reach.others = false);
        assert!(heard.has_changed().expect("the sender is there"));
        assert_eq!(
            heard.borrow_and_update().lacks(),
            Some("cut off from the other nodes")
        );
        tell(&reach, |reach| {
            *reach = Reach {
                others: true,
                store: false,
            }
        });
        assert_eq!(heard.borrow_and_update().lacks(), Some("cut off from the store"));
        tell(&reach, |reach| reach.store = true);
        assert_eq!(heard.borrow_and_update().lacks(), None);
    }
}
