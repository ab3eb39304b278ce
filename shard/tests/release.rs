//! P3 at the core: no answer leaves before the batch that it speaks of is durable.

#[path = "stand/mod.rs"]
mod stand;

use engine::trigger::Trigger;
use perdure_shard::input::{Input, Request};
use stand::{Stand, signal};

#[test]
fn start_signal_and_read_wait_for_their_batch() {
    let mut stand = Stand::new();
    stand.start(1);
    stand.ask(2, signal("a"));
    stand.ask(3, Request::Step(Trigger::Describe));
    assert_eq!(stand.answered(), [], "nothing is durable yet");
    stand.commit();
    assert_eq!(
        stand.answered(),
        [(1, true)],
        "the signal rides in the next batch"
    );
    stand.commit();
    assert_eq!(stand.answered(), [(1, true), (2, true), (3, true)]);
    stand.ask(4, Request::Step(Trigger::Describe));
    assert_eq!(
        stand.answered().last(),
        Some(&(4, true)),
        "a read of what is durable waits for nothing"
    );
}

#[test]
fn delete_waits_for_its_batch() {
    for closed in [false, true] {
        let mut stand = Stand::new();
        stand.start(1);
        stand.commit();
        if closed {
            stand.ask(2, Request::Step(Trigger::Terminate(Box::default())));
            stand.commit();
        }
        stand.replies.clear();
        stand.ask(3, Request::Step(Trigger::Delete));
        assert_eq!(
            stand.answered(),
            [],
            "the deletion is not durable yet (closed: {closed})"
        );
        stand.commit();
        assert_eq!(stand.answered(), [(3, true)]);
        stand.ask(4, Request::Step(Trigger::Describe));
        assert_eq!(stand.answered().last(), Some(&(4, false)), "the run is gone");
    }
}

#[test]
fn deleted_run_is_not_read_back_before_its_batch() {
    let mut stand = Stand::new();
    stand.start(1);
    stand.commit();
    let run_id = stand.run_id();
    stand.ask(2, Request::Step(Trigger::Delete));
    for token in [3, 4] {
        stand.put(token, "order", Some(run_id), Request::Step(Trigger::Describe));
        stand.feed(Input::Flush);
        while stand.batch.is_some() {
            stand.commit();
        }
    }
    let mut answered = stand.answered();
    answered.sort_unstable();
    assert_eq!(answered, [(1, true), (2, true), (3, false), (4, false)]);
}
