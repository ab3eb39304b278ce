//! The core of a task queue: tickets meet pollers.
//!
//! Pure: no clock, no random, no I/O. It is a cache of what shards know (P5): what it loses is announced again.
//! Who waits is either the tickets or the polls, never both, unless the rate limit stands between them.

mod backlog;
mod flow;
mod give;
mod history;
mod pace;
mod polls;
mod queries;
mod shards;
mod show;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc, time::Duration};

use proto::{
    ids::{QueueKey, TaskKind},
    time::Timestamp,
};

use self::{
    backlog::Backlog,
    flow::Flow,
    history::History,
    pace::Rate,
    polls::{Poll, Polls},
    queries::Queries,
    shards::Shards,
};
use crate::{
    config::Config,
    input::{Input, PollToken, PollerInfo, QueryId, QueryTask},
    limits,
    output::{Output, QueryEnd, Refusal},
    ticket::Ticket,
};

/// One task queue of one kind.
#[derive(Debug)]
pub struct Queue {
    kind: TaskKind,
    sticky: bool,
    config: Arc<Config>,
    backlog: Backlog,
    shards: Shards,
    polls: Polls,
    queries: Queries,
    rate: Rate,
    history: History,
    flow: Flow,
    started: Timestamp,
    /// When a poll came or ended last.
    poller_seen: Option<Timestamp>,
    /// When anybody but an onlooker came last.
    used: Timestamp,
    idle_said: Option<Timestamp>,
    /// Workers that shut down, and when.
    shutdowns: HashMap<Arc<str>, Timestamp>,
    draining: bool,
}

impl Queue {
    #[must_use]
    pub fn new(key: &QueueKey, config: Arc<Config>, now: Timestamp) -> Self {
        Self {
            kind: key.kind,
            sticky: key.sticky,
            config,
            backlog: Backlog::default(),
            shards: Shards::default(),
            polls: Polls::default(),
            queries: Queries::default(),
            rate: Rate::unlimited(),
            history: History::default(),
            flow: Flow::new(now),
            started: now,
            poller_seen: None,
            used: now,
            idle_said: None,
            shutdowns: HashMap::new(),
            draining: false,
        }
    }

    /// Takes one input and says what follows from it. A clock that steps back does no harm.
    pub fn handle(&mut self, input: Input, now: Timestamp, out: &mut Vec<Output>) {
        self.expire(now, out);
        match input {
            Input::Announce(ticket) => self.announce(ticket, now, out),
            Input::Withdraw(id) => drop(self.backlog.remove(&id)),
            Input::Poll {
                token,
                poller,
                deadline,
            } => self.poll(token, &poller, deadline, now, out),
            Input::PollerGone(token) => self.poll_ended(token, now),
            Input::Undelivered(given) => self.undelivered(given, now, out),
            Input::AddQuery { id, task, deadline } => self.add_query(id, task, deadline, now, out),
            Input::QueryGone(id) => self.queries.remove(id),
            Input::Missed { shard, count, oldest } => {
                self.used = now;
                if !self.draining {
                    self.shards.refused(shard, count, oldest);
                }
            }
            Input::HeldBack { shard, count, oldest } => {
                self.used = now;
                if !self.draining {
                    self.shards.said(shard, count, oldest);
                }
            }
            Input::WorkerShutdown { worker_instance_key } => self.shut_down(worker_instance_key, now, out),
            Input::SetRate(rate) => {
                if self.kind == TaskKind::Activity {
                    self.rate.set_api(rate, now);
                }
            }
            Input::Drain => self.drain(out),
            Input::Tick => self.say_idle(now, out),
        }
        self.pair(now, out);
        self.give_credit(now, out);
    }

