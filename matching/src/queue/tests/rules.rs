//! Which ticket goes to whom, and when polls end.

use expect_test::expect;

use super::script::check;

#[test]
fn tickets_meet_polls_the_longest_waiting_first() {
    check(
        "
        poll 1 60s
        +1s poll 2 60s
        +200ms announce a
        announce b
        announce c
        poll 3 60s
        ",
        &expect![[r#"
              0.000 poll 1 60s
              1.000 poll 2 60s
              1.200 announce a
                give a at once after 1.2s scale -1 to 1
              1.200 announce b
                give b at once after 200ms to 2
              1.200 announce c
              1.200 poll 3 60s
                give c to 3
        "#]],
    );
}

#[test]
fn backlog_goes_by_priority_then_time_then_arrival() {
    check(
        "
        announce late
        announce second age=5s
        announce third age=5s
        announce first age=6s
        announce urgent p1
        announce someday p5 age=60s
        poll 1 60s
        poll 2 60s
        poll 3 60s
        poll 4 60s
        poll 5 60s
        poll 6 60s
        poll 7 60s
        ",
        &expect![[r#"
              0.000 announce late
              0.000 announce second age=5s
              0.000 announce third age=5s
              0.000 announce first age=6s
              0.000 announce urgent p1
              0.000 announce someday p5 age=60s
              0.000 poll 1 60s
                give urgent of 5 more scale +1 to 1
              0.000 poll 2 60s
                give first of 4 more scale +1 to 2
              0.000 poll 3 60s
                give second of 3 more scale +1 to 3
              0.000 poll 4 60s
                give third of 2 more scale +1 to 4
              0.000 poll 5 60s
                give late of 1 more scale +1 to 5
              0.000 poll 6 60s
                give someday to 6
              0.000 poll 7 60s
        "#]],
    );
}

#[test]
fn a_ticket_that_waits_is_not_taken_twice() {
    check(
        "
        announce a
        announce a
        announce a attempt=2
        poll 1 60s
        announce a
        poll 2 60s
        poll 3 60s
        poll 4 60s
        ",
        &expect![[r#"
              0.000 announce a
              0.000 announce a
              0.000 announce a attempt=2
              0.000 poll 1 60s
                give a of 1 more scale +1 to 1
              0.000 announce a
              0.000 poll 2 60s
                give a#2 of 1 more scale +1 to 2
              0.000 poll 3 60s
                give a to 3
              0.000 poll 4 60s
        "#]],
    );
}

#[test]
fn a_withdrawn_ticket_goes_to_nobody() {
    check(
        "
        announce a
        announce b
        withdraw a
        withdraw a
        withdraw c
        poll 1 60s
        poll 2 60s
        ",
        &expect![[r#"
              0.000 announce a
              0.000 announce b
              0.000 withdraw a
              0.000 withdraw a
              0.000 withdraw c
              0.000 poll 1 60s
                give b scale +1 to 1
              0.000 poll 2 60s
        "#]],
    );
}

#[test]
fn a_poll_ends_empty_at_its_deadline() {
    check(
        "
        poll 1 60s
        poll 2 5s
        poll 3 0s
        run +30s
        announce a
        run +60s
        ",
        &expect![[r#"
            0.000 poll 1 60s
            0.000 poll 2 5s
            0.000 poll 3 0s
              empty 3
            5.000 tick for Poll
              empty 2
            30.000 announce a
              give a at once after 30s scale -1 to 1
        "#]],
    );
}

#[test]
fn a_poll_past_its_deadline_gets_nothing() {
    check(
        "
        poll 1 5s
        +6s announce a
        ",
        &expect![[r#"
              0.000 poll 1 5s
              6.000 announce a
                empty 1
        "#]],
    );
}

#[test]
fn a_poller_that_went_is_passed_over() {
    check(
        "
        poll 1 60s
        poll 2 60s
        gone 1
        announce a
        gone 2
        gone 2
        deadline
        ",
        &expect![[r#"
              0.000 poll 1 60s
              0.000 poll 2 60s
              0.000 gone 1
              0.000 announce a
                give a at once to 2
              0.000 gone 2
              0.000 gone 2
              0.000 deadline in 300s for Idle
        "#]],
    );
}

#[test]
fn what_reached_nobody_goes_to_the_next_or_back_to_its_place() {
    check(
        "
        poll 1 60s
        poll 2 60s
        announce a
        undelivered a
        undelivered a
        announce b
        announce older age=1s
        announce a
        poll 3 60s
        poll 4 60s
        poll 5 60s
        poll 6 60s
        ",
        &expect![[r#"
              0.000 poll 1 60s
              0.000 poll 2 60s
              0.000 announce a
                give a at once to 1
              0.000 undelivered a
                give a to 2
              0.000 undelivered a
              0.000 announce b
              0.000 announce older age=1s
              0.000 announce a
              0.000 poll 3 60s
                give older of 2 more scale +1 to 3
              0.000 poll 4 60s
                give a of 1 more scale +1 to 4
              0.000 poll 5 60s
                give b to 5
              0.000 poll 6 60s
        "#]],
    );
}

#[test]
fn a_sticky_queue_refuses_without_its_worker() {
    check(
        "
        queue sticky
        announce a
        query 1 5s
        poll 1 60s
        announce b
        +10s announce c
        query 2 5s
        +1ms announce d
        query 3 5s
        ",
        &expect![[r#"
            0.000 announce a
              refuse a: StickyWorkerUnavailable
            0.000 query 1 5s
              query 1 ends: StickyWorkerUnavailable
            0.000 poll 1 60s
            0.000 announce b
              give b at once to 1
            10.000 announce c
            10.000 query 2 5s
            10.001 announce d
              refuse d: StickyWorkerUnavailable
            10.001 query 3 5s
              query 3 ends: StickyWorkerUnavailable
        "#]],
    );
}

#[test]
fn a_sticky_queue_fails_over_when_its_worker_shuts_down() {
    check(
        "
        queue sticky
        poll 1 60s key=k
        announce a
        announce b
        announce c
        query 1 5s
        shutdown k
        announce d
        poll 2 60s key=k
        announce e
        +30s poll 3 60s key=k
        announce f
        ",
        &expect![[r#"
            0.000 poll 1 60s key=k
            0.000 announce a
              give a at once to 1
            0.000 announce b
            0.000 announce c
            0.000 query 1 5s
            0.000 shutdown k
              refuse b: StickyWorkerUnavailable
              refuse c: StickyWorkerUnavailable
              query 1 ends: StickyWorkerUnavailable
            0.000 announce d
              refuse d: StickyWorkerUnavailable
            0.000 poll 2 60s key=k
              empty 2
            0.000 announce e
              refuse e: StickyWorkerUnavailable
            30.000 poll 3 60s key=k
            30.000 announce f
              give f at once to 3
        "#]],
    );
}

#[test]
fn polls_of_a_worker_that_shut_down_end() {
    check(
        "
        poll 1 60s key=k
        poll 2 60s key=other
        poll 3 60s
        shutdown k
        shutdown
        announce a
        poll 4 60s key=k
        ",
        &expect![[r#"
              0.000 poll 1 60s key=k
              0.000 poll 2 60s key=other
              0.000 poll 3 60s
              0.000 shutdown k
                empty 1
              0.000 shutdown
              0.000 announce a
                give a at once to 2
              0.000 poll 4 60s key=k
                empty 4
        "#]],
    );
}

#[test]
fn a_drained_queue_holds_nothing() {
    check(
        "
        queue activity
        poll 1 60s rate=0
        announce a
        announce b
        held_back 4 7 1s
        drain
        announce c
        poll 2 60s
        held_back 4 7 1s
        undelivered d
        query 1 5s
        stats
        ",
        &expect![[r#"
              0.000 poll 1 60s rate=0
              0.000 announce a
              0.000 announce b
              0.000 held_back 4 7 1s
                credit shard 4 with 7
              0.000 drain
                empty 1
                refuse a: Draining
                refuse b: Draining
              0.000 announce c
                refuse c: Draining
              0.000 poll 2 60s
                empty 2
              0.000 held_back 4 7 1s
              0.000 undelivered d
                refuse d: Draining
              0.000 query 1 5s
                query 1 ends: Draining
              0.000 stats {"approximate_backlog_age_seconds":0.0,"approximate_backlog_count":0,"rate_limiting_active":false,"tasks_add_rate":2.0,"tasks_dispatch_rate":0.0}
                priority 3 {"approximate_backlog_age_seconds":0.0,"approximate_backlog_count":0,"rate_limiting_active":false,"tasks_add_rate":2.0,"tasks_dispatch_rate":0.0}
                poller {"identity":"worker","last_access_time_ms":1700000000000,"max_tasks_per_second":0.0}
        "#]],
    );
    check(
        "
        poll 1 60s
        query 1 5s
        query 2 5s
        drain
        undelivered_query 1
        query 3 5s
        ",
        &expect![[r#"
              0.000 poll 1 60s
              0.000 query 1 5s
                give query 1 to 1
              0.000 query 2 5s
              0.000 drain
                query 2 ends: Draining
              0.000 undelivered_query 1
                query 1 ends: Draining
              0.000 query 3 5s
                query 3 ends: Draining
        "#]],
    );
}

#[test]
fn an_unused_queue_says_so_again_and_again() {
    check(
        "
        announce a
        withdraw a
        run +6m
        poll 1 60s
        run +10m
        ",
        &expect![[r#"
            0.000 announce a
            0.000 withdraw a
            300.000 tick for Idle
              idle
            360.000 poll 1 60s
            420.000 tick for Poll
              empty 1
            720.000 tick for Idle
              idle
        "#]],
    );
}
