//! What a workflow does next, from its past alone, so that any worker gives the same answer. Pure.

use std::time::Duration;

use proto::temporal::{command::v1::Command, protocol::v1::Message};

use crate::{
    command,
    kind::{CHILDREN, Kind, LINKS, PARALLEL, SERIAL, SIGNALS},
    past::{Past, Stage},
    random::number_of,
};

/// The signal on which a workflow that waits for its callers ends.
pub(crate) const FINISH: &str = "finish";
pub(crate) const STEP: &str = "step";

const TIMER_MAX_MS: u64 = 1_500;

/// The answer to a workflow task.
#[derive(Debug, Default)]
pub(crate) struct Decision {
    pub commands: Vec<Command>,
    pub messages: Vec<Message>,
}

/// Decides for a run; `mark` tells outcomes of different attempts apart.
pub(crate) fn decide(kind: Kind, workflow_id: &str, past: Past, messages: &[Message], mark: u64) -> Decision {
    let mut decider = Decider {
        workflow_id,
        past,
        mark,
        decision: Decision::default(),
    };
    decider.updates(messages);
    decider.advance(kind);
    decider.decision
}

/// The result of a workflow that completes.
pub(crate) fn result_of(workflow_id: &str) -> String {
    format!("{workflow_id} is done")
}

pub(crate) fn child_id(parent_id: &str, at: usize) -> String {
    format!("{parent_id}-child-{at}")
}

struct Decider<'a> {
    workflow_id: &'a str,
    past: Past,
    mark: u64,
    decision: Decision,
}

impl Decider<'_> {
    fn advance(&mut self, kind: Kind) {
        let ended = match kind {
            Kind::Activity | Kind::Leaf => self.activity("only"),
            Kind::Activities => self.activities(),
            Kind::Timer => self.timer("before") && self.activity("between") && self.timer("after"),
            Kind::Signals => self.signals(),
            Kind::SignalStarts => self.past.signals.len() > SIGNALS && self.past.signaled(FINISH),
            Kind::Updates => Past::all_done(&self.past.updates) && self.past.signaled(FINISH),
            Kind::Parent => all((0..CHILDREN).map(|at| self.child(at))),
            Kind::Chain => return self.chain(),
            Kind::Fails => return self.fails(),
            Kind::Canceled => {
                if self.past.cancel_requested {
                    self.push(command::cancel());
                }
                return;
            }
            Kind::Terminated => return,
        };
        if ended {
            self.push(command::complete(&result_of(self.workflow_id)));
        }
    }

    fn activities(&mut self) -> bool {
        let parallel = all((0..PARALLEL).map(|at| self.activity(&format!("parallel-{at}"))));
        parallel && (0..SERIAL).all(|at| self.activity(&format!("serial-{at}")))
    }

    fn signals(&mut self) -> bool {
        let steps = self.past.signals.iter().filter(|name| *name == STEP).count();
        let done = all((0..steps).map(|at| self.activity(&format!("signal-{at}"))));
        done && self.past.signaled(FINISH)
    }

    /// The first run waits for its caller, so that a start made again always finds that run.
    fn chain(&mut self) {
        let link: usize = self.past.input.parse().unwrap_or(0);
        if (link == 0 && !self.past.signaled(FINISH)) || !self.activity("link") {
            return;
        }
        self.push(if link + 1 == LINKS {
            command::complete(&result_of(self.workflow_id))
        } else {
            command::continue_as_new(Kind::Chain, &(link + 1).to_string())
        });
    }

    fn fails(&mut self) {
        match self.past.activities.get("doomed") {
            None => self.push(command::activity("doomed", true)),
            Some(Stage::Open) => {}
            Some(Stage::Done | Stage::Lost) => self.push(command::fail()),
        }
    }

    /// Accepts what is asked, and answers what can be answered: every second update waits for an activity.
    fn updates(&mut self, messages: &[Message]) {
        for message in messages {
            let Some(request) = command::update_request(message) else {
                continue;
            };
            let accepted = command::accept(message, request);
            self.say(accepted);
            self.past
                .updates
                .insert(message.protocol_instance_id.clone(), Stage::Open);
        }
        let open = self
            .past
            .updates
            .iter()
            .filter(|(_, stage)| **stage == Stage::Open);
        for id in open.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            if waits(&id) && !self.activity(&id) {
                continue;
            }
            self.say(command::respond(&id, &format!("{id} by {}", self.mark)));
            self.past.updates.insert(id, Stage::Done);
        }
    }

    /// Whether the activity is done; schedules it first.
    fn activity(&mut self, id: &str) -> bool {
        match self.past.activities.get(id) {
            Some(stage) => *stage == Stage::Done,
            None => {
                self.push(command::activity(id, false));
                false
            }
        }
    }

    fn timer(&mut self, id: &str) -> bool {
        if let Some(stage) = self.past.timers.get(id) {
            return *stage == Stage::Done;
        }
        let after = number_of(&format!("{}/{id}", self.workflow_id)) % TIMER_MAX_MS;
        self.push(command::timer(id, Duration::from_millis(after + 1)));
        false
    }

    fn child(&mut self, at: usize) -> bool {
        let id = child_id(self.workflow_id, at);
        match self.past.children.get(&id) {
            Some(stage) => *stage == Stage::Done,
            None => {
                self.push(command::child(&id));
                false
            }
        }
    }

    fn push(&mut self, command: Command) {
        self.decision.commands.push(command);
    }

    fn say(&mut self, (command, message): (Command, Message)) {
        self.decision.commands.push(command);
        self.decision.messages.push(message);
    }
}

/// Whether all are done; asks each, so that each is begun.
fn all(done: impl Iterator<Item = bool>) -> bool {
    done.fold(true, |all, one| all & one)
}

/// Whether an update's answer comes from an activity.
fn waits(update_id: &str) -> bool {
    let number = update_id
        .rsplit('-')
        .next()
        .and_then(|number| number.parse::<u64>().ok());
    number.is_some_and(|number| number % 2 == 1)
}
