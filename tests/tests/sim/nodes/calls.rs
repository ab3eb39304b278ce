//! Calls between simulated nodes, and the router that takes a request to the shard's owner.
//!
//! The router of the product is asynchronous code; this one follows the same rules: a request waits, bounded, for a
//! shard that is about to come, and is sent again, bounded, where it was not looked at.

use std::time::Duration;

use engine::outcome::Reply;
use matching::{
    input::{Input as QueueInput, PollToken},
    output::Refusal,
    ticket::Ticket,
};
use proto::ids::{QueueKey, ShardId};
use shard::{
    input::{Input, Request, RunTarget, Token},
    output::AskError,
};

use super::{
    node::{Origin, Peer, Waiting},
    world::{Local, World},
};
use crate::tickets;

/// How long a request waits for a shard's owner.
const WAITS: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(100);

/// What a node says to another one, or to itself.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Ask {
        token: Token,
        target: RunTarget,
        request: Request,
        by: Peer,
        /// The version of the asker's map.
        map: u64,
    },
    Answer {
        token: Token,
        reply: Box<Result<Reply, AskError>>,
    },
    ToQueue {
        queue: QueueKey,
        input: QueueInput,
    },
    Poll {
        queue: QueueKey,
        token: PollToken,
        by: Peer,
        wait: Duration,
    },
    Given {
        token: PollToken,
        ticket: Ticket,
    },
    Empty(PollToken),
    Refused(QueueKey, Ticket, Refusal),
    Credit(ShardId, QueueKey, usize),
    Freed(ShardId),
    /// The map has changed.
    News,
    HandOver {
        token: u64,
        shards: Vec<ShardId>,
    },
    HandedOver {
        token: u64,
        kept: Vec<ShardId>,
    },
}

impl Message {
    /// Tells whether it may get lost without anybody noticing.
    pub(crate) fn is_hint(&self) -> bool {
        matches!(
            self,
            Self::ToQueue { .. }
                | Self::Refused(..)
                | Self::Credit(..)
                | Self::Freed(_)
                | Self::News
                | Self::Given { .. }
                | Self::Empty(_)
        )
    }

    pub(crate) fn kind(&self) -> u64 {
        match self {
            Self::Ask { token, .. } | Self::Answer { token, .. } => 100 + token.0,
            Self::HandOver { token, .. } | Self::HandedOver { token, .. } => 200 + token,
            _ => 300,
        }
    }
}

impl World {
    pub(crate) fn message(&mut self, from: usize, node: usize, message: Message) {
        match message {
            Message::Ask {
                token,
                target,
                request,
                by,
                map,
            } => {
                self.heard_of_map(node, map);
                self.route(node, token, target, request, Origin::Peer(by));
            }
            Message::Answer { token, reply } => self.forward_answered(node, token, *reply),
            Message::ToQueue { queue, input } => self.tell_queue(node, &queue, input),
            Message::Poll {
                queue,
                token,
                by,
                wait,
            } => self.take_poll(node, &queue, token, by, wait),
            Message::Given { token, ticket } => self.given(token, ticket),
            Message::Empty(token) => drop(self.polls.remove(&token)),
            Message::Refused(queue, ticket, why) => {
                let shard = ticket.shard;
                self.feed(node, shard, tickets::refused(queue, ticket, why));
            }
            Message::Credit(shard, queue, free) => self.feed(node, shard, Input::Credit { queue, free }),
            Message::Freed(shard) => self.tell_leases(node, cluster::leases::Input::Freed(shard)),
            Message::News => self.read_map(node),
            Message::HandOver { token, shards } => {
                let asker = self.peer(from);
                if let (Some(asker), Some(it)) = (asker, self.node(node)) {
                    it.askers.insert(token, asker);
                    let asked = cluster::leases::Input::Asked { token, shards };
                    self.tell_leases(node, asked);
                }
            }
            Message::HandedOver { token, kept } => self.handed_over(node, token, kept),
        }
    }

    pub(crate) fn owner_of_shard(&mut self, node: usize, shard: ShardId) -> Option<usize> {
        let it = self.node(node)?;
        let owner = it.ring.owner_of_shard(it.map.home(shard))?.to_string();
        self.seat_of(&owner)
    }

