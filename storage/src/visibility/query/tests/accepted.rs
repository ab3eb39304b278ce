//! What queries mean, by examples.

use expect_test::expect;

use super::{Division, ListQuery, check, schema};

#[test]
fn keywords() {
    check(
        r#"
        Kw = 'a'
        Kw = "a"
        `Kw`='a'
        Kw = ''
        Kw != 'a'
        Kw <> 'a'
        Kw < 'b'
        Kw >= 'b'
        Kw IN ('a','b')
        Kw NOT IN ('a')
        Kw BETWEEN 'a' AND 'b'
        Kw NOT BETWEEN 'a' AND 'b'
        Kw starts_with 'a'
        Kw NOT STARTS_WITH 'a'
        Kw IS NULL
        Kw is not null
        `With Space` = 'a'
        `with-dash` = 'a'
        "#,
        expect![[r#"
            Kw = 'a'
                Kw in ["a"]
            Kw = "a"
                Kw in ["a"]
            `Kw`='a'
                Kw in ["a"]
            Kw = ''
                Kw in [""]
            Kw != 'a'
                Kw not in ["a"]
            Kw <> 'a'
                Kw not in ["a"]
            Kw < 'b'
                Kw in (.."b")
            Kw >= 'b'
                Kw in ["b"..)
            Kw IN ('a','b')
                Kw in ["a", "b"]
            Kw NOT IN ('a')
                Kw not in ["a"]
            Kw BETWEEN 'a' AND 'b'
                Kw in ["a".."b"]
            Kw NOT BETWEEN 'a' AND 'b'
                Kw not in ["a".."b"]
            Kw starts_with 'a'
                Kw begins "a"
            Kw NOT STARTS_WITH 'a'
                Kw not begins "a"
            Kw IS NULL
                Kw null
            Kw is not null
                Kw not null
            `With Space` = 'a'
                With Space in ["a"]
            `with-dash` = 'a'
                with-dash in ["a"]
        "#]],
    );
}

#[test]
fn logic() {
    check(
        r#"
        NOT Kw = 'a'
        NOT NOT Kw = 'a'
        NOT (Kw = 'a' OR Nt = 1)
        NOT (Kw = 'a' AND NOT Kw2 IS NULL)
        NOT Kw = 'a' AND Kw2 = 'b'
        Kw = 'a' or Nt = 1 and Kw2 = 'b'
        Kw = 'a' && Nt = 1 || Kw2 = 'b'
        ((((Kw = 'a'))))
        Kw = 'a' OR Nt = 1 OR Kw = 'b' OR Kw IN ('c', 'd')
        Kw != 'a' AND Nt = 1 AND NOT Kw IN ('b', 'c')
        Kw BETWEEN 'a' AND 'b' AND Kw = 'a'
        Kw = 'a';
        Kw = 'a' -- rest
        Kw = 'a' # rest
        /* x */ Kw /**/ = 'a'
        "#,
        expect![[r#"
            NOT Kw = 'a'
                Kw not in ["a"]
            NOT NOT Kw = 'a'
                Kw in ["a"]
            NOT (Kw = 'a' OR Nt = 1)
                Kw not in ["a"] AND Nt not in [1]
            NOT (Kw = 'a' AND NOT Kw2 IS NULL)
                (Kw not in ["a"] OR Kw2 null)
            NOT Kw = 'a' AND Kw2 = 'b'
                Kw2 in ["b"] AND Kw not in ["a"]
            Kw = 'a' or Nt = 1 and Kw2 = 'b'
                ((Nt in [1] AND Kw2 in ["b"]) OR Kw in ["a"])
            Kw = 'a' && Nt = 1 || Kw2 = 'b'
                ((Kw in ["a"] AND Nt in [1]) OR Kw2 in ["b"])
            ((((Kw = 'a'))))
                Kw in ["a"]
            Kw = 'a' OR Nt = 1 OR Kw = 'b' OR Kw IN ('c', 'd')
                (Kw in ["a", "b", "c", "d"] OR Nt in [1])
            Kw != 'a' AND Nt = 1 AND NOT Kw IN ('b', 'c')
                Nt in [1] AND Kw not in ["a", "b", "c"]
            Kw BETWEEN 'a' AND 'b' AND Kw = 'a'
                Kw in ["a".."b"] AND Kw in ["a"]
            Kw = 'a';
                Kw in ["a"]
            Kw = 'a' -- rest
                Kw in ["a"]
            Kw = 'a' # rest
                Kw in ["a"]
            /* x */ Kw /**/ = 'a'
                Kw in ["a"]
        "#]],
    );
}

#[test]
fn other_types() {
    check(
        r#"
        Nt = 1
        Nt = -5
        Nt = - 5
        Nt = +1
        Nt = 1.5
        Nt = 01
        Nt = 1e2
        Nt = 9223372036854775807
        Nt = -9223372036854775808
        Nt = 9223372036854775808
        Nt BETWEEN 2 AND 1
        Db = 1
        Db = .5
        Db = 5.
        Db IN (1, -2.25)
        Bo = true
        Bo != TRUE
        Bo < true
        Bo IN (true,false)
        Dt = '2024-01-01T01:00:00+01:00'
        Dt > -1
        Dt IN ('1970-01-01T00:00:00.5Z', 5)
        Kl = 'a'
        Kl != 'a'
        NOT Kl IN ('a','c')
        Kl IS NULL
        Tx = 'Quick fox-jumps'
        Tx != '!'
        NOT Tx = 'quick'
        "#,
        expect![[r#"
            Nt = 1
                Nt in [1]
            Nt = -5
                Nt in [-5]
            Nt = - 5
                Nt in [-5]
            Nt = +1
                Nt in [1]
            Nt = 1.5
                Nt in [1.5]
            Nt = 01
                Nt in [1]
            Nt = 1e2
                Nt in [100.0]
            Nt = 9223372036854775807
                Nt in [9223372036854775807]
            Nt = -9223372036854775808
                Nt in [-9223372036854775808]
            Nt = 9223372036854775808
                Nt in [9.223372036854776e18]
            Nt BETWEEN 2 AND 1
                Nt in [2..1]
            Db = 1
                Db in [1]
            Db = .5
                Db in [0.5]
            Db = 5.
                Db in [5.0]
            Db IN (1, -2.25)
                Db in [1, -2.25]
            Bo = true
                Bo in [true]
            Bo != TRUE
                Bo not in [true]
            Bo < true
                Bo in (..true)
            Bo IN (true,false)
                Bo in [true, false]
            Dt = '2024-01-01T01:00:00+01:00'
                Dt in [1704067200000000000]
            Dt > -1
                Dt in (-1..)
            Dt IN ('1970-01-01T00:00:00.5Z', 5)
                Dt in [500000000, 5]
            Kl = 'a'
                Kl in ["a"]
            Kl != 'a'
                Kl not in ["a"]
            NOT Kl IN ('a','c')
                Kl not in ["a", "c"]
            Kl IS NULL
                Kl null
            Tx = 'Quick fox-jumps'
                Tx holds ["quick", "fox jumps"]
            Tx != '!'
                Tx not holds [""]
            NOT Tx = 'quick'
                Tx not holds ["quick"]
        "#]],
    );
}

#[test]
fn strings() {
    check(
        r#"
        Kw = 'it''s "x"'
        Kw = "it's ""x"""
        Kw = 'it\'s'
        Kw = 'a\\b\a\n'
        Kw = 'ü%_`'
        `K``w` = 'a'
        "#,
        expect![[r#"
            Kw = 'it''s "x"'
                Kw in ["it's \"x\""]
            Kw = "it's ""x"""
                Kw in ["it's \"x\""]
            Kw = 'it\'s'
                Kw in ["it's"]
            Kw = 'a\\b\a\n'
                Kw in ["a\\ba\n"]
            Kw = 'ü%_`'
                Kw in ["ü%_`"]
            `K``w` = 'a'
                invalid query: invalid search attribute: K`w
        "#]],
    );
}

#[test]
fn built_in_attributes() {
    check(
        r#"
        ExecutionStatus = 'Running'
        ExecutionStatus = 'WORKFLOW_EXECUTION_STATUS_RUNNING'
        ExecutionStatus = 1
        ExecutionStatus = 0
        ExecutionStatus IN ('Terminated', 2)
        ExecutionStatus != 'Running'
        ExecutionStatus > 'Running'
        ExecutionStatus NOT BETWEEN 'Completed' AND 'Terminated'
        ExecutionStatus < 'Terminated'
        NOT ExecutionStatus IN ('Running')
        ExecutionStatus IS NULL
        ExecutionDuration > '1h30m'
        ExecutionDuration BETWEEN 0 AND '00:00:01.5'
        CloseTime IS NULL
        NOT CloseTime > '2030-01-01T00:00:00Z'
        HistoryLength > 10 AND HistorySizeBytes < 5 AND StateTransitionCount != 3
        RunId STARTS_WITH '01' AND ParentRunId IS NULL AND RootWorkflowId = 'x'
        ScheduleId STARTS_WITH 'k'
        TemporalScheduleId = 'x'
        TemporalWorkflowId = 'x'
        BuildIds = 'x' OR TemporalBuildIds = 'y'
        ChangeVersion = 'x-1'
        ScheduledStartTime > 5
        TemporalSchedulePaused = true
        "#,
        expect![[r#"
            ExecutionStatus = 'Running'
                ExecutionStatus in [1]
            ExecutionStatus = 'WORKFLOW_EXECUTION_STATUS_RUNNING'
                ExecutionStatus in [1]
            ExecutionStatus = 1
                ExecutionStatus in [1]
            ExecutionStatus = 0
                ExecutionStatus in [0]
            ExecutionStatus IN ('Terminated', 2)
                ExecutionStatus in [2, 5]
            ExecutionStatus != 'Running'
                ExecutionStatus in [0, 2, 3, 4, 5, 6, 7, 8]
            ExecutionStatus > 'Running'
                ExecutionStatus in [2, 3, 4, 5, 6, 7, 8]
            ExecutionStatus NOT BETWEEN 'Completed' AND 'Terminated'
                ExecutionStatus in [0, 1, 6, 7, 8]
            ExecutionStatus < 'Terminated'
                ExecutionStatus in [0, 1, 2, 3, 4]
            NOT ExecutionStatus IN ('Running')
                ExecutionStatus in [0, 2, 3, 4, 5, 6, 7, 8]
            ExecutionStatus IS NULL
                ExecutionStatus null
            ExecutionDuration > '1h30m'
                ExecutionDuration in (5400000000000..)
            ExecutionDuration BETWEEN 0 AND '00:00:01.5'
                ExecutionDuration in [0..1500000000]
            CloseTime IS NULL
                CloseTime null
            NOT CloseTime > '2030-01-01T00:00:00Z'
                CloseTime not in (1893456000000000000..)
            HistoryLength > 10 AND HistorySizeBytes < 5 AND StateTransitionCount != 3
                HistoryLength in (10..) AND HistorySizeBytes in (..5) AND StateTransitionCount not in [3]
            RunId STARTS_WITH '01' AND ParentRunId IS NULL AND RootWorkflowId = 'x'
                RunId begins "01" AND ParentRunId null AND RootWorkflowId in ["x"]
            ScheduleId STARTS_WITH 'k'
                WorkflowId begins "k"
            TemporalScheduleId = 'x'
                WorkflowId in ["x"]
            TemporalWorkflowId = 'x'
                WorkflowId in ["x"]
            BuildIds = 'x' OR TemporalBuildIds = 'y'
                BuildIds in ["x", "y"]
            ChangeVersion = 'x-1'
                TemporalChangeVersion in ["x-1"]
            ScheduledStartTime > 5
                TemporalScheduledStartTime in (5..)
            TemporalSchedulePaused = true
                TemporalSchedulePaused in [true]
        "#]],
    );
}

#[test]
fn divisions() {
    check(
        r#"
        TemporalNamespaceDivision = 'x'
        NamespaceDivision IS NULL AND Kw = 'a'
        Kw = 'a' OR NOT TemporalNamespaceDivision IS NULL
        "#,
        expect![[r#"
            TemporalNamespaceDivision = 'x'
                TemporalNamespaceDivision in ["x"]
            NamespaceDivision IS NULL AND Kw = 'a'
                Kw in ["a"]
            Kw = 'a' OR NOT TemporalNamespaceDivision IS NULL
                TemporalNamespaceDivision not null OR Kw in ["a"]
        "#]],
    );
    let schedules =
        ListQuery::parse("Kw = 'a'", &schema(), Division::Named("TemporalScheduler")).expect("valid");
    expect![[r#"TemporalNamespaceDivision in ["TemporalScheduler"] AND Kw in ["a"]"#]]
        .assert_eq(&schedules.filter.to_string());
}
