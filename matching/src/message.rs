//! What a handle sends to the actor.

use tokio::sync::oneshot;

use crate::{
    error::{AskError, QueryError},
    handle::{Polled, QueryAnswer},
    input::{Input, PollToken, QueryId},
    ticket::Ticket,
    view::QueueView,
};

pub(crate) enum Message {
    /// An input that nobody waits for.
    Input(Input),
    Announce(Vec<Ticket>),
    /// `Input::Poll` with this token.
    Poll {
        token: PollToken,
        input: Input,
        reply: oneshot::Sender<Result<Polled, AskError>>,
    },
    /// `Input::AddQuery` with this id.
    Query {
        id: QueryId,
        input: Input,
        reply: oneshot::Sender<Result<QueryAnswer, QueryError>>,
    },
    Answer {
        id: QueryId,
        answer: Box<QueryAnswer>,
        /// Whether somebody took it.
        reply: oneshot::Sender<bool>,
    },
    Drain(oneshot::Sender<()>),
    View(oneshot::Sender<QueueView>),
    /// Something is among the returns.
    Returned,
    /// The last handle goes.
    Stop,
}
