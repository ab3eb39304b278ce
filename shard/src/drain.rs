//! Drain: the shard lets go of its lease in good order. What is staged is finished; whatever else was asked goes
//! back to its asker, who finds the next owner.

use proto::time::Timestamp;

use crate::{
    cache::Pending,
    output::{AskError, Output},
    shard::Shard,
};

/// How far a shard is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Serving,
    /// Takes nothing more; what is staged is being committed.
    Draining,
    /// Owes nothing to anybody: the lease may be released.
    Drained,
}

impl Shard {
    /// Takes nothing more from here on.
    pub(crate) fn drain(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self.phase != Phase::Serving {
            return;
        }
        self.keep_what_is_in_hand(now, out);
        self.phase = Phase::Draining;
        for pending in self.cache.take_pending() {
            give_back(pending, out);
        }
        // They wait for what a later step would have brought; asked again, the next owner answers them.
        let mut tokens = self.take_deferred(|_| true);
        tokens.extend(self.watchers.take_all());
        out.extend(tokens.into_iter().map(|token| Output::Reply {
            token,
            reply: Err(AskError::Moved),
        }));
        self.flush(now, out);
    }

    /// Makes durable what workers have in hand and memory alone knows: they answer the next owner.
    fn keep_what_is_in_hand(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let slots = self.cache.slots();
        let in_hand = slots.filter(|(_, slot)| engine::is_in_hand(&slot.run));
        let runs: Vec<_> = in_hand.map(|(run, _)| run.clone()).collect();
        for run in runs {
            self.hand_over(&run, now, out);
        }
    }

    /// Says once that nothing is owed to anybody and nothing more is taken.
    pub(crate) fn report_drained(&mut self, out: &mut Vec<Output>) {
        let owes = self.sealed.is_some() || !self.stage.is_empty() || self.proof.is_owing();
        if self.phase == Phase::Draining && !owes {
            self.phase = Phase::Drained;
            out.push(Output::Drained);
        }
    }
}

/// Gives a request back that was not looked at.
pub(crate) fn give_back(pending: Pending, out: &mut Vec<Output>) {
    let Pending {
        token,
        target,
        request,
        received: _,
    } = pending;
    if let Some(token) = token {
        out.push(Output::GiveBack {
            token,
            target,
            request,
        });
    }
}
