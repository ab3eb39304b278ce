//! Bounds, and the credit that keeps a backlog moving.

use expect_test::expect;

use super::script::check;

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
