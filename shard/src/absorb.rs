//! Absorb: what a step decided goes into the stage, and its outputs wait there until it is durable (P3).

use bytes::Bytes;
use engine::{
    Last,
    effect::Effect,
    outcome::{Rejection, Reply, Step},
};
use proto::{
    ids::{RunKey, WorkflowKey},
    temporal::history::v1::{History, HistoryEvent},
    time::Timestamp,
};
use storage::batch::{HistoryNode, Table};

use crate::{
    cache::{Lookup, Slot},
    codec,
    input::{Request, Token},
    output::{AskError, Output},
    shard::{Shard, history_key, refuse},
};

impl Shard {
    /// Stages what a step decided.
    pub(crate) fn absorb(
        &mut self,
        run: Option<&RunKey>,
        workflow: &WorkflowKey,
        mut step: Step,
        token: Option<Token>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let successor = step.successor.take();
        let mut owner = run.cloned();
        if let Some(run) = run {
            let was_current = successor.is_none();
            self.absorb_run(run, &mut step, was_current, now, out);
        }
        if let Some(new) = successor {
            let new = *new;
            let Ok(key) = new.run.key() else {
                return refuse(token, AskError::Broken("new run has no key".to_owned()), out);
            };
            debug_assert_eq!(
                key.workflow, *workflow,
                "a run is continued under its own workflow id"
            );
            self.cache.insert(key.clone(), Slot::new(new.run, false));
            let mut first = Step {
                events: new.events,
                durable: true,
                index: true,
                effects: new.effects,
                ..Step::default()
            };
            self.absorb_run(&key, &mut first, true, now, out);
            owner = Some(key);
        }
        self.answer(owner.as_ref(), step, token, out);
    }

    pub(crate) fn absorb_run(
        &mut self,
        key: &RunKey,
        step: &mut Step,
        may_be_current: bool,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let written = std::mem::take(&mut step.events);
        self.count_step(key, step, &written);
        let Some(slot) = self.cache.slot_mut(key) else {
            return;
        };
        slot.index |= step.index;
        let changed = step.durable || step.index;
        let durable = step.durable;
        let received = self.received.take_if(|_| durable);
        if changed || !written.is_empty() {
            let history = history_key(key);
            self.stage.change(&key.workflow, |unit| {
                if durable {
                    unit.count(received);
                }
                for (first_event_id, events) in encode(&written) {
                    slot.tail.push(first_event_id, events.clone());
                    unit.append(HistoryNode {
                        history,
                        first_event_id,
                        events,
                    });
                }
                if changed {
                    unit.mark(key.clone());
                }
            });
        }
        if changed {
            let last = slot.run.last();
            // An open run is always the newest of its workflow id, and so is one that has just closed.
            let starts = !slot.hot;
            let closed = !slot.run.is_open();
            if may_be_current && (starts || (closed && step.index)) && self.is_current_or_unknown(key) {
                self.set_current(&key.workflow, Some(last));
            }
        }
        for effect in std::mem::take(&mut step.effects) {
            self.effect(key, effect, out);
        }
        self.arm(key);
        self.cache.touch(key);
        if self
            .cache
            .slot(key)
            .is_some_and(|slot| slot.run.state().deleting && slot.run.is_settled())
        {
            self.tell(key, Request::Purge, now, out);
        }
    }

    fn is_current_or_unknown(&self, key: &RunKey) -> bool {
        match self.cache.lookup_current(&key.workflow) {
            Lookup::Known(Some(last)) => {
                last.run_id == key.run_id.to_string() || self.cache.slot(key).is_some_and(|slot| !slot.hot)
            }
            Lookup::Known(None) | Lookup::Absent | Lookup::Loading => true,
        }
    }

    pub(crate) fn set_current(&mut self, workflow: &WorkflowKey, last: Option<Last>) {
        let key = codec::current_key(workflow);
        let value = last
            .as_ref()
            .map(|last| prost::Message::encode_to_vec(last).into());
        self.stage.change(workflow, |unit| match value {
            Some(value) => unit.put(Table::Current, key, value),
            None => unit.delete(Table::Current, key),
        });
        if !matches!(self.cache.lookup_current(workflow), Lookup::Loading) {
            self.cache.set_current(workflow.clone(), last);
        }
    }

