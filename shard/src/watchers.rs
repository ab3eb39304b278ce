//! Watchers: callers that wait for a run's history to grow or for its end. Never durable.

use std::collections::HashMap;

use engine::outcome::Reply;
use proto::ids::RunKey;

use crate::{
    input::Token,
    limits::WATCHERS_PER_RUN_MAX,
    output::{AskError, Output},
    shard::{Shard, not_found},
};

/// Callers that wait, by run.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    by_run: HashMap<RunKey, Vec<(Token, i64)>>,
    by_token: HashMap<Token, RunKey>,
}

impl Watchers {
    pub(crate) fn watches(&self, run: &RunKey) -> bool {
        self.by_run.contains_key(run)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_token.len()
    }

    pub(crate) fn forget(&mut self, token: Token) {
        let Some(run) = self.by_token.remove(&token) else {
            return;
        };
        if let Some(waiting) = self.by_run.get_mut(&run) {
            waiting.retain(|(other, _)| *other != token);
            if waiting.is_empty() {
                self.by_run.remove(&run);
            }
        }
    }

    /// Takes out all callers.
    pub(crate) fn take_all(&mut self) -> Vec<Token> {
        self.by_run.clear();
        let mut tokens: Vec<_> = self.by_token.drain().map(|(token, _)| token).collect();
        tokens.sort_unstable();
        tokens
    }

    /// The run is gone.
    pub(crate) fn end(&mut self, run: &RunKey, out: &mut Vec<Output>) {
        for (token, _) in self.by_run.remove(run).unwrap_or_default() {
            self.by_token.remove(&token);
            let reply = Err(AskError::Rejected(not_found(&run.workflow, Some(run.run_id))));
            out.push(Output::Reply { token, reply });
        }
    }

    fn add(&mut self, run: &RunKey, token: Token, after: i64) -> bool {
        let waiting = self.by_run.entry(run.clone()).or_default();
        if waiting.len() >= WATCHERS_PER_RUN_MAX {
            return false;
        }
        waiting.push((token, after));
        self.by_token.insert(token, run.clone());
        true
    }

    /// Takes out those who wait for less than is there.
    fn satisfied(&mut self, run: &RunKey, open: bool, next_event_id: i64) -> Vec<Token> {
        let Some(waiting) = self.by_run.get_mut(run) else {
            return Vec::new();
        };
        let mut tokens = Vec::new();
        waiting.retain(|(token, after)| {
            let done = !open || next_event_id > *after;
            if done {
                tokens.push(*token);
            }
            !done
        });
        if waiting.is_empty() {
            self.by_run.remove(run);
        }
        for token in &tokens {
            self.by_token.remove(token);
        }
        tokens
    }
}

impl Shard {
    /// Answers how far the run's history goes, or lets the caller wait until it goes further.
    pub(crate) fn position(
        &mut self,
        run: &RunKey,
        token: Option<Token>,
        wait_after: Option<i64>,
        out: &mut Vec<Output>,
    ) {
        let (Some(token), Some(slot)) = (token, self.cache.slot(run)) else {
            return;
        };
        let position = engine::describe::position(&slot.run);
        let waits = wait_after.filter(|after| position.open && position.next_event_id <= *after);
        if let Some(after) = waits {
            if !self.watchers.add(run, token, after) {
                let busy = AskError::Busy("too many callers wait for one run");
                out.push(Output::Reply {
                    token,
                    reply: Err(busy),
                });
            }
            return;
        }
        let reply = Reply::Position(Box::new(position));
        self.release(Some(run), Some(token), Ok(reply), out);
    }

    /// Answers those whom a durable batch satisfies.
    pub(crate) fn tell_watchers(&mut self, run: &RunKey, out: &mut Vec<Output>) {
        if !self.watchers.watches(run) {
            return;
        }
        let Some(slot) = self.cache.slot(run) else { return };
        let position = engine::describe::position(&slot.run);
        for token in self
            .watchers
            .satisfied(run, position.open, position.next_event_id)
        {
            let reply = Reply::Position(Box::new(position.clone()));
            self.release(Some(run), Some(token), Ok(reply), out);
        }
    }
}