    fn announce(&mut self, ticket: Ticket, now: Timestamp, out: &mut Vec<Output>) {
        self.used = now;
        if let Some((why, _)) = self.closed(now) {
            out.push(Output::Refuse { ticket, why });
            return;
        }
        let id = ticket.id();
        if self.backlog.contains(&id) {
            return;
        }
        if self.backlog.is_empty() && !self.polls.is_empty() && self.rate.pacer.take(now) {
            self.flow.added(ticket.priority, now);
            self.shards.accepted(ticket.shard);
            self.give_at_once(ticket, now, out);
            return;
        }
        while self.is_full_for(&ticket) {
            match self.backlog.pop_last_below(ticket.priority) {
                Some(less_urgent) => self.refuse_full(less_urgent, out),
                None => return self.refuse_full(ticket, out),
            }
        }
        self.flow.added(ticket.priority, now);
        self.shards.accepted(ticket.shard);
        self.backlog.push(id, ticket);
    }

    /// Says whether the ticket finds no room; the first one always does.
    fn is_full_for(&self, ticket: &Ticket) -> bool {
        self.backlog.len() >= self.config.tickets_max.get()
            || (!self.backlog.is_empty()
                && self.backlog.bytes() + ticket.bytes() > self.config.ticket_bytes_max.get())
    }

    fn refuse_full(&mut self, ticket: Ticket, out: &mut Vec<Output>) {
        self.shards.refused(ticket.shard, 1, ticket.scheduled_time);
        out.push(Output::Refuse {
            ticket,
            why: Refusal::Full,
        });
    }

    /// Gives credit once there is much room, so that it comes in few and large portions.
    fn give_credit(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if !self.shards.anyone_wants() {
            return;
        }
        let taken = self.backlog.len() + self.shards.promised();
        let tickets_max = self.config.tickets_max.get();
        let bytes_max = self.config.ticket_bytes_max.get();
        let ticket_bytes = self
            .backlog
            .bytes()
            .checked_div(self.backlog.len())
            .unwrap_or(limits::TICKET_BYTES_USUAL);
        let taken_bytes = self.backlog.bytes() + self.shards.promised() * ticket_bytes;
        if taken > tickets_max / limits::LOW_WATER_DIVISOR
            || taken_bytes > bytes_max / limits::LOW_WATER_DIVISOR
        {
            return;
        }
        let room = (tickets_max - taken).min((bytes_max - taken_bytes) / ticket_bytes);
        // A bound of less than a ticket still lets one through.
        let room = if taken == 0 { room.max(1) } else { room };
        let messages_max = self
            .config
            .mailbox_messages_max
            .get()
            .div_ceil(limits::CREDIT_MAILBOX_DIVISOR);
        let room = room.min(messages_max.saturating_sub(self.shards.promised()));
        self.shards.grant(room, now, out);
    }

    fn poll(
        &mut self,
        token: PollToken,
        poller: &PollerInfo,
        deadline: Timestamp,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        if self.draining || self.has_shut_down(&poller.worker_instance_key, now) {
            out.push(Output::Empty(token));
            return;
        }
        self.used = now;
        self.poller_seen = Some(now);
        self.history.seen(poller, now);
        if let Some(rate) = poller.max_tasks_per_second
            && self.kind == TaskKind::Activity
        {
            self.rate.set_worker(rate, now);
        }
        let poll = Poll {
            identity: Arc::clone(&poller.identity),
            worker_instance_key: Arc::clone(&poller.worker_instance_key),
            since: now,
            deadline,
        };
        if self.polls.is_empty()
            && let Some(task) = self.next_task(now)
        {
            self.give(token, &poll, task, false, now, out);
        } else if deadline <= now {
            out.push(Output::Empty(token));
        } else if self.polls.len() >= self.config.polls_max.get() {
            out.push(Output::PollRefused(token));
        } else {
            self.polls.add(token, poll);
        }
    }

    fn poll_ended(&mut self, token: PollToken, now: Timestamp) {
        if self.polls.remove(token) {
            self.used = now;
            self.poller_seen = Some(now);
        }
    }

    fn add_query(
        &mut self,
        id: QueryId,
        task: Box<QueryTask>,
        deadline: Timestamp,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        self.used = now;
        let refusal = if let Some((_, why)) = self.closed(now) {
            Some(why)
        } else if !self.poller_near(limits::QUERY_POLLER_WINDOW, now) && !self.awaits_first_poller(now) {
            Some(QueryEnd::NoPoller)
        } else if self.queries.len() >= self.config.queries_max.get()
            || self.queries.bytes() + task.bytes() > self.config.query_bytes_max.get()
        {
            Some(QueryEnd::Full)
        } else if deadline <= now {
            Some(QueryEnd::Deadline)
        } else {
            None
        };
        match refusal {
            Some(why) => out.push(Output::QueryEnded { id, why }),
            None => self.queries.add(id, task, deadline),
        }
    }

