//! Which query goes to whom, and why one ends.

use expect_test::expect;

use super::script::check;

#[test]
fn queries_go_before_tickets() {
    check(
        "
        poll 1 60s
        gone 1
        announce a
        query 1 10s
        query 2 10s
        poll 2 60s
        poll 3 60s
        poll 4 60s
        poll 5 60s
        query 3 10s
        ",
        &expect![[r#"
              0.000 poll 1 60s
              0.000 gone 1
              0.000 announce a
              0.000 query 1 10s
              0.000 query 2 10s
              0.000 poll 2 60s
                give query 1 of 1 more to 2
              0.000 poll 3 60s
                give query 2 of 1 more to 3
              0.000 poll 4 60s
                give a to 4
              0.000 poll 5 60s
              0.000 query 3 10s
                give query 3 to 5
        "#]],
    );
}

#[test]
fn a_query_without_a_poller_is_refused_at_once() {
    check(
        "
        query 1 10s
        poll 1 1s
        gone 1
        +20s query 2 30s
        +1ms query 3 10s
        run +1m
        ",
        &expect![[r#"
            0.000 query 1 10s
              query 1 ends: NoPoller
            0.000 poll 1 1s
            0.000 gone 1
            20.000 query 2 30s
            20.001 query 3 10s
              query 3 ends: NoPoller
            50.000 tick for Query
              query 2 ends: NoPoller
        "#]],
    );
}

#[test]
fn a_young_queue_waits_for_its_first_poller() {
    check(
        "
        queue workflow grace=2s
        query 1 10s
        +1s query 2 10s
        run +5s
        query 3 10s
        ",
        &expect![[r#"
              0.000 query 1 10s
              1.000 query 2 10s
              2.000 tick for Query
                query 1 ends: NoPoller
                query 2 ends: NoPoller
              6.000 query 3 10s
                query 3 ends: NoPoller
        "#]],
    );
    check(
        "
        queue workflow grace=2s
        query 1 10s
        +1s poll 1 10s
        deadline
        ",
        &expect![[r#"
              0.000 query 1 10s
              1.000 poll 1 10s
                give query 1 to 1
              1.000 deadline in 9s for Query
        "#]],
    );
}

#[test]
fn a_query_ends_at_its_deadline_wherever_it_is() {
    check(
        "
        poll 1 60s
        query 1 10s
        query 2 5s
        query 3 5s
        query_gone 3
        query 4 0s
        run +11s
        undelivered_query 1
        poll 2 60s
        ",
        &expect![[r#"
            0.000 poll 1 60s
            0.000 query 1 10s
              give query 1 to 1
            0.000 query 2 5s
            0.000 query 3 5s
            0.000 query_gone 3
            0.000 query 4 0s
              query 4 ends: Deadline
            5.000 tick for Query
              query 2 ends: Deadline
            10.000 tick for Query
              query 1 ends: Deadline
            11.000 undelivered_query 1
            11.000 poll 2 60s
        "#]],
    );
}

#[test]
fn a_query_that_reached_nobody_keeps_its_place() {
    check(
        "
        poll 1 60s
        query 1 10s
        query 2 10s
        undelivered_query 1
        poll 2 60s
        poll 3 60s
        ",
        &expect![[r#"
              0.000 poll 1 60s
              0.000 query 1 10s
                give query 1 to 1
              0.000 query 2 10s
              0.000 undelivered_query 1
              0.000 poll 2 60s
                give query 1 to 2
              0.000 poll 3 60s
                give query 2 to 3
        "#]],
    );
}

#[test]
fn queries_are_bounded() {
    check(
        "
        queue workflow queries_max=2
        poll 1 60s
        query 1 10s
        query 2 10s
        query 3 10s
        query_gone 1
        query 4 10s
        ",
        &expect![[r#"
              0.000 poll 1 60s
              0.000 query 1 10s
                give query 1 to 1
              0.000 query 2 10s
              0.000 query 3 10s
                query 3 ends: Full
              0.000 query_gone 1
              0.000 query 4 10s
        "#]],
    );
}
