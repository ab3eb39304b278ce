//! Who waits for an answer, by token.

use std::collections::HashMap;

use tokio::sync::oneshot::Sender;

use crate::{
    error::{AskError, QueryError},
    handle::{Polled, QueryAnswer},
    input::{PollToken, QueryId},
    output::Give,
};

#[derive(Default)]
pub(crate) struct Replies {
    pub(crate) polls: HashMap<PollToken, Sender<Result<Polled, AskError>>>,
    pub(crate) queries: HashMap<QueryId, Sender<Result<QueryAnswer, QueryError>>>,
}

impl Replies {
    /// Answers a poll with a task, which comes back when nobody is there.
    #[expect(clippy::result_large_err, reason = "what comes back is given again at once")]
    pub(crate) fn give(&mut self, token: PollToken, give: Give) -> Result<(), Give> {
        let Some(poll) = self.polls.remove(&token) else {
            return Err(give);
        };
        match poll.send(Ok(Polled::Task(Box::new(give)))) {
            Err(Ok(Polled::Task(give))) => Err(*give),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Answers a poll without a task; nothing is lost when nobody is there.
    pub(crate) fn end_poll(&mut self, token: PollToken, answer: Result<Polled, AskError>) {
        if let Some(poll) = self.polls.remove(&token) {
            drop(poll.send(answer));
        }
    }

    /// Answers a query and says whether somebody was there.
    pub(crate) fn end_query(&mut self, id: QueryId, answer: Result<QueryAnswer, QueryError>) -> bool {
        self.queries
            .remove(&id)
            .is_some_and(|query| query.send(answer).is_ok())
    }
}
