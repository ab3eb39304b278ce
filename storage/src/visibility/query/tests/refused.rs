//! What is refused, and how; measured on the official server.

use expect_test::expect;

use super::check;

#[test]
fn wrong_values() {
    check(
        r#"
        Kw = 5
        Kw = 1.5
        Kw = true
        Kw IN ('a', 1)
        Kw BETWEEN 1 AND 'a'
        Kw STARTS_WITH 5
        Kl = 5
        Tx = 5
        Tx = ''
        Tx = '   '
        Nt = '1'
        Nt = 'x'
        Nt = true
        Nt = 1e400
        Db = 'a'
        Bo = 'true'
        Bo = 1
        Dt = '2024-01-01'
        Dt = ''
        Dt = 1.5
        Dt = 99999999999999999999
        Dt = true
        ExecutionStatus = 'running'
        ExecutionStatus = 99
        ExecutionStatus = 1.5
        ExecutionStatus = true
        ExecutionDuration < '01:00'
        ExecutionDuration < 1.5
        ExecutionDuration < true
        "#,
        expect![[r#"
            Kw = 5
                invalid query: invalid expression: invalid value type for search attribute Kw of type Keyword: 5 (type: int64)
            Kw = 1.5
                invalid query: invalid expression: invalid value type for search attribute Kw of type Keyword: 1.5 (type: float64)
            Kw = true
                invalid query: invalid expression: invalid value type for search attribute Kw of type Keyword: true (type: bool)
            Kw IN ('a', 1)
                invalid query: invalid expression: invalid value type for search attribute Kw of type Keyword: 1 (type: int64)
            Kw BETWEEN 1 AND 'a'
                invalid query: invalid expression: invalid value type for search attribute Kw of type Keyword: 1 (type: int64)
            Kw STARTS_WITH 5
                invalid query: invalid expression: invalid value type for search attribute Kw of type Keyword: 5 (type: int64)
            Kl = 5
                invalid query: invalid expression: invalid value type for search attribute Kl of type KeywordList: 5 (type: int64)
            Tx = 5
                invalid query: invalid expression: invalid value type for search attribute Tx of type Text: 5 (type: int64)
            Tx = ''
                invalid query: invalid expression: no tokens found filtering on Text type search attribute Tx
            Tx = '   '
                invalid query: invalid expression: no tokens found filtering on Text type search attribute Tx
            Nt = '1'
                invalid query: invalid expression: invalid value type for search attribute Nt of type Int: "1" (type: string)
            Nt = 'x'
                invalid query: invalid expression: invalid value type for search attribute Nt of type Int: "x" (type: string)
            Nt = true
                invalid query: invalid expression: invalid value type for search attribute Nt of type Int: true (type: bool)
            Nt = 1e400
                invalid query: invalid expression: unable to parse value "1e400"
            Db = 'a'
                invalid query: invalid expression: invalid value type for search attribute Db of type Double: "a" (type: string)
            Bo = 'true'
                invalid query: invalid expression: invalid value type for search attribute Bo of type Bool: "true" (type: string)
            Bo = 1
                invalid query: invalid expression: invalid value type for search attribute Bo of type Bool: 1 (type: int64)
            Dt = '2024-01-01'
                invalid query: invalid expression: unable to parse datetime '2024-01-01'
            Dt = ''
                invalid query: invalid expression: unable to parse datetime ''
            Dt = 1.5
                invalid query: invalid expression: invalid value type for search attribute Dt of type Datetime: 1.5 (type: float64)
            Dt = 99999999999999999999
                invalid query: invalid expression: invalid value type for search attribute Dt of type Datetime: 1e+20 (type: float64)
            Dt = true
                invalid query: invalid expression: invalid value type for search attribute Dt of type Datetime: true (type: bool)
            ExecutionStatus = 'running'
                invalid query: invalid expression: invalid ExecutionStatus value 'running'
            ExecutionStatus = 99
                invalid query: invalid expression: invalid ExecutionStatus value 99
            ExecutionStatus = 1.5
                invalid query: invalid expression: unexpected value type float64 for search attribute ExecutionStatus
            ExecutionStatus = true
                invalid query: invalid expression: unexpected value type bool for search attribute ExecutionStatus
            ExecutionDuration < '01:00'
                invalid query: invalid expression: invalid duration value for search attribute ExecutionDuration: 01:00
            ExecutionDuration < 1.5
                invalid query: invalid expression: unexpected value type float64 for search attribute ExecutionDuration
            ExecutionDuration < true
                invalid query: invalid expression: invalid value type for search attribute ExecutionDuration of type Int: true (type: bool)
        "#]],
    );
}

#[test]
fn wrong_operators() {
    check(
        r#"
        Kw LIKE 'a%'
        Kw NOT LIKE 'a' ESCAPE 'b'
        Kw REGEXP 'a'
        Kw RLIKE 'a'
        Kw <=> 'a'
        Kl < 'b'
        Kl STARTS_WITH 'a'
        Kl BETWEEN 'a' AND 'b'
        Tx < 'a'
        Tx IN ('quick')
        Tx STARTS_WITH 'a'
        Tx BETWEEN 'a' AND 'b'
        Nt STARTS_WITH 1
        Dt STARTS_WITH '2024-01-01T00:00:00Z'
        Bo BETWEEN true AND false
        ExecutionDuration STARTS_WITH '1h'
        ExecutionStatus STARTS_WITH 'Running'
        ExecutionStatus NOT STARTS_WITH 1
        ExecutionStatus LIKE 'Running'
        "#,
        expect![[r#"
            Kw LIKE 'a%'
                invalid query: operation is not supported: operator 'LIKE' not supported for Keyword type search attribute 'Kw'
            Kw NOT LIKE 'a' ESCAPE 'b'
                invalid query: operation is not supported: operator 'NOT LIKE' not supported for Keyword type search attribute 'Kw'
            Kw REGEXP 'a'
                invalid query: operation is not supported: operator 'REGEXP' not supported for Keyword type search attribute 'Kw'
            Kw RLIKE 'a'
                invalid query: operation is not supported: operator 'REGEXP' not supported for Keyword type search attribute 'Kw'
            Kw <=> 'a'
                invalid query: operation is not supported: operator '<=>' not supported for Keyword type search attribute 'Kw'
            Kl < 'b'
                invalid query: operation is not supported: operator '<' not supported for KeywordList type search attribute 'Kl'
            Kl STARTS_WITH 'a'
                invalid query: operation is not supported: operator 'STARTS_WITH' not supported for KeywordList type search attribute 'Kl'
            Kl BETWEEN 'a' AND 'b'
                invalid query: invalid expression: cannot do range condition on search attribute 'Kl' of type KeywordList
            Tx < 'a'
                invalid query: operation is not supported: operator '<' not supported for Text type search attribute 'Tx'
            Tx IN ('quick')
                invalid query: operation is not supported: operator 'IN' not supported for Text type search attribute 'Tx'
            Tx STARTS_WITH 'a'
                invalid query: operation is not supported: operator 'STARTS_WITH' not supported for Text type search attribute 'Tx'
            Tx BETWEEN 'a' AND 'b'
                invalid query: invalid expression: cannot do range condition on search attribute 'Tx' of type Text
            Nt STARTS_WITH 1
                invalid query: operation is not supported: operator 'STARTS_WITH' not supported for Int type search attribute 'Nt'
            Dt STARTS_WITH '2024-01-01T00:00:00Z'
                invalid query: operation is not supported: operator 'STARTS_WITH' not supported for Datetime type search attribute 'Dt'
            Bo BETWEEN true AND false
                invalid query: invalid expression: cannot do range condition on search attribute 'Bo' of type Bool
            ExecutionDuration STARTS_WITH '1h'
                invalid query: operation is not supported: operator 'STARTS_WITH' not supported for Int type search attribute 'ExecutionDuration'
            ExecutionStatus STARTS_WITH 'Running'
                invalid query: invalid expression: right-hand side of "starts_with" operator must be a literal string (got: Running)
            ExecutionStatus NOT STARTS_WITH 1
                invalid query: invalid expression: right-hand side of "not starts_with" operator must be a literal string (got: Running)
            ExecutionStatus LIKE 'Running'
                invalid query: operation is not supported: operator 'LIKE' not supported for Keyword type search attribute 'ExecutionStatus'
        "#]],
    );
}

#[test]
fn wrong_expressions() {
    check(
        r#"
        Foo = 'a'
        workflowid = 'a'
        Kw.x = 'a'
        TemporalKw = 'a'
        Memo = 'x'
        Kw = a
        Kw = `Kw2`
        Kw IN ('a', Kw2)
        Kw = null
        Kw IN (null)
        Kw = ('a')
        (Kw) = 'a'
        (Kw = 'a') = 'b'
        'a' = Kw
        1=1
        'Kw'='a'
        Kw
        NOT Kw
        Kw AND Kw = 'a'
        with-dash = 'a'
        upper(Kw) = 'a'
        Kw = upper('a')
        Kw = 'a' + 'b'
        Nt = 1 + 1
        Nt + 1 = 2
        Nt = -(5)
        Nt = ~1
        Kw = -'a'
        true
        null
        Kw = 'a' AND true
        ! (Kw = 'a')
        Kw IS TRUE
        Kw IS NOT TRUE
        Kw = (select 1)
        Kw = 'a' ORDER BY Kw
        order by StartTime DESC
        Kw = 'a' LIMIT 5
        Kw = 5 ORDER BY Kw
        "#,
        expect![[r#"
            Foo = 'a'
                invalid query: invalid search attribute: Foo
            workflowid = 'a'
                invalid query: invalid search attribute: workflowid
            Kw.x = 'a'
                invalid query: invalid search attribute: Kw.x
            TemporalKw = 'a'
                invalid query: invalid search attribute: TemporalKw
            Memo = 'x'
                invalid query: invalid search attribute: Memo
            Kw = a
                invalid query: operation is not supported: column name on the right side of comparison expression (did you forget to quote "a"?)
            Kw = `Kw2`
                invalid query: operation is not supported: column name on the right side of comparison expression (did you forget to quote "Kw2"?)
            Kw IN ('a', Kw2)
                invalid query: operation is not supported: column name on the right side of comparison expression (did you forget to quote "Kw2"?)
            Kw = null
                invalid query: invalid expression: unexpected value NULL (use IS NULL or IS NOT NULL)
            Kw IN (null)
                invalid query: invalid expression: unexpected value NULL (use IS NULL or IS NOT NULL)
            Kw = ('a')
                invalid query: invalid expression: unexpected value in parentheses
            (Kw) = 'a'
                invalid query: invalid expression: incomplete expression
            (Kw = 'a') = 'b'
                invalid query: invalid expression: must be a column name but was an expression in parentheses
            'a' = Kw
                invalid query: invalid expression: must be a column name but was a value
            1=1
                invalid query: invalid expression: must be a column name but was a value
            'Kw'='a'
                invalid query: invalid expression: must be a column name but was a value
            Kw
                invalid query: invalid expression: incomplete expression
            NOT Kw
                invalid query: invalid expression: incomplete expression
            Kw AND Kw = 'a'
                invalid query: invalid expression: incomplete expression
            with-dash = 'a'
                invalid query: invalid expression: must be a column name but was an arithmetic expression
            upper(Kw) = 'a'
                invalid query: invalid expression: must be a column name but was a function call
            Kw = upper('a')
                invalid query: operation is not supported: nested func
            Kw = 'a' + 'b'
                invalid query: invalid expression: unexpected arithmetic operator '+' in a value
            Nt = 1 + 1
                invalid query: invalid expression: unexpected arithmetic operator '+' in a value
            Nt + 1 = 2
                invalid query: invalid expression: must be a column name but was an arithmetic expression
            Nt = -(5)
                invalid query: invalid expression: unary operator not supported on what is not a number
            Nt = ~1
                invalid query: operation is not supported: unary operator "~"
            Kw = -'a'
                invalid query: invalid expression: unary operator not supported on what is not a number
            true
                invalid query: operation is not supported: expression 'TRUE'
            null
                invalid query: operation is not supported: expression 'NULL'
            Kw = 'a' AND true
                invalid query: operation is not supported: expression 'TRUE'
            ! (Kw = 'a')
                invalid query: operation is not supported: operator '!'
            Kw IS TRUE
                invalid query: invalid expression: 'IS' operator can only be used as 'IS NULL' or 'IS NOT NULL'
            Kw IS NOT TRUE
                invalid query: invalid expression: 'IS' operator can only be used as 'IS NULL' or 'IS NOT NULL'
            Kw = (select 1)
                invalid query: invalid expression: unexpected value in parentheses
            Kw = 'a' ORDER BY Kw
                invalid query: operation is not supported: 'ORDER BY' clause
            order by StartTime DESC
                invalid query: operation is not supported: 'ORDER BY' clause
            Kw = 'a' LIMIT 5
                invalid query: operation is not supported: 'LIMIT' clause
            Kw = 5 ORDER BY Kw
                invalid query: invalid expression: invalid value type for search attribute Kw of type Keyword: 5 (type: int64)
        "#]],
    );
}

#[test]
fn malformed() {
    check(
        r#"
        Kw = 'a
        Kw = "a'
        `Kw = 'a'
        `` = 'a'
        Kw == 'a'
        Kw NOT = 'a'
        Kw NOT IS NULL
        Kw IS NOT
        Kw IS 'a'
        Kw IS NULL NULL
        Kw IN ()
        Kw IN 'a'
        Kw IN ('a',)
        Kw IN ('a' 'b')
        Kw BETWEEN 'a'
        Kw STARTS_WITH
        Kw = 'a' 'b'
        Kw = 'a' AND
        Kw = 'a')
        (Kw = 'a'
        Kw =
        = 'a'
        ()
        AND
        NOT
        Kw = 'a' = 'b'
        Kw = 'a'; Kw = 'b'
        Kw = 'a' XOR Kw = 'b'
        Nt=1and Nt=1
        Nt = 1_000
        Nt = 0x10
        Nt = --1
        Kw = ?
        Kw = :a
        Kw = N'a'
        Kw = 'a' /* open
        select * from x
        order = 'a'
        With Space = 'a'
        %
        é = 'a'
        "#,
        expect![[r#"
            Kw = 'a
                invalid query: malformed SQL query: syntax error at position 35 near 'a'
            Kw = "a'
                invalid query: malformed SQL query: syntax error at position 36 near 'a''
            `Kw = 'a'
                invalid query: malformed SQL query: syntax error at position 37 near 'Kw = 'a''
            `` = 'a'
                invalid query: malformed SQL query: syntax error at position 30
            Kw == 'a'
                invalid query: malformed SQL query: syntax error at position 33
            Kw NOT = 'a'
                invalid query: malformed SQL query: syntax error at position 36
            Kw NOT IS NULL
                invalid query: malformed SQL query: syntax error at position 37 near 'is'
            Kw IS NOT
                invalid query: malformed SQL query: syntax error at position 37
            Kw IS 'a'
                invalid query: malformed SQL query: syntax error at position 37 near 'a'
            Kw IS NULL NULL
                invalid query: malformed SQL query: syntax error at position 43 near 'null'
            Kw IN ()
                invalid query: malformed SQL query: syntax error at position 36
            Kw IN 'a'
                invalid query: malformed SQL query: syntax error at position 37 near 'a'
            Kw IN ('a',)
                invalid query: malformed SQL query: syntax error at position 40
            Kw IN ('a' 'b')
                invalid query: malformed SQL query: syntax error at position 42 near 'b'
            Kw BETWEEN 'a'
                invalid query: malformed SQL query: syntax error at position 42
            Kw STARTS_WITH
                invalid query: malformed SQL query: syntax error at position 42
            Kw = 'a' 'b'
                invalid query: malformed SQL query: syntax error at position 40 near 'b'
            Kw = 'a' AND
                invalid query: malformed SQL query: syntax error at position 40
            Kw = 'a')
                invalid query: malformed SQL query: syntax error at position 37
            (Kw = 'a'
                invalid query: malformed SQL query: syntax error at position 37
            Kw =
                invalid query: malformed SQL query: syntax error at position 32
            = 'a'
                invalid query: malformed SQL query: syntax error at position 29
            ()
                invalid query: malformed SQL query: syntax error at position 30
            AND
                invalid query: malformed SQL query: syntax error at position 31 near 'and'
            NOT
                invalid query: malformed SQL query: syntax error at position 31
            Kw = 'a' = 'b'
                invalid query: malformed SQL query: syntax error at position 38
            Kw = 'a'; Kw = 'b'
                invalid query: malformed SQL query: syntax error at position 40 near 'Kw'
            Kw = 'a' XOR Kw = 'b'
                invalid query: malformed SQL query: syntax error at position 40 near 'XOR'
            Nt=1and Nt=1
                invalid query: malformed SQL query: syntax error at position 32 near '1'
            Nt = 1_000
                invalid query: malformed SQL query: syntax error at position 34 near '1'
            Nt = 0x10
                invalid query: malformed SQL query: syntax error at position 34 near '0'
            Nt = --1
                invalid query: malformed SQL query: syntax error at position 36
            Kw = ?
                invalid query: malformed SQL query: syntax error at position 34
            Kw = :a
                invalid query: malformed SQL query: syntax error at position 34
            Kw = N'a'
                invalid query: malformed SQL query: syntax error at position 37 near 'a'
            Kw = 'a' /* open
                invalid query: malformed SQL query: syntax error at position 44 near '/* open'
            select * from x
                invalid query: malformed SQL query: syntax error at position 34 near 'select'
            order = 'a'
                invalid query: malformed SQL query: syntax error at position 35
            With Space = 'a'
                invalid query: malformed SQL query: syntax error at position 38 near 'Space'
            %
                invalid query: malformed SQL query: syntax error at position 29
            é = 'a'
                invalid query: malformed SQL query: syntax error at position 30
        "#]],
    );
}