    fn effect(&mut self, key: &RunKey, effect: Effect, out: &mut Vec<Output>) {
        let workflow_id = || Bytes::copy_from_slice(key.workflow.workflow_id.as_str().as_bytes());
        match effect {
            Effect::Ready(task) => {
                let queue = codec::queue_of(key.workflow.namespace_id, &task);
                let speculative = task.speculative;
                let row = codec::ready_key(&queue, key, &task);
                let announce = Output::announce(queue, key.clone(), task);
                if speculative {
                    self.park(key, announce, out);
                } else {
                    self.stage
                        .change(&key.workflow, |unit| unit.put_ready(row, workflow_id(), announce));
                }
            }
            Effect::Unready(task) => {
                let queue = codec::queue_of(key.workflow.namespace_id, &task);
                let row = codec::ready_key(&queue, key, &task);
                if !task.speculative {
                    self.stage.change(&key.workflow, |unit| unit.delete_ready(row));
                }
            }
            Effect::Deliver(delivery) => {
                let delivery = Box::new(delivery);
                self.park(
                    key,
                    Output::Deliver {
                        from: key.clone(),
                        delivery,
                    },
                    out,
                );
            }
            Effect::Resolve { waiter, reply } => {
                let token = Token(waiter.0);
                self.deferred.remove(&token);
                let reply = self.combine(token, reply);
                self.park(key, Output::Reply { token, reply }, out);
            }
        }
    }

    /// Joins the answer of an update with that of the start it came with.
    fn combine(&mut self, token: Token, reply: Result<Reply, Rejection>) -> Result<Reply, AskError> {
        let Some(started) = self.combining.remove(&token) else {
            return reply.map_err(AskError::from);
        };
        match reply {
            Ok(Reply::Update(update)) => Ok(Reply::StartedAndUpdated {
                started,
                update: Some(update),
            }),
            Ok(other) => Ok(other),
            Err(update) => {
                let start = Box::new(Rejection::Ok);
                Err(Rejection::MultiOperation {
                    start,
                    update: Box::new(update),
                }
                .into())
            }
        }
    }

    fn answer(&mut self, run: Option<&RunKey>, step: Step, token: Option<Token>, out: &mut Vec<Output>) {
        let Some(token) = token else { return };
        let mut reply = step.reply;
        match &mut reply {
            Reply::Deferred => return self.defer(run, token),
            Reply::StartedAndUpdated {
                started,
                update: None,
            } => {
                self.combining.insert(token, started.clone());
                return self.defer(run, token);
            }
            _ => {}
        }
        if let Some(slot) = run.and_then(|run| self.cache.slot(run)) {
            crate::fill::fill(&mut reply, slot);
        }
        if step.early {
            out.push(Output::Reply {
                token,
                reply: Ok(reply),
            });
        } else {
            self.release(run, Some(token), Ok(reply), out);
        }
    }

    /// Remembers whose answer comes with a later step of the run.
    fn defer(&mut self, run: Option<&RunKey>, token: Token) {
        if let Some(run) = run {
            self.deferred.insert(token, run.clone());
        }
    }

    /// Answers once everything that the answer tells of the run is durable.
    pub(crate) fn release(
        &mut self,
        run: Option<&RunKey>,
        token: Option<Token>,
        reply: Result<Reply, AskError>,
        out: &mut Vec<Output>,
    ) {
        let Some(token) = token else { return };
        let output = Output::Reply { token, reply };
        match run {
            Some(run) => self.park(run, output, out),
            None => out.push(output),
        }
    }

    /// Lets the output go once everything known of the run is durable.
    pub(crate) fn park(&mut self, run: &RunKey, output: Output, out: &mut Vec<Output>) {
        if self.stage.waits(&run.workflow) {
            self.stage.park(&run.workflow, output);
        } else if let Some(sealed) = self
            .sealed
            .as_mut()
            .filter(|s| s.workflows.contains(&run.workflow))
        {
            sealed.parked.push(output);
        } else {
            out.push(output);
        }
    }
}

/// Returns the nodes that the events are stored as, each with the id of its first event.
fn encode(events: &[HistoryEvent]) -> Vec<(i64, Bytes)> {
    // A new run may begin with the long history of a reset; every other step writes one node.
    let begins = events.first().is_some_and(|event| event.event_id == 1);
    let nodes = if begins {
        engine::replay::nodes(events)
    } else {
        vec![events]
    };
    let encode = |node: &[HistoryEvent]| {
        let first = node.first()?.event_id;
        let history = History {
            events: node.to_vec(),
        };
        Some((first, prost::Message::encode_to_vec(&history).into()))
    };
    nodes.into_iter().filter_map(encode).collect()
}