    /// Takes a request to where it belongs, as this node sees it.
    pub(crate) fn route(
        &mut self,
        node: usize,
        token: Token,
        target: RunTarget,
        request: Request,
        origin: Origin,
    ) {
        let Some(it) = self.node(node) else { return };
        let shard = it.map.shard(target.workflow.position());
        let owner = self.owner_of_shard(node, shard);
        let until = self.now + WAITS;
        let newest = self.epochs.get(&shard).copied().unwrap_or_default();
        let Some(it) = self.node(node) else { return };
        if let Some(held) = it.held.get(&shard).filter(|held| !held.draining) {
            it.asked.insert(token, (origin, held.lease.epoch != newest));
            let token = Some(token);
            let received = self.clock(node);
            let ask = Input::Ask {
                token,
                target,
                request,
                received,
            };
            return self.feed(node, shard, ask);
        }
        let waiting = Waiting {
            target,
            request,
            until,
        };
        match (owner, origin) {
            (Some(owner), Origin::Client) if owner != node => {
                it.forwarded.insert(token, waiting);
                self.forward(node, owner, token);
            }
            (Some(owner), Origin::Peer(_)) if owner != node => {
                self.answer(node, token, origin, Err(AskError::Moved));
            }
            _ => {
                it.parked.push((token, origin, waiting));
                self.here(node, WAITS, Local::ParkedEnds);
            }
        }
    }

    fn forward(&mut self, node: usize, owner: usize, token: Token) {
        let (owner, by) = (self.peer(owner), self.peer(node));
        let waiting = self.node(node).and_then(|it| it.forwarded.get(&token)).cloned();
        match (owner, by, waiting) {
            (Some(owner), Some(by), Some(waiting)) => {
                let Waiting { target, request, .. } = waiting;
                let map = self.node(node).map_or(0, |it| it.map.version);
                let ask = Message::Ask {
                    token,
                    target,
                    request,
                    by,
                    map,
                };
                self.send(node, owner, ask);
            }
            // Nobody listens there: it has not left.
            _ => self.here(node, AGAIN, Local::AskAgain(token)),
        }
    }

    pub(crate) fn ask_again(&mut self, node: usize, token: Token) {
        let now = self.now;
        let waiting = self.node(node).and_then(|it| it.forwarded.remove(&token));
        let Some(waiting) = waiting else { return };
        if waiting.until <= now {
            return self.answered(token, Err(AskError::Unavailable("no owner".to_owned())));
        }
        let until = waiting.until;
        self.route(node, token, waiting.target, waiting.request, Origin::Client);
        // However often it is sent: the time is that of the first.
        if let Some(it) = self.node(node)
            && let Some(waiting) = it.forwarded.get_mut(&token)
        {
            waiting.until = until;
        }
    }

    fn forward_answered(&mut self, node: usize, token: Token, reply: Result<Reply, AskError>) {
        if matches!(reply, Err(AskError::Moved)) {
            self.doubt_map(node);
            return self.here(node, AGAIN, Local::AskAgain(token));
        }
        let forwarded = self.node(node).and_then(|it| it.forwarded.remove(&token));
        if forwarded.is_some() {
            self.answered(token, reply);
        }
    }

    pub(crate) fn answer(
        &mut self,
        node: usize,
        token: Token,
        origin: Origin,
        reply: Result<Reply, AskError>,
    ) {
        match origin {
            Origin::Client => self.answered(token, reply),
            Origin::Peer(peer) => {
                let reply = Box::new(reply);
                self.send(node, peer, Message::Answer { token, reply });
            }
        }
    }

    /// Takes up what waited, where it can go on.
    pub(crate) fn route_parked(&mut self, node: usize) {
        let Some(it) = self.node(node) else { return };
        for (token, origin, waiting) in std::mem::take(&mut it.parked) {
            let Some(it) = self.node(node) else { return };
            let shard = it.map.shard(waiting.target.workflow.position());
            let owner = self.owner_of_shard(node, shard);
            let Some(it) = self.node(node) else { return };
            let here = it.held.get(&shard).is_some_and(|held| !held.draining);
            if here || owner.is_some_and(|owner| owner != node) {
                self.route(node, token, waiting.target, waiting.request, origin);
            } else {
                it.parked.push((token, origin, waiting));
            }
        }
    }

    pub(crate) fn end_parked(&mut self, node: usize) {
        let now = self.now;
        let Some(it) = self.node(node) else { return };
        let over = it.parked.extract_if(.., |(_, _, waiting)| waiting.until <= now);
        let over: Vec<_> = over.map(|(token, origin, _)| (token, origin)).collect();
        for (token, origin) in over {
            let error = AskError::Unavailable("shard has no owner".to_owned());
            self.answer(node, token, origin, Err(error));
        }
    }
}
