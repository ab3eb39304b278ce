//! Bounds, and the credit that keeps a backlog moving.

use std::{num::NonZeroUsize, sync::Arc};

use expect_test::expect;
use proto::ids::{ShardId, TaskKind};

use super::script::{START, check, key, ticket};
use crate::{config::Config, input::Input, limits, queue::Queue};

#[test]
fn a_full_queue_refuses_and_gives_credit_at_low_water() {
    check(
        "
        queue workflow tickets_max=4
        announce a
        announce b
        announce c
        announce d
        announce x shard=7
        announce y shard=8 age=9s
        announce z shard=7
        stats
        poll 1 60s
        poll 2 60s
        deadline
        announce y shard=8 age=9s
        announce x shard=7
        poll 3 60s
        poll 4 60s
        poll 5 60s
        announce z shard=7
        stats
        ",
        &expect![[r#"
              0.000 announce a
              0.000 announce b
              0.000 announce c
              0.000 announce d
              0.000 announce x shard=7
                refuse x: Full
              0.000 announce y shard=8 age=9s
                refuse y: Full
              0.000 announce z shard=7
                refuse z: Full
              0.000 stats {"approximate_backlog_age_seconds":9.0,"approximate_backlog_count":7,"rate_limiting_active":false,"tasks_add_rate":4.0,"tasks_dispatch_rate":0.0}
                priority 3 {"approximate_backlog_age_seconds":0.0,"approximate_backlog_count":4,"rate_limiting_active":false,"tasks_add_rate":4.0,"tasks_dispatch_rate":0.0}
              0.000 poll 1 60s
                give a of 6 more scale +1 to 1
              0.000 poll 2 60s
                give b of 5 more scale +1 to 2
                credit shard 8 with 1
                credit shard 7 with 1
              0.000 deadline in 1s for Credit
              0.000 announce y shard=8 age=9s
              0.000 announce x shard=7
              0.000 poll 3 60s
                give y of 4 more scale +1 to 3
              0.000 poll 4 60s
                give c of 3 more scale +1 to 4
                credit shard 7 with 1
              0.000 poll 5 60s
                give d of 2 more to 5
              0.000 announce z shard=7
              0.000 stats {"approximate_backlog_age_seconds":0.0,"approximate_backlog_count":2,"rate_limiting_active":false,"tasks_add_rate":7.0,"tasks_dispatch_rate":5.0}
                priority 3 {"approximate_backlog_age_seconds":0.0,"approximate_backlog_count":2,"rate_limiting_active":false,"tasks_add_rate":7.0,"tasks_dispatch_rate":5.0}
                poller {"identity":"worker","last_access_time_ms":1700000000000,"max_tasks_per_second":null}
        "#]],
    );
}

#[test]
fn an_urgent_ticket_takes_the_place_of_the_least_urgent() {
    check(
        "
        queue workflow tickets_max=3
        announce a
        announce b p5 shard=2
        announce c p5 age=1s
        announce urgent p1
        announce same p1
        announce same_as_a
        announce urgent2 p2
        poll 1 60s
        ",
        &expect![[r#"
              0.000 announce a
              0.000 announce b p5 shard=2
              0.000 announce c p5 age=1s
              0.000 announce urgent p1
                refuse b: Full
              0.000 announce same p1
                refuse c: Full
              0.000 announce same_as_a
                refuse same_as_a: Full
              0.000 announce urgent2 p2
                refuse a: Full
              0.000 poll 1 60s
                give urgent of 4 more scale +1 to 1
        "#]],
    );
}

#[test]
fn tickets_are_bounded_in_bytes() {
    check(
        "
        queue workflow ticket_bytes_max=700
        announce a
        announce b
        announce c shard=9
        poll 1 60s
        poll 2 60s
        ",
        &expect![[r#"
              0.000 announce a
              0.000 announce b
              0.000 announce c shard=9
                refuse c: Full
              0.000 poll 1 60s
                give a of 2 more scale +1 to 1
                credit shard 9 with 1
              0.000 poll 2 60s
                give b of 1 more to 2
        "#]],
    );
    check(
        "
        queue workflow ticket_bytes_max=1
        announce a
        announce b
        poll 1 60s
        ",
        &expect![[r#"
              0.000 announce a
              0.000 announce b
                refuse b: Full
              0.000 poll 1 60s
                give a of 1 more to 1
                credit shard 1 with 1
        "#]],
    );
}

#[test]
fn polls_are_bounded() {
    check(
        "
        queue workflow polls_max=2
        poll 1 60s
        poll 2 60s
        poll 3 60s
        gone 1
        poll 4 60s
        announce a
        announce b
        announce c
        ",
        &expect![[r#"
              0.000 poll 1 60s
              0.000 poll 2 60s
              0.000 poll 3 60s
                refuse poll 3
              0.000 gone 1
              0.000 poll 4 60s
              0.000 announce a
                give a at once to 2
              0.000 announce b
                give b at once to 4
              0.000 announce c
        "#]],
    );
}

#[test]
fn credit_that_is_not_used_goes_to_others() {
    check(
        "
        queue workflow tickets_max=4
        announce a
        announce b
        announce c
        announce d
        held_back 1 1 9s
        held_back 2 9 8s
        held_back 3 9 7s
        held_back 4 9 6s
        poll 1 60s
        poll 2 60s
        announce e shard=2
        run +1s
        poll 3 60s
        run +500ms
        held_back 3 8 8s
        run +4s
        stats
        held_back 2 0 0s
        run +1m
        stats
        run +2m
        ",
        &expect![[r#"
            0.000 announce a
            0.000 announce b
            0.000 announce c
            0.000 announce d
            0.000 held_back 1 1 9s
            0.000 held_back 2 9 8s
            0.000 held_back 3 9 7s
            0.000 held_back 4 9 6s
            0.000 poll 1 60s
              give a of 31 more scale +1 to 1
            0.000 poll 2 60s
              give b of 30 more scale +1 to 2
              credit shard 1 with 1
              credit shard 2 with 1
            0.000 announce e shard=2
            1.000 tick for Credit
            1.000 poll 3 60s
              give c of 28 more scale +1 to 3
              credit shard 2 with 2
            1.500 held_back 3 8 8s
            2.000 tick for Credit
              credit shard 3 with 2
            3.000 tick for Credit
              credit shard 1 with 1
              credit shard 4 with 1
            4.000 tick for Credit
              credit shard 2 with 2
            5.000 tick for Credit
              credit shard 3 with 2
            5.500 stats {"approximate_backlog_age_seconds":5.5,"approximate_backlog_count":2,"rate_limiting_active":false,"tasks_add_rate":0.9090909090909091,"tasks_dispatch_rate":0.5454545454545454}
              priority 3 {"approximate_backlog_age_seconds":5.5,"approximate_backlog_count":2,"rate_limiting_active":false,"tasks_add_rate":0.9090909090909091,"tasks_dispatch_rate":0.5454545454545454}
              poller {"identity":"worker","last_access_time_ms":1700000001000,"max_tasks_per_second":null}
            5.500 held_back 2 0 0s
            6.000 tick for Credit
              credit shard 4 with 2
            7.000 tick for Credit
            8.000 tick for Credit
              credit shard 1 with 1
            9.000 tick for Credit
            10.000 tick for Credit
              credit shard 3 with 2
            11.000 tick for Credit
              credit shard 4 with 2
            12.000 tick for Credit
            17.000 tick for Credit
              credit shard 1 with 1
            18.000 tick for Credit
            19.000 tick for Credit
              credit shard 3 with 2
            20.000 tick for Credit
              credit shard 4 with 2
            21.000 tick for Credit
            34.000 tick for Credit
              credit shard 1 with 1
            35.000 tick for Credit
            36.000 tick for Credit
              credit shard 3 with 2
            37.000 tick for Credit
              credit shard 4 with 2
            38.000 tick for Credit
            65.500 stats {"approximate_backlog_age_seconds":65.5,"approximate_backlog_count":2,"rate_limiting_active":false,"tasks_add_rate":0.0,"tasks_dispatch_rate":0.0}
              priority 3 {"approximate_backlog_age_seconds":65.5,"approximate_backlog_count":2,"rate_limiting_active":false,"tasks_add_rate":0.0,"tasks_dispatch_rate":0.0}
              poller {"identity":"worker","last_access_time_ms":1700000001000,"max_tasks_per_second":null}
            67.000 tick for Credit
              credit shard 1 with 1
            68.000 tick for Credit
            69.000 tick for Credit
              credit shard 3 with 2
            70.000 tick for Credit
              credit shard 4 with 2
            71.000 tick for Credit
        "#]],
    );
}

#[test]
fn a_shard_whose_ticket_found_the_mailbox_full_gets_credit() {
    check(
        "
        announce a
        missed 7 3 5s
        announce b shard=7
        announce c shard=7
        announce d shard=7
        deadline
        ",
        &expect![[r#"
            0.000 announce a
            0.000 missed 7 3 5s
              credit shard 7 with 3
            0.000 announce b shard=7
            0.000 announce c shard=7
            0.000 announce d shard=7
            0.000 no deadline
        "#]],
    );
}

#[test]
fn shards_that_hold_back_are_remembered_up_to_a_bound() {
    let config = Config {
        tickets_max: NonZeroUsize::MIN,
        ..Config::default()
    };
    let mut queue = Queue::new(&key(TaskKind::Workflow, false), Arc::new(config), START);
    let mut out = Vec::new();
    queue.handle(Input::Announce(ticket("a", START)), START, &mut out);
    let shards = u32::try_from(limits::SHARDS_REMEMBERED_MAX).expect("small");
    for shard in 0..shards + 1_000 {
        let mut ticket = ticket("b", START);
        ticket.shard = ShardId(shard);
        queue.handle(Input::Announce(ticket), START, &mut out);
        queue.handle(
            Input::HeldBack {
                shard: ShardId(shard),
                count: u64::MAX,
                oldest: START,
            },
            START,
            &mut out,
        );
    }
    assert_eq!(queue.view(START).shards_held_back, limits::SHARDS_REMEMBERED_MAX);
    assert!(queue.backlog() > 0);
}
