//! The network of the simulated world: what shards, queues and clients say to one another, late, twice or not at all.

use engine::outcome::Reply;
use matching::{
    input::Input as QueueInput,
    output::{Given, Output as QueueOutput, Refusal as QueueRefusal},
    queue::Queue,
    ticket::Ticket,
};
use proto::ids::{QueueKey, RunKey};
use shard::{
    auditor::Page,
    input::{Input, Request, RunTarget, Token},
    output::{AskError, Output},
    reads,
};

use storage::shard::ShardStore;

use crate::{
    tickets,
    world::{SHARD, Waiting, World, ready},
};

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) enum Mail {
    ToQueue(QueueKey, QueueInput),
    ToShard(Message),
    /// A worker has been given a ticket.
    Redeem(QueueKey, Ticket),
    /// The owner with this epoch has read a part of the store.
    Audited(u64, Page),
}

#[derive(Clone, Debug)]
pub(crate) enum Message {
    Refused(QueueKey, Ticket, QueueRefusal),
    Credit(QueueKey, usize),
    Indexed(RunKey, u64),
}

impl World {
    pub(crate) fn deliver(&mut self) {
        if self.mail.is_empty() {
            return;
        }
        let at = if self.faulty {
            self.random.below(self.mail.len())
        } else {
            0
        };
        let mail = self.mail.remove(at);
        let hint = matches!(mail, Mail::ToQueue(..) | Mail::Redeem(..));
        if self.faulty && hint && self.random.one_in(12) {
            return; // Lost.
        }
        if self.faulty && hint && self.random.one_in(12) {
            self.mail.push(mail.clone()); // Comes again.
        }
        match mail {
            Mail::ToQueue(queue, input) => self.tell_queue(&queue, input),
            Mail::Redeem(queue, ticket) => self.redeem(&queue, ticket),
            Mail::ToShard(message) => self.feed(message.into_input()),
            Mail::Audited(epoch, page) => self.audited(epoch, page),
        }
    }

    fn audited(&mut self, epoch: u64, page: Page) {
        self.feed_to(epoch, Input::Audited(Ok(page)));
        if let Some(owner) = self.owners.get(&epoch) {
            let repairs = owner.shard.view().repairs;
            assert!(
                repairs == 0 || self.lossy,
                "the auditor has touched a healthy run"
            );
        }
    }

    /// Asks an owner: the newest, or one that only a client with an old map still asks.
    pub(crate) fn ask(&mut self, target: RunTarget, request: Request, waiting: Waiting) {
        let token = Token(self.token());
        self.waiting.insert(token, waiting);
        let owners: Vec<u64> = self.owners.keys().copied().collect();
        let stale = self.faulty && self.random.one_in(8);
        let owner = if stale && !owners.is_empty() {
            owners.get(self.random.below(owners.len()))
        } else {
            owners.last()
        };
        match owner {
            Some(owner) => self.ask_owner(*owner, token, target, request),
            None => self.parked.push((token, target, request)),
        }
    }

    fn ask_owner(&mut self, owner: u64, token: Token, target: RunTarget, request: Request) {
        self.asked_of.insert(token, owner);
        let token = Some(token);
        self.feed_to(
            owner,
            Input::Ask {
                token,
                target,
                request,
                received: self.now,
            },
        );
    }

    /// Asks the new owner what the one before has given back.
    pub(crate) fn ask_parked(&mut self) {
        for (token, target, request) in std::mem::take(&mut self.parked) {
            match self.owners.keys().next_back() {
                Some(owner) => self.ask_owner(*owner, token, target, request),
                None => self.parked.push((token, target, request)),
            }
        }
    }

    /// Tells the newest owner.
    pub(crate) fn feed(&mut self, input: Input) {
        if let Some(owner) = self.owners.keys().next_back() {
            self.feed_to(*owner, input);
        }
    }

    pub(crate) fn feed_to(&mut self, epoch: u64, input: Input) {
        let Some(owner) = self.owners.get_mut(&epoch) else {
            return;
        };
        let mut out = Vec::new();
        owner.shard.handle(input, self.now, &mut out);
        owner.shard.check();
        self.outputs(epoch, out);
    }

