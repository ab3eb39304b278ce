//! Who is in the cluster, as one node sees it at one time.
//!
//! A view is a hint: two nodes may see different ones for a while. Who may write is told by leases alone.

use std::{cmp::Ordering, net::SocketAddr, sync::Arc};

use proto::{ids::NodeId, time::Timestamp};
use serde::{Serialize, Serializer};
use xxhash_rust::xxh3::Xxh3;

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The name stays over restarts; each start has a greater generation.
    pub id: NodeId,
    /// Where others send gossip to.
    pub gossip: SocketAddr,
    /// Where other nodes call it.
    pub peer: SocketAddr,
    /// Where clients call it.
    pub client: SocketAddr,
    /// The software's version, such as "0.4.1".
    pub software: Arc<str>,
    /// When it started, by its own clock.
    pub started: Timestamp,
}

/// How a member is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Alive,
    /// It did not answer; it counts as alive until it had time to refute.
    Suspect,
    /// It said that it goes: it still answers, but shall own nothing.
    Leaving,
}

/// A node that is not dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub profile: Profile,
    pub state: State,
}

impl Member {
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.profile.id.name
    }

    /// Tells whether the ring gives it anything.
    #[must_use]
    pub fn may_own(&self) -> bool {
        self.state != State::Leaving
    }

    fn hash(&self, hash: &mut Xxh3) {
        let profile = &self.profile;
        let mut text = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        text(profile.id.name.as_bytes());
        text(&profile.id.generation.to_le_bytes());
        for address in [profile.gossip, profile.peer, profile.client] {
            text(address.to_string().as_bytes());
        }
        text(profile.software.as_bytes());
        text(&profile.started.nanos().to_le_bytes());
        text(&[self.state as u8]);
    }
}

/// A membership snapshot. Equal to another when the members are, whoever took it and in whatever order they came.
#[derive(Clone, Debug)]
pub struct View {
    version: u64,
    me: Arc<str>,
    /// By name.
    members: Arc<[Member]>,
    lost: usize,
    fingerprint: u64,
}

impl PartialEq for View {
    fn eq(&self, other: &Self) -> bool {
        self.members == other.members
    }
}

impl Eq for View {}

impl View {
    /// Takes the members in any order; of several with one name the last generation counts.
    #[must_use]
    pub fn new(version: u64, me: Arc<str>, mut members: Vec<Member>, lost: usize) -> Self {
        members.sort_by(|a, b| {
            a.name()
                .cmp(b.name())
                .then(b.profile.id.generation.cmp(&a.profile.id.generation))
        });
        members.dedup_by(|later, first| later.name() == first.name());
        let mut hash = Xxh3::new();
        for member in &members {
            member.hash(&mut hash);
        }
        Self {
            version,
            me,
            members: members.into(),
            lost,
            fingerprint: hash.digest(),
        }
    }

    /// Returns the view of a node that has no cluster.
    #[must_use]
    pub fn solo(profile: Profile) -> Self {
        let me = Arc::clone(&profile.id.name);
        let member = Member {
            profile,
            state: State::Alive,
        };
        Self::new(1, me, vec![member], 0)
    }

    /// Grows with each change that this node sees; says nothing to others.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns a hash of the members: the same on every node that sees the same.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Returns the name of the node whose view it is.
    #[must_use]
    pub fn me(&self) -> &Arc<str> {
        &self.me
    }

    /// Returns the members by name, the node itself among them.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        let at = self
            .members
            .binary_search_by(|member| (**member.name()).cmp(name))
            .ok()?;
        self.members.get(at)
    }

    /// Counts the members that failed, did not say goodbye and did not come back within a day.
    ///
    /// Many of them may mean that this node, not they, is cut off.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.lost
    }

    /// Returns what makes this view out of the old one, by name.
    #[must_use]
    pub fn changes_since(&self, old: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        let (mut before, mut after) = (old.members.iter().peekable(), self.members.iter().peekable());
        loop {
            let order = match (before.peek(), after.peek()) {
                (None, None) => return changes,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(was), Some(is)) => was.name().cmp(is.name()),
            };
            let was = if order.is_le() { before.next() } else { None };
            let is = if order.is_ge() { after.next() } else { None };
            match (was, is) {
                (Some(was), None) => changes.push(Change::Gone(was.clone())),
                (None, Some(is)) => changes.push(Change::Came(is.clone())),
                (Some(was), Some(is)) if was.profile.id != is.profile.id => {
                    changes.push(Change::Restarted(is.clone()));
                }
                (Some(was), Some(is)) if was != is => changes.push(Change::Altered(is.clone())),
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
    }
}

