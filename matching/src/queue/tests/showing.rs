//! Rates, advice to pollers, and what DescribeTaskQueue shows.

use expect_test::expect;

use super::script::check;

#[test]
fn the_rate_holds_tickets_back_and_lets_a_second_go_at_once() {
    check(
        "
        queue activity
        announce a
        announce b
        announce c
        announce d
        poll 1 60s rate=2
        poll 2 60s
        poll 3 60s
        poll 4 60s
        stats
        run +5s
        +60s stats
        ",
        &expect![[r#"
            0.000 announce a
            0.000 announce b
            0.000 announce c
            0.000 announce d
            0.000 poll 1 60s rate=2
              give a of 3 more scale +1 to 1
            0.000 poll 2 60s
              give b of 2 more to 2
            0.000 poll 3 60s
            0.000 poll 4 60s
            0.000 stats {"approximate_backlog_age_seconds":0.0,"approximate_backlog_count":2,"rate_limiting_active":true,"tasks_add_rate":4.0,"tasks_dispatch_rate":2.0}
              priority 3 {"approximate_backlog_age_seconds":0.0,"approximate_backlog_count":2,"rate_limiting_active":true,"tasks_add_rate":4.0,"tasks_dispatch_rate":2.0}
              poller {"identity":"worker","last_access_time_ms":1700000000000,"max_tasks_per_second":null}
            0.500 tick for Rate
              give c after 500ms of 1 more to 3
            1.000 tick for Rate
              give d after 1s to 4
            65.000 stats {"approximate_backlog_age_seconds":0.0,"approximate_backlog_count":0,"rate_limiting_active":false,"tasks_add_rate":0.0,"tasks_dispatch_rate":0.0}
              poller {"identity":"worker","last_access_time_ms":1700000000000,"max_tasks_per_second":null}
        "#]],
    );
}

#[test]
fn a_sync_match_counts_against_the_rate() {
    check(
        "
        queue activity
        poll 1 60s rate=0.5
        poll 2 60s
        announce a
        announce b
        deadline
        announce urgent p1
        run +3s
        ",
        &expect![[r#"
              0.000 poll 1 60s rate=0.5
              0.000 poll 2 60s
              0.000 announce a
                give a at once to 1
              0.000 announce b
              0.000 deadline in 2s for Rate
              0.000 announce urgent p1
              2.000 tick for Rate
                give urgent after 2s of 1 more to 2
        "#]],
    );
}

#[test]
fn the_last_poller_sets_the_rate_and_zero_blocks() {
    check(
        "
        queue activity
        poll 1 60s rate=0
        announce a
        announce b
        deadline
        poll 2 60s
        poll 3 60s rate=1
        deadline
        ",
        &expect![[r#"
              0.000 poll 1 60s rate=0
              0.000 announce a
              0.000 announce b
              0.000 deadline in 60s for Poll
              0.000 poll 2 60s
              0.000 poll 3 60s rate=1
                give a of 1 more to 1
              0.000 deadline in 1s for Rate
        "#]],
    );
}

#[test]
fn the_rate_of_the_api_goes_before_the_workers() {
    check(
        "
        queue activity
        rate 0
        poll 1 60s rate=100
        announce a
        rate none
        rate 0
        announce b
        poll 2 60s rate=100
        poll 3 60s rate=100
        stats
        ",
        &expect![[r#"
              0.000 rate 0
              0.000 poll 1 60s rate=100
              0.000 announce a
              0.000 rate none
                give a to 1
              0.000 rate 0
              0.000 announce b
              0.000 poll 2 60s rate=100
              0.000 poll 3 60s rate=100
              0.000 stats {"approximate_backlog_age_seconds":0.0,"approximate_backlog_count":1,"rate_limiting_active":true,"tasks_add_rate":2.0,"tasks_dispatch_rate":1.0}
                priority 3 {"approximate_backlog_age_seconds":0.0,"approximate_backlog_count":1,"rate_limiting_active":true,"tasks_add_rate":2.0,"tasks_dispatch_rate":1.0}
                poller {"identity":"worker","last_access_time_ms":1700000000000,"max_tasks_per_second":100.0}
        "#]],
    );
}

#[test]
fn workflow_queues_know_no_rate() {
    check(
        "
        rate 0
        poll 1 60s rate=0
        announce a
        ",
        &expect![[r#"
              0.000 rate 0
              0.000 poll 1 60s rate=0
              0.000 announce a
                give a at once to 1
        "#]],
    );
}

#[test]
fn a_task_that_reached_nobody_does_not_count() {
    check(
        "
        queue activity
        poll 1 60s rate=1
        announce a
        undelivered a
        poll 2 60s
        stats
        ",
        &expect![[r#"
              0.000 poll 1 60s rate=1
              0.000 announce a
                give a at once to 1
              0.000 undelivered a
              0.000 poll 2 60s
                give a to 2
              0.000 stats {"approximate_backlog_age_seconds":0.0,"approximate_backlog_count":0,"rate_limiting_active":false,"tasks_add_rate":1.0,"tasks_dispatch_rate":1.0}
                priority 3 {"approximate_backlog_age_seconds":0.0,"approximate_backlog_count":0,"rate_limiting_active":false,"tasks_add_rate":1.0,"tasks_dispatch_rate":1.0}
                poller {"identity":"worker","last_access_time_ms":1700000000000,"max_tasks_per_second":null}
        "#]],
    );
}

#[test]
fn pollers_are_advised() {
    check(
        "
        poll 1 60s worker=idle
        +1s announce a
        announce b
        +201ms poll 2 60s worker=busy
        poll 3 60s worker=busy
        +999ms announce c
        announce d age=1s
        announce e age=1s
        announce f age=1s
        announce g age=1s
        announce h age=1s
        announce i age=1s
        announce j age=1s
        announce k age=1s
        announce l age=1s
        announce m age=1s
        announce n age=1s
        announce o age=1s
        poll 4 60s worker=busy
        poll 5 60s worker=busy
        poll 6 60s worker=busy
        poll 7 60s worker=busy
        poll 8 60s worker=busy
        poll 9 60s worker=busy
        poll 10 60s worker=busy
        poll 11 60s worker=busy
        poll 12 60s worker=busy
        poll 13 60s worker=busy
        poll 14 60s worker=busy
        poll 15 60s worker=other
        ",
        &expect![[r#"
              0.000 poll 1 60s worker=idle
              1.000 announce a
                give a at once after 1s scale -1 to 1
              1.000 announce b
              1.201 poll 2 60s worker=busy
                give b to 2
              1.201 poll 3 60s worker=busy
              2.200 announce c
                give c at once after 999ms to 3
              2.200 announce d age=1s
              2.200 announce e age=1s
              2.200 announce f age=1s
              2.200 announce g age=1s
              2.200 announce h age=1s
              2.200 announce i age=1s
              2.200 announce j age=1s
              2.200 announce k age=1s
              2.200 announce l age=1s
              2.200 announce m age=1s
              2.200 announce n age=1s
              2.200 announce o age=1s
              2.200 poll 4 60s worker=busy
                give d of 11 more scale +1 to 4
              2.200 poll 5 60s worker=busy
                give e of 10 more scale +1 to 5
              2.200 poll 6 60s worker=busy
                give f of 9 more scale +1 to 6
              2.200 poll 7 60s worker=busy
                give g of 8 more scale +1 to 7
              2.200 poll 8 60s worker=busy
                give h of 7 more scale +1 to 8
              2.200 poll 9 60s worker=busy
                give i of 6 more scale +1 to 9
              2.200 poll 10 60s worker=busy
                give j of 5 more scale +1 to 10
              2.200 poll 11 60s worker=busy
                give k of 4 more scale +1 to 11
              2.200 poll 12 60s worker=busy
                give l of 3 more scale +1 to 12
              2.200 poll 13 60s worker=busy
                give m of 2 more scale +1 to 13
              2.200 poll 14 60s worker=busy
                give n of 1 more to 14
              2.200 poll 15 60s worker=other
                give o to 15
        "#]],
    );
}

#[test]
fn nobody_is_asked_for_more_polls_when_the_rate_is_what_holds() {
    check(
        "
        queue activity
        announce a age=5s
        announce b age=5s
        announce c age=5s
        poll 1 60s rate=1
        poll 2 60s
        run +2s
        ",
        &expect![[r#"
              0.000 announce a age=5s
              0.000 announce b age=5s
              0.000 announce c age=5s
              0.000 poll 1 60s rate=1
                give a of 2 more to 1
              0.000 poll 2 60s
              1.000 tick for Rate
                give b after 1s of 1 more to 2
        "#]],
    );
}

#[test]
fn stats_count_what_waits_here_and_in_the_shards() {
    check(
        "
        announce a p1 age=2s
        announce b
        +5s announce c
        held_back 7 100 60s
        held_back 8 10 1s
        stats
        held_back 7 0 0s
        poll 1 60s
        stats
        +30s stats
        ",
        &expect![[r#"
            0.000 announce a p1 age=2s
            0.000 announce b
            5.000 announce c
            5.000 held_back 7 100 60s
              credit shard 7 with 100
            5.000 held_back 8 10 1s
              credit shard 8 with 10
            5.000 stats {"approximate_backlog_age_seconds":60.0,"approximate_backlog_count":113,"rate_limiting_active":false,"tasks_add_rate":0.6,"tasks_dispatch_rate":0.0}
              priority 1 {"approximate_backlog_age_seconds":7.0,"approximate_backlog_count":1,"rate_limiting_active":false,"tasks_add_rate":0.2,"tasks_dispatch_rate":0.0}
              priority 3 {"approximate_backlog_age_seconds":5.0,"approximate_backlog_count":2,"rate_limiting_active":false,"tasks_add_rate":0.4,"tasks_dispatch_rate":0.0}
            5.000 held_back 7 0 0s
            5.000 poll 1 60s
              give a of 12 more scale +1 to 1
            5.000 stats {"approximate_backlog_age_seconds":5.0,"approximate_backlog_count":12,"rate_limiting_active":false,"tasks_add_rate":0.6,"tasks_dispatch_rate":0.2}
              priority 1 {"approximate_backlog_age_seconds":0.0,"approximate_backlog_count":0,"rate_limiting_active":false,"tasks_add_rate":0.2,"tasks_dispatch_rate":0.2}
              priority 3 {"approximate_backlog_age_seconds":5.0,"approximate_backlog_count":2,"rate_limiting_active":false,"tasks_add_rate":0.4,"tasks_dispatch_rate":0.0}
              poller {"identity":"worker","last_access_time_ms":1700000005000,"max_tasks_per_second":null}
            35.000 stats {"approximate_backlog_age_seconds":35.0,"approximate_backlog_count":12,"rate_limiting_active":false,"tasks_add_rate":0.0,"tasks_dispatch_rate":0.0}
              priority 3 {"approximate_backlog_age_seconds":35.0,"approximate_backlog_count":2,"rate_limiting_active":false,"tasks_add_rate":0.0,"tasks_dispatch_rate":0.0}
              poller {"identity":"worker","last_access_time_ms":1700000005000,"max_tasks_per_second":null}
        "#]],
    );
}

#[test]
fn pollers_are_shown_for_five_minutes() {
    check(
        "
        queue activity
        poll 1 0s worker=a rate=7
        +1s poll 2 0s worker=b
        stats
        +299s stats
        +1s poll 3 0s worker=b
        stats
        ",
        &expect![[r#"
            0.000 poll 1 0s worker=a rate=7
              empty 1
            1.000 poll 2 0s worker=b
              empty 2
            1.000 stats {"approximate_backlog_age_seconds":0.0,"approximate_backlog_count":0,"rate_limiting_active":false,"tasks_add_rate":0.0,"tasks_dispatch_rate":0.0}
              poller {"identity":"b","last_access_time_ms":1700000001000,"max_tasks_per_second":null}
              poller {"identity":"a","last_access_time_ms":1700000000000,"max_tasks_per_second":7.0}
            300.000 stats {"approximate_backlog_age_seconds":0.0,"approximate_backlog_count":0,"rate_limiting_active":false,"tasks_add_rate":0.0,"tasks_dispatch_rate":0.0}
              poller {"identity":"b","last_access_time_ms":1700000001000,"max_tasks_per_second":null}
              poller {"identity":"a","last_access_time_ms":1700000000000,"max_tasks_per_second":7.0}
            301.000 poll 3 0s worker=b
              empty 3
            301.000 stats {"approximate_backlog_age_seconds":0.0,"approximate_backlog_count":0,"rate_limiting_active":false,"tasks_add_rate":0.0,"tasks_dispatch_rate":0.0}
              poller {"identity":"b","last_access_time_ms":1700000301000,"max_tasks_per_second":null}
        "#]],
    );
}
