//! What foca takes for a member: a name with a stamp that orders the name's lives, and what the node says of itself.

use std::{fmt, net::SocketAddr, sync::Arc};

use proto::{ids::NodeId, time::Timestamp};

use crate::view::Profile;

/// A start of a node. Of two with one name the greater one is right and the other has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Start {
    pub(crate) generation: u64,
    /// Decides only if a generation was given twice.
    pub(crate) at: Timestamp,
}

/// Orders the lives of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    pub(crate) start: Start,
    /// Grows when a node that was taken for dead comes back, and when it says something else of itself.
    pub(crate) revision: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    Leaving,
    /// It said goodbye: when it goes silent it is not lost.
    Left,
}

/// What a node says of itself beyond its name and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Card {
    pub(crate) peer: SocketAddr,
    pub(crate) client: SocketAddr,
    pub(crate) software: Arc<str>,
    pub(crate) phase: Phase,
}

/// Two are equal when name and stamp are: these decide what the card says.
#[derive(Clone)]
pub(crate) struct Identity {
    /// Empty for whoever listens at an address, which is all that is known of a seed.
    pub(crate) name: Arc<str>,
    pub(crate) stamp: Stamp,
    pub(crate) gossip: SocketAddr,
    /// None where a message only names a node: as its target or as who asked.
    pub(crate) card: Option<Arc<Card>>,
}

impl Identity {
    pub(crate) fn new(profile: &Profile) -> Self {
        Self {
            name: Arc::clone(&profile.id.name),
            stamp: Stamp {
                start: Start {
                    generation: profile.id.generation,
                    at: profile.started,
                },
                revision: 0,
            },
            gossip: profile.gossip,
            card: Some(Arc::new(Card {
                peer: profile.peer,
                client: profile.client,
                software: Arc::clone(&profile.software),
                phase: Phase::Serving,
            })),
        }
    }

    /// Returns whoever listens at the address.
    pub(crate) fn stranger(gossip: SocketAddr) -> Self {
        Self {
            name: "".into(),
            stamp: Stamp {
                start: Start {
                    generation: 0,
                    at: Timestamp::EPOCH,
                },
                revision: 0,
            },
            gossip,
            card: None,
        }
    }

    /// Returns the same node as it is from now on.
    pub(crate) fn in_phase(&self, phase: Phase) -> Self {
        let card = self.card.as_deref().cloned();
        Self {
            stamp: Stamp {
                revision: self.stamp.revision.saturating_add(1),
                ..self.stamp
            },
            card: card.map(|card| Arc::new(Card { phase, ..card })),
            ..self.clone()
        }
    }

    pub(crate) fn phase(&self) -> Option<Phase> {
        self.card.as_ref().map(|card| card.phase)
    }

    pub(crate) fn profile(&self) -> Option<Profile> {
        let card = self.card.as_ref()?;
        Some(Profile {
            id: NodeId {
                name: Arc::clone(&self.name),
                generation: self.stamp.start.generation,
            },
            gossip: self.gossip,
            peer: card.peer,
            client: card.client,
            software: Arc::clone(&card.software),
            started: self.stamp.start.at,
        })
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.stamp == other.stamp && self.name == other.name
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stamp { start, revision } = self.stamp;
        write!(f, "{}/{}.{revision}", self.name, start.generation)
    }
}

impl foca::Identity for Identity {
    /// The name: a node may move to another address and is still the same.
    type Addr = Arc<str>;

    /// Comes back at once when the cluster took it for dead, unless it said goodbye.
    fn renew(&self) -> Option<Self> {
        self.phase()
            .filter(|&phase| phase != Phase::Left)
            .map(|phase| self.in_phase(phase))
    }

    fn addr(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.stamp > adversary.stamp
    }
}