/// One difference between two views.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Came(Member),
    /// It died or left.
    Gone(Member),
    /// The same name, started anew: what the former one held in memory is gone.
    Restarted(Member),
    /// The same process in another state or with other addresses.
    Altered(Member),
}

#[derive(Serialize)]
struct MemberRow<'a> {
    name: &'a str,
    generation: u64,
    state: State,
    gossip: SocketAddr,
    peer: SocketAddr,
    client: SocketAddr,
    software: &'a str,
    started_ms: i64,
}

impl Serialize for Member {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let profile = &self.profile;
        MemberRow {
            name: &profile.id.name,
            generation: profile.id.generation,
            state: self.state,
            gossip: profile.gossip,
            peer: profile.peer,
            client: profile.client,
            software: &profile.software,
            started_ms: profile.started.nanos() / 1_000_000,
        }
        .serialize(to)
    }
}

#[derive(Serialize)]
struct ViewRow<'a> {
    version: u64,
    fingerprint: String,
    me: &'a str,
    lost: usize,
    members: &'a [Member],
}

impl Serialize for View {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        ViewRow {
            version: self.version,
            fingerprint: format!("{:016x}", self.fingerprint),
            me: &self.me,
            lost: self.lost,
            members: &self.members,
        }
        .serialize(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, generation: u64, state: State) -> Member {
        let address = SocketAddr::from(([127, 0, 0, 1], 6_933));
        Member {
            profile: Profile {
                id: NodeId {
                    name: name.into(),
                    generation,
                },
                gossip: address,
                peer: address,
                client: address,
                software: "0.1.0".into(),
                started: Timestamp::from_seconds(1),
            },
            state,
        }
    }

    fn view(members: &[Member]) -> View {
        View::new(7, "a".into(), members.to_vec(), 0)
    }

    #[test]
    fn equality_and_fingerprint_do_not_know_the_order() {
        let (a, b, c) = (
            member("a", 1, State::Alive),
            member("b", 2, State::Suspect),
            member("c", 3, State::Leaving),
        );
        let one = view(&[a.clone(), b.clone(), c.clone()]);
        let other = View::new(9, "c".into(), vec![c.clone(), a.clone(), b], 3);
        assert_eq!(one, other);
        assert_eq!(one.fingerprint(), other.fingerprint());
        let differs = view(&[a, member("b", 2, State::Alive), c]);
        assert_ne!(one, differs);
        assert_ne!(one.fingerprint(), differs.fingerprint());
    }

    #[test]
    fn a_name_stands_once_with_its_last_generation() {
        let view = view(&[member("a", 3, State::Alive), member("a", 5, State::Alive)]);
        assert_eq!(view.members().len(), 1);
        assert_eq!(view.member("a").map(|m| m.profile.id.generation), Some(5));
        assert_eq!(view.member("b"), None);
    }

    #[test]
    fn changes_are_told_by_name() {
        let old = view(&[
            member("a", 1, State::Alive),
            member("b", 1, State::Alive),
            member("c", 1, State::Alive),
            member("d", 1, State::Alive),
        ]);
        let new = view(&[
            member("a", 1, State::Alive),
            member("c", 2, State::Alive),
            member("d", 1, State::Leaving),
            member("e", 1, State::Alive),
        ]);
        assert_eq!(
            new.changes_since(&old),
            [
                Change::Gone(member("b", 1, State::Alive)),
                Change::Restarted(member("c", 2, State::Alive)),
                Change::Altered(member("d", 1, State::Leaving)),
                Change::Came(member("e", 1, State::Alive)),
            ]
        );
        assert_eq!(old.changes_since(&old), []);
    }

    #[test]
    fn shows_itself_as_json() {
        let text = serde_json::to_string(&view(&[member("a", 1, State::Leaving)])).expect("json");
        assert!(
            text.contains(r#""name":"a","generation":1,"state":"leaving""#),
            "{text}"
        );
    }
}
