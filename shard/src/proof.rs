//! Proof: an answer leaves only while the shard's lease is known to be the newest one.
//!
//! What a commit carries is proven by the commit. The rest, such as what a read shows or why a request is refused,
//! comes from memory, and the memory of an owner that was cut off while another one took its lease is out of date:
//! a completion that is valid would be refused, a workflow that is there not found. Such answers wait until the
//! lease was held at a time that is not long before them.

use std::time::Duration;

use proto::time::Timestamp;
use storage::error::StoreError;

use crate::{
    output::{AskError, Output},
    shard::Shard,
};

/// What is known of the lease, and the answers that wait to know more.
#[derive(Debug)]
pub(crate) struct Proof {
    /// How long a proof is good for; `None` where nobody else can take the lease.
    trust: Option<Duration>,
    /// When the lease was last known to be held.
    held_at: Timestamp,
    /// When the question was put that is under way.
    asked_at: Option<Timestamp>,
    /// In the order in which they were given, and when.
    waiting: Vec<(Timestamp, Output)>,
}

impl Proof {
    pub(crate) fn new(trust: Option<Duration>, held_at: Timestamp) -> Self {
        Self {
            trust,
            held_at,
            asked_at: None,
            waiting: Vec::new(),
        }
    }

    fn covers(&self, at: Timestamp) -> bool {
        self.trust.is_none_or(|trust| at <= self.held_at + trust)
    }

    pub(crate) fn is_owing(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The lease was held at this time: answers that waited for that go.
    pub(crate) fn held(&mut self, at: Timestamp, out: &mut Vec<Output>) {
        self.held_at = self.held_at.max(at);
        if self.waiting.is_empty() {
            return;
        }
        let proven = self.waiting.partition_point(|(at, _)| self.covers(*at));
        out.extend(self.waiting.drain(..proven).map(|(_, output)| output));
    }

    /// Holds those answers back that were given from `from` on, if they are not proven.
    pub(crate) fn hold_back(&mut self, from: usize, now: Timestamp, out: &mut Vec<Output>) {
        if self.covers(now) {
            return;
        }
        let unproven = out.extract_if(from.., |output| is_answer(output));
        self.waiting.extend(unproven.map(|output| (now, output)));
    }

    /// Asks the store if somebody waits for that and it is not asked already.
    fn ask(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if !self.waiting.is_empty() && self.asked_at.is_none() {
            self.asked_at = Some(now);
            out.push(Output::Prove);
        }
    }
}

impl Shard {
    /// Lets of what was put out from `from` on only that leave which is proven.
    pub(crate) fn prove(&mut self, from: usize, now: Timestamp, out: &mut Vec<Output>) {
        self.proof.hold_back(from, now, out);
        self.proof.ask(now, out);
    }

    /// Somebody believes that the lease may have gone.
    pub(crate) fn check_lease(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self.proof.trust.is_some() && self.proof.asked_at.is_none() {
            self.proof.asked_at = Some(now);
            out.push(Output::Prove);
        }
    }

    /// The store has said whether the lease is held.
    pub(crate) fn proved(&mut self, held: Result<bool, StoreError>, out: &mut Vec<Output>) {
        let Some(at) = self.proof.asked_at.take() else {
            return;
        };
        match held {
            Ok(true) => self.proof.held(at, out),
            Ok(false) => out.push(Output::Stop("the lease was taken by another node".to_owned())),
            // Nothing was decided by these: they can be asked again.
            Err(error) => {
                let waiting = std::mem::take(&mut self.proof.waiting);
                let refused = waiting.into_iter().map(|(_, output)| match output {
                    Output::Reply { token, .. } => Output::Reply {
                        token,
                        reply: Err(AskError::Unavailable(error.to_string())),
                    },
                    other => other,
                });
                out.extend(refused);
            }
        }
        self.report_drained(out);
    }
}

/// Tells whether the output says something that a newer owner may know better.
fn is_answer(output: &Output) -> bool {
    let Output::Reply { reply, .. } = output else {
        return false;
    };
    matches!(reply, Ok(_) | Err(AskError::Rejected(_)))
}

#[cfg(test)]
mod tests {
    use engine::outcome::Reply;

    use super::*;
    use crate::input::Token;

    const START: Timestamp = Timestamp::from_seconds(100);
    const TRUST: Duration = Duration::from_secs(1);

    fn reply(token: u64) -> Output {
        Output::Reply {
            token: Token(token),
            reply: Ok(Reply::Done),
        }
    }

    fn tokens(out: &[Output]) -> Vec<u64> {
        let token = |output: &Output| match output {
            Output::Reply { token, .. } => Some(token.0),
            _ => None,
        };
        out.iter().filter_map(token).collect()
    }

    fn give(proof: &mut Proof, token: u64, at: Timestamp) -> Vec<Output> {
        let mut out = vec![reply(0), reply(token)];
        proof.hold_back(1, at, &mut out);
        proof.ask(at, &mut out);
        out
    }

    #[test]
    fn an_answer_soon_after_a_proof_leaves_at_once() {
        let mut proof = Proof::new(Some(TRUST), START);
        assert_eq!(tokens(&give(&mut proof, 1, START + TRUST)), [0, 1]);
        assert!(!proof.is_owing());
    }

    #[test]
    fn a_later_answer_waits_for_a_proof_of_its_own_time() {
        let mut proof = Proof::new(Some(TRUST), START);
        let late = START + TRUST * 2;
        let out = give(&mut proof, 1, late);
        assert_eq!(tokens(&out), [0], "what was there before is not touched");
        assert!(matches!(out.last(), Some(Output::Prove)));
        let later = late + TRUST * 3;
        let out = give(&mut proof, 2, later);
        assert!(
            !out.iter().any(|output| matches!(output, Output::Prove)),
            "asked once"
        );
        let mut out = Vec::new();
        proof.held(late, &mut out);
        assert_eq!(tokens(&out), [1]);
        assert!(proof.is_owing(), "the second is too late for this proof");
        proof.held(later, &mut out);
        assert_eq!(tokens(&out), [1, 2]);
    }

    #[test]
    fn where_nobody_else_can_take_the_lease_nothing_waits() {
        let mut proof = Proof::new(None, START);
        assert_eq!(tokens(&give(&mut proof, 1, START + TRUST * 9)), [0, 1]);
    }

    #[test]
    fn an_answer_that_says_nothing_of_the_run_never_waits() {
        let mut proof = Proof::new(Some(Duration::ZERO), START);
        let mut out = vec![Output::Reply {
            token: Token(1),
            reply: Err(AskError::Moved),
        }];
        proof.hold_back(0, START + TRUST, &mut out);
        assert_eq!(tokens(&out), [1]);
    }
}
