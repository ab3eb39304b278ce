//! Shards and queues of a simulated node: what they are told, and what becomes of what they say.

use std::time::Duration;

use cluster::leases::Input as LeasesInput;
use matching::{
    input::{Input as QueueInput, PollToken, PollerInfo},
    output::{Given, Output as QueueOutput},
    queue::Queue,
};
use proto::{
    ids::{QueueKey, RunKey, ShardId},
    time::Timestamp,
};
use shard::{
    auditor::Place,
    input::{Input, LoadKey, Scan},
    output::{AskError, Output},
    reads,
    shard::Shard,
};
use storage::{
    error::StoreError,
    shard::{Lease, ShardStore},
    visibility::Update,
};

use super::{
    calls::Message,
    node::{Held, Origin, Peer},
    world::{Event, Local, World},
};
use crate::{setup::setup, world::ready};

/// What a shard reads of the store.
#[derive(Clone, Debug)]
pub(crate) enum Read {
    Load(LoadKey),
    Scan(Scan),
    Audit(Place),
    Prove(Lease),
}

impl World {
    pub(crate) fn give_up(&mut self, node: usize, shard: ShardId) {
        let held = self.node(node).and_then(|it| it.held.get_mut(&shard));
        match held {
            Some(held) if !held.draining => {
                held.draining = true;
                self.feed(node, shard, Input::Drain);
            }
            // It is drained for a change: nobody here has a way to it.
            Some(held) => {
                held.given_up = true;
                self.ended(node, shard);
            }
            None => self.ended(node, shard),
        }
    }

    /// The lease is here: the shard starts.
    pub(crate) fn leased(&mut self, node: usize, lease: Lease, asked_at: Timestamp) {
        let shard = lease.shard;
        let setup = setup(&lease, asked_at, &self.store, &mut self.random);
        let now = self.clock(node);
        let mut out = Vec::new();
        let core = Shard::new(setup, now, &mut out);
        let held = Held {
            core,
            lease,
            commit: None,
            draining: false,
            given_up: false,
            feed: None,
            flush: false,
        };
        if let Some(it) = self.node(node) {
            it.held.insert(shard, held);
        }
        self.outputs(node, shard, out);
        self.tell_leases(node, LeasesInput::TakenUp(shard));
        self.route_parked(node);
        self.see_to_changes(node);
    }

    fn epoch(&mut self, node: usize, shard: ShardId) -> Option<u64> {
        Some(self.node(node)?.held.get(&shard)?.lease.epoch)
    }

    pub(crate) fn feed(&mut self, node: usize, shard: ShardId, input: Input) {
        let now = self.clock(node);
        let mut out = Vec::new();
        let held = self.node(node).and_then(|it| it.held.get_mut(&shard));
        let Some(held) = held else { return };
        if let (Input::Committed { batch }, Some(feed)) = (&input, &mut held.feed) {
            feed.committed(&held.lease, *batch);
        }
        let hears = held.feed.is_some() && matches!(input, Input::Committed { .. });
        held.core.handle(input, now, &mut out);
        held.core.check();
        let epoch = held.lease.epoch;
        let flush = !std::mem::replace(&mut held.flush, true);
        self.outputs(node, shard, out);
        if flush {
            self.here(node, Duration::from_micros(10), Local::Flush(shard, epoch));
        }
        if hears {
            self.hear_soon(node);
        }
    }

    pub(crate) fn flush(&mut self, node: usize, shard: ShardId, epoch: u64) {
        let now = self.clock(node);
        let held = self.node(node).and_then(|it| it.held.get_mut(&shard));
        let Some(held) = held.filter(|held| held.lease.epoch == epoch) else {
            return;
        };
        held.flush = false;
        let mut out = Vec::new();
        held.core.handle(Input::Flush, now, &mut out);
        self.outputs(node, shard, out);
    }

