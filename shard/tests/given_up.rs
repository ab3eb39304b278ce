//! Callers that are gone are forgotten, so that they hold nothing back.

#[path = "stand/mod.rs"]
mod stand;

use engine::trigger::Trigger;
use perdure_shard::{
    input::{Input, Request, Token},
    output::AskError,
};
use proto::temporal::query::v1::WorkflowQuery;
use stand::Stand;

fn query() -> Request {
    let query = WorkflowQuery {
        query_type: "state".to_owned(),
        ..Default::default()
    };
    Request::Step(Trigger::Query {
        query: Box::new(query),
        reject: Default::default(),
    })
}

#[test]
fn buffered_query_that_is_given_up_makes_room_for_the_next() {
    let mut stand = Stand::new();
    stand.start(1);
    stand.settle();
    stand.ask(2, query());
    stand.ask(3, query());
    assert_eq!(stand.reply(2), None, "it waits for the workflow task");
    let refused = stand.reply(3).expect("answered");
    assert!(
        matches!(refused, Err(AskError::Rejected(_))),
        "one waits already: {refused:?}"
    );
    stand.feed(Input::Gone(Token(2)));
    stand.ask(4, query());
    assert_eq!(
        stand.reply(4),
        None,
        "it waits in the place of the one that was given up"
    );
}