    pub(crate) fn outputs(&mut self, epoch: u64, outputs: Vec<Output>) {
        for output in outputs {
            self.note(&output);
            match output {
                Output::Reply { token, reply } => self.answered(token, reply),
                Output::GiveBack {
                    token,
                    target,
                    request,
                } => self.given_back(epoch, token, target, request),
                Output::Load(key) => {
                    let value = ready(reads::load(&self.store, SHARD, &key));
                    self.feed_to(epoch, Input::Loaded { key, value });
                }
                Output::Scan(scan) => {
                    let rows = ready(reads::scan(&self.store, SHARD, &scan));
                    self.feed_to(epoch, Input::Scanned { scan, rows });
                }
                Output::Audit(place) => {
                    let page = ready(reads::audit(&self.store, SHARD, &place)).expect("read");
                    self.mail.push(Mail::Audited(epoch, page));
                }
                Output::Commit(batch) => {
                    let owner = self.owners.get_mut(&epoch).expect("it is there");
                    assert!(owner.commit.is_none(), "one commit in flight");
                    owner.commit = Some(batch);
                }
                Output::Prove => {
                    let owner = self.owners.get(&epoch).expect("it is there");
                    let held = ready(self.store.holds(&owner.lease));
                    self.feed_to(epoch, Input::Proved(held));
                }
                Output::Announce {
                    queue,
                    run,
                    task,
                    durable,
                } => {
                    let ticket = cluster::tickets::ticket(SHARD, run, &task, durable);
                    self.mail.push(Mail::ToQueue(queue, QueueInput::Announce(ticket)));
                }
                Output::HeldBack { queue, count, oldest } => {
                    let input = QueueInput::HeldBack {
                        shard: SHARD,
                        count,
                        oldest,
                    };
                    self.mail.push(Mail::ToQueue(queue, input));
                }
                Output::Index { run, update } => {
                    if let storage::visibility::Update::Upsert(record) = *update {
                        self.mail
                            .push(Mail::ToShard(Message::Indexed(run, record.version)));
                    }
                }
                Output::Stop(_) => return self.fallen(epoch),
                Output::Drained => return self.drained(epoch),
                Output::Deliver { .. } => panic!("nothing here talks to another workflow"),
            }
        }
    }

    /// The request goes to the newest owner, or waits for the next one.
    fn given_back(&mut self, by: u64, token: Token, target: RunTarget, request: Request) {
        self.asked_of.remove(&token);
        match self.owners.keys().next_back() {
            Some(newest) if *newest != by => self.ask_owner(*newest, token, target, request),
            _ => self.parked.push((token, target, request)),
        }
    }

    pub(crate) fn tell_queue(&mut self, key: &QueueKey, input: QueueInput) {
        let now = self.now;
        let queue = self
            .queues
            .entry(key.clone())
            .or_insert_with(|| Queue::new(key, std::sync::Arc::default(), now));
        let mut out = Vec::new();
        queue.handle(input, now, &mut out);
        for output in out {
            match output {
                QueueOutput::Give { token, give } => {
                    self.polls.remove(&token);
                    if let Given::Ticket(ticket) = give.task {
                        self.mail.push(Mail::Redeem(key.clone(), ticket));
                    }
                }
                QueueOutput::Empty(token) | QueueOutput::PollRefused(token) => {
                    self.polls.remove(&token);
                }
                QueueOutput::Refuse { ticket, why } => {
                    self.mail
                        .push(Mail::ToShard(Message::Refused(key.clone(), ticket, why)));
                }
                QueueOutput::Credit { free, .. } => {
                    self.mail.push(Mail::ToShard(Message::Credit(key.clone(), free)));
                }
                QueueOutput::QueryEnded { .. } | QueueOutput::Idle => {}
            }
        }
    }

    /// An answer has come: what it acknowledges must be durable (P3).
    fn answered(&mut self, token: Token, reply: Result<Reply, AskError>) {
        self.asked_of.remove(&token);
        let Some(waiting) = self.waiting.remove(&token) else {
            return;
        };
        match (waiting, reply) {
            (Waiting::Begin(target), Ok(Reply::WorkflowTask(task))) => self.work(target, *task),
            (Waiting::Begin(target), Ok(Reply::Activity(activity))) => self.act(target, &activity),
            (waiting, Ok(reply)) => self.model.acknowledge(&self.store, SHARD, waiting, &reply),
            (_, Err(_)) => {}
        }
    }
}

impl Message {
    fn into_input(self) -> Input {
        match self {
            Self::Refused(queue, ticket, why) => tickets::refused(queue, ticket, why),
            Self::Credit(queue, free) => Input::Credit { queue, free },
            Self::Indexed(run, version) => Input::Indexed {
                runs: vec![(run, version)],
            },
        }
    }
}