    fn outputs(&mut self, node: usize, shard: ShardId, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Reply { token, reply } => {
                    let asked = self.node(node).and_then(|it| it.asked.remove(&token));
                    if let Some((origin, lost)) = asked {
                        let says = matches!(reply, Ok(_) | Err(AskError::Rejected(_)));
                        assert!(
                            !(lost && says),
                            "an owner that was none any more has answered: {reply:?}"
                        );
                        self.answer(node, token, origin, reply);
                    }
                }
                Output::GiveBack {
                    token,
                    target,
                    request,
                } => self.given_back(node, token, target, request),
                Output::Load(key) => self.read_later(node, shard, Read::Load(key)),
                Output::Scan(scan) => self.read_later(node, shard, Read::Scan(scan)),
                Output::Audit(place) => self.read_later(node, shard, Read::Audit(place)),
                Output::Prove => {
                    let held = self.node(node).and_then(|it| it.held.get(&shard));
                    if let Some(lease) = held.map(|held| held.lease.clone()) {
                        self.read_later(node, shard, Read::Prove(lease));
                    }
                }
                Output::Commit(batch) => self.commit(node, shard, batch),
                Output::Announce {
                    queue,
                    run,
                    task,
                    durable,
                } => {
                    let ticket = cluster::tickets::ticket(shard, run, &task, durable);
                    self.hint(node, queue, QueueInput::Announce(ticket));
                }
                Output::HeldBack { queue, count, oldest } => {
                    self.hint(node, queue, QueueInput::HeldBack { shard, count, oldest });
                }
                Output::Index { run, update } => self.index(node, shard, run, *update),
                Output::Stop(_) => {
                    // Whoever waits is told nothing: the connection may be gone as well.
                    self.drop_shard(node, shard);
                    return self.fell(node, shard);
                }
                Output::Drained => return self.drained(node, shard),
                Output::Deliver { .. } => panic!("nothing here talks to another workflow"),
            }
        }
    }

    fn drop_shard(&mut self, node: usize, shard: ShardId) {
        if let Some(it) = self.node(node) {
            it.held.remove(&shard);
        }
    }

    /// Everything is durable and answered: the lease goes back, then the next owner may have it.
    fn drained(&mut self, node: usize, shard: ShardId) {
        let held = self.node(node).and_then(|it| it.held.remove(&shard));
        let Some(held) = held else { return };
        assert!(held.commit.is_none(), "nothing is on its way");
        self.release(node, held.lease);
        drop(held.feed);
        if self.drains(node, shard).is_none() {
            return self.ended(node, shard);
        }
        self.drained_for_change(node, shard);
        if !held.given_up {
            self.fell(node, shard);
        }
    }

    fn read_later(&mut self, node: usize, shard: ShardId, read: Read) {
        if let Some(epoch) = self.epoch(node, shard) {
            let wait = self.network.store_takes(&mut self.random);
            self.here(node, wait, Local::Read(shard, epoch, read));
        }
    }

    pub(crate) fn read(&mut self, node: usize, shard: ShardId, epoch: u64, read: Read) {
        if self.epoch(node, shard) != Some(epoch) {
            return;
        }
        let lost = || StoreError::Unavailable("simulated".to_owned());
        let reached = self.network.reaches_store(node);
        let input = match read {
            Read::Load(key) => {
                let value = ready(reads::load(&self.store, shard, &key));
                let value = if reached { value } else { Err(lost()) };
                Input::Loaded { key, value }
            }
            Read::Scan(scan) => {
                let rows = ready(reads::scan(&self.store, shard, &scan));
                let rows = if reached { rows } else { Err(lost()) };
                Input::Scanned { scan, rows }
            }
            Read::Prove(lease) => {
                let held = ready(self.store.holds(&lease));
                Input::Proved(if reached { held } else { Err(lost()) })
            }
            Read::Audit(place) => {
                let page = ready(reads::audit(&self.store, shard, &place));
                Input::Audited(if reached { page } else { Err(lost()) })
            }
        };
        self.feed(node, shard, input);
        let held = self.node(node).and_then(|it| it.held.get(&shard));
        let repairs = held.map_or(0, |held| held.core.view().repairs);
        assert_eq!(repairs, 0, "the auditor has touched a healthy run");
    }

    fn index(&mut self, node: usize, shard: ShardId, run: RunKey, update: Update) {
        if let (Update::Upsert(record), Some(epoch)) = (update, self.epoch(node, shard)) {
            let wait = self.network.store_takes(&mut self.random);
            let indexed = Local::Indexed(shard, epoch, run, record.version);
            self.here(node, wait, indexed);
        }
    }

    pub(crate) fn indexed(&mut self, node: usize, shard: ShardId, epoch: u64, run: RunKey, version: u64) {
        if self.epoch(node, shard) == Some(epoch) {
            let runs = vec![(run, version)];
            self.feed(node, shard, Input::Indexed { runs });
        }
    }

    /// Tells a queue something that may get lost.
    pub(crate) fn hint(&mut self, node: usize, queue: QueueKey, input: QueueInput) {
        match self.owner_of_queue(node, &queue) {
            Some(owner) if owner == node => self.tell_queue(node, &queue, input),
            Some(owner) => self.send_to_seat(node, owner, Message::ToQueue { queue, input }),
            None => {}
        }
    }

    fn owner_of_queue(&mut self, node: usize, queue: &QueueKey) -> Option<usize> {
        let owner = self.node(node)?.ring.owner(queue.name.as_bytes())?.to_string();
        self.seat_of(&owner)
    }

    /// A worker polls through this node.
    pub(crate) fn poll(&mut self, node: usize, queue: QueueKey, token: PollToken, wait: Duration) {
        let Some(by) = self.peer(node) else { return };
        match self.owner_of_queue(node, &queue) {
            Some(owner) if owner == node => self.take_poll(node, &queue, token, by, wait),
            Some(owner) => {
                let poll = Message::Poll {
                    queue,
                    token,
                    by,
                    wait,
                };
                self.send_to_seat(node, owner, poll);
            }
            None => {}
        }
    }

    pub(crate) fn take_poll(
        &mut self,
        node: usize,
        queue: &QueueKey,
        token: PollToken,
        by: Peer,
        wait: Duration,
    ) {
        let deadline = self.clock(node) + wait;
        if let Some(it) = self.node(node) {
            it.polls.insert(token, by);
        }
        let poller = PollerInfo::default();
        let poll = QueueInput::Poll {
            token,
            poller,
            deadline,
        };
        self.tell_queue(node, queue, poll);
    }

    pub(crate) fn tell_queue(&mut self, node: usize, key: &QueueKey, input: QueueInput) {
        let now = self.clock(node);
        let Some(it) = self.node(node) else { return };
        let queue = it
            .queues
            .entry(key.clone())
            .or_insert_with(|| Queue::new(key, std::sync::Arc::default(), now));
        let mut out = Vec::new();
        queue.handle(input, now, &mut out);
        for output in out {
            match output {
                QueueOutput::Give { token, give } => {
                    let by = self.node(node).and_then(|it| it.polls.remove(&token));
                    if let (Given::Ticket(ticket), Some(by)) = (give.task, by) {
                        self.send(node, by, Message::Given { token, ticket });
                    }
                }
                QueueOutput::Empty(token) | QueueOutput::PollRefused(token) => {
                    let by = self.node(node).and_then(|it| it.polls.remove(&token));
                    if let Some(by) = by {
                        self.send(node, by, Message::Empty(token));
                    }
                }
                QueueOutput::Refuse { ticket, why } => {
                    let shard = ticket.shard;
                    self.tell_owner(node, shard, Message::Refused(key.clone(), ticket, why));
                }
                QueueOutput::Credit { shard, free } => {
                    self.tell_owner(node, shard, Message::Credit(shard, key.clone(), free));
                }
                QueueOutput::QueryEnded { .. } | QueueOutput::Idle => {}
            }
        }
    }

    /// Tells the shard's owner, as this node knows it.
    pub(crate) fn tell_owner(&mut self, node: usize, shard: ShardId, message: Message) {
        let owner = self.owner_of_shard(node, shard);
        if let Some(owner) = owner {
            self.send_to_seat(node, owner, message);
        }
    }

    /// A shard has let go of a request without looking at it.
    fn given_back(
        &mut self,
        node: usize,
        token: shard::input::Token,
        target: shard::input::RunTarget,
        request: shard::input::Request,
    ) {
        let origin = self.node(node).and_then(|it| it.asked.remove(&token));
        match origin {
            Some((Origin::Client, _)) => self.route(node, token, target, request, Origin::Client),
            Some((origin, _)) => self.answer(node, token, origin, Err(AskError::Moved)),
            None => {}
        }
    }

    pub(crate) fn send_to_seat(&mut self, from: usize, to: usize, message: Message) {
        if let Some(to) = self.peer(to) {
            self.send(from, to, message);
        }
    }

    pub(crate) fn send(&mut self, from: usize, to: Peer, message: Message) {
        let lossy = message.is_hint() && self.faulty && self.random.one_in(30);
        if !lossy {
            let wait = if from == to.node {
                Duration::from_micros(20)
            } else {
                self.network.takes(&mut self.random)
            };
            self.after(wait, Event::Message { from, to, message });
        }
    }
}