    /// Says whether a poll waits or was there within the window.
    fn poller_near(&self, window: Duration, now: Timestamp) -> bool {
        !self.polls.is_empty() || self.poller_seen.is_some_and(|seen| now.since(seen) <= window)
    }

    /// Says whether the queue is so young that its pollers may not have come back yet.
    fn awaits_first_poller(&self, now: Timestamp) -> bool {
        self.poller_seen.is_none() && now < self.started + self.config.rehome_grace
    }

    /// Ends what has come to its deadline.
    fn expire(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        while let Some(token) = self.polls.pop_due(now) {
            self.used = now;
            self.poller_seen = Some(now);
            out.push(Output::Empty(token));
        }
        while let Some((id, waited)) = self.queries.pop_due(now) {
            let no_poller = waited && !self.poller_near(limits::QUERY_POLLER_WINDOW, now);
            let why = if no_poller {
                QueryEnd::NoPoller
            } else {
                QueryEnd::Deadline
            };
            out.push(Output::QueryEnded { id, why });
        }
        if self.queries.waiting() > 0 && self.poller_seen.is_none() && !self.awaits_first_poller(now) {
            self.end_waiting_queries(QueryEnd::NoPoller, out);
        }
        self.shards.expire(now);
    }

    fn end_waiting_queries(&mut self, why: QueryEnd, out: &mut Vec<Output>) {
        while let Some(id) = self.queries.pop_waiting() {
            out.push(Output::QueryEnded { id, why });
        }
    }

    fn refuse_all(&mut self, why: Refusal, out: &mut Vec<Output>) {
        while let Some(ticket) = self.backlog.pop_first() {
            out.push(Output::Refuse { ticket, why });
        }
    }

    fn end_all_polls(&mut self, out: &mut Vec<Output>) {
        while let Some((token, _)) = self.polls.pop_first() {
            out.push(Output::Empty(token));
        }
    }

    /// Ends a worker's polls; a sticky queue is one worker's own, so all that waits there fails over.
    fn shut_down(&mut self, worker_instance_key: Arc<str>, now: Timestamp, out: &mut Vec<Output>) {
        self.used = now;
        if self.sticky {
            self.end_all_polls(out);
            self.refuse_all(Refusal::StickyWorkerUnavailable, out);
            self.end_waiting_queries(QueryEnd::StickyWorkerUnavailable, out);
            self.poller_seen = None;
        }
        // Old workers send no key; without one nobody can be told apart.
        if worker_instance_key.is_empty() {
            return;
        }
        for token in self.polls.of_worker(&worker_instance_key) {
            self.polls.remove(token);
            out.push(Output::Empty(token));
        }
        if self.shutdowns.len() >= limits::SHUTDOWNS_REMEMBERED_MAX {
            self.shutdowns.retain(|_, at| is_recent(*at, now));
        }
        if self.shutdowns.len() < limits::SHUTDOWNS_REMEMBERED_MAX {
            self.shutdowns.insert(worker_instance_key, now);
        }
    }

    fn has_shut_down(&self, worker_instance_key: &str, now: Timestamp) -> bool {
        self.shutdowns
            .get(worker_instance_key)
            .is_some_and(|at| is_recent(*at, now))
    }

    fn drain(&mut self, out: &mut Vec<Output>) {
        self.draining = true;
        self.end_all_polls(out);
        self.end_waiting_queries(QueryEnd::Draining, out);
        self.refuse_all(Refusal::Draining, out);
        self.shards.clear();
    }

    fn say_idle(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self.idle_at().is_some_and(|at| at <= now) {
            self.idle_said = Some(now);
            out.push(Output::Idle);
        }
    }
}

/// Says whether a worker that shut down then is still kept from polling.
fn is_recent(shutdown: Timestamp, now: Timestamp) -> bool {
    now.since(shutdown) < limits::SHUTDOWN_WINDOW
}
