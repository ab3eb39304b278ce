//! A run in quarantine is left alone: it is neither loaded nor woken, and the others go on.

#[path = "stand/mod.rs"]
mod stand;

use engine::trigger::Trigger;
use perdure_shard::{input::Request, output::AskError};
use stand::{Stand, begin, key, signal};

#[test]
fn run_in_quarantine_is_refused_and_others_are_served() {
    let mut stand = Stand::new();
    stand.start(1);
    stand.ask_of(2, "other", begin("other"));
    stand.settle();
    let run = key("order").run(stand.run_id());
    let mut next = Stand::beside(stand.store.clone(), stand.now, [run].into());
    for (token, request) in [
        (1, signal("a")),
        (2, begin("order")),
        (3, Request::Step(Trigger::Terminate(Box::default()))),
        (4, Request::Step(Trigger::Delete)),
    ] {
        next.ask(token, request);
        let reply = next.reply(token).expect("answered");
        assert!(matches!(reply, Err(AskError::Broken(_))), "{reply:?}");
    }
    next.ask_of(5, "other", signal("a"));
    next.settle();
    assert!(matches!(next.reply(5), Some(Ok(_))));
    assert_eq!(next.shard.view().quarantined, 1);
    // The store still has it as it was.
    let mut healed = Stand::over(next.store.clone(), next.now);
    healed.ask(1, signal("a"));
    healed.settle();
    assert_eq!(healed.answered(), [(1, true)]);
}
