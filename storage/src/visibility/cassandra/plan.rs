//! Plan: which terms and slices can have what a filter asks for. What is read is held against the filter itself,
//! so a plan may read too much, never too little.

use std::{
    collections::BTreeSet,
    ops::{Bound, RangeInclusive},
};

use proto::temporal::enums::v1::WorkflowExecutionStatus;

use super::place::{SLICE_NANOS, Term, closed_slice, is_open, is_open_status, open_slice};
use crate::visibility::{
    attributes::SystemAttribute,
    query::{self, Field, Filter, Operand, Test},
};

/// Values of one attribute that are looked for each under its own term; with more, every run is read.
const TERMS_MAX: usize = 16;

/// What to read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) terms: BTreeSet<Term>,
    open: Span,
    closed: Span,
}

/// The times whose slices are read, in nanoseconds: of the start of open runs, of the close of closed ones.
#[derive(Clone, Debug, PartialEq)]
struct Span(Option<RangeInclusive<i64>>);

impl Span {
    const ALL: Self = Self(Some(i64::MIN..=i64::MAX));
    const NONE: Self = Self(None);

    fn narrow(&mut self, to: &RangeInclusive<i64>) {
        let narrowed = self.0.take().map(|span| {
            let low = *span.start().max(to.start());
            low..=*span.end().min(to.end())
        });
        self.0 = narrowed.filter(|span| !span.is_empty());
    }

    fn has(&self, slice: i32, of: fn(i64) -> i32) -> bool {
        let span = self.0.as_ref();
        span.is_some_and(|span| (of(*span.start())..=of(*span.end())).contains(&slice))
    }
}

/// Returns what to read for the filter.
pub(super) fn plan(filter: &Filter) -> Plan {
    let mut found = Found::default();
    found.look(filter);
    found.plan()
}

impl Plan {
    /// Every run of the namespace.
    pub(super) fn everything() -> Self {
        Found::default().plan()
    }

    pub(super) fn reads(&self, slice: i32) -> bool {
        if is_open(slice) {
            self.open.has(slice, open_slice)
        } else {
            self.closed.has(slice, closed_slice)
        }
    }

    /// Whether the filter asks for what only the record tells, not the columns beside it.
    pub(super) fn needs_record(&self, filter: &Filter) -> bool {
        match filter {
            Filter::All(filters) | Filter::Any(filters) => {
                filters.iter().any(|filter| self.needs_record(filter))
            }
            Filter::Term(term) => match &term.field {
                Field::System(
                    SystemAttribute::ExecutionStatus
                    | SystemAttribute::StartTime
                    | SystemAttribute::CloseTime
                    | SystemAttribute::RunId,
                ) => false,
                Field::System(_) => true,
                field @ Field::Stored { .. } => *field != Field::division(),
            },
        }
    }
}

/// What the conditions say that must all hold.
struct Found {
    workflow_ids: Option<BTreeSet<Term>>,
    types: Option<BTreeSet<Term>>,
    statuses: Option<BTreeSet<Term>>,
    open: Span,
    closed: Span,
}

impl Default for Found {
    fn default() -> Self {
        Self {
            workflow_ids: None,
            types: None,
            statuses: None,
            open: Span::ALL,
            closed: Span::ALL,
        }
    }
}

impl Found {
    fn look(&mut self, filter: &Filter) {
        match filter {
            Filter::All(filters) => filters.iter().for_each(|filter| self.look(filter)),
            Filter::Any(filters) => {
                if let [only] = filters.as_slice() {
                    self.look(only);
                }
            }
            Filter::Term(term) => self.term(term),
        }
    }

    fn term(&mut self, term: &query::Term) {
        use SystemAttribute as S;
        let Field::System(attribute) = &term.field else {
            return;
        };
        let negated = term.negated;
        match (attribute, &term.test) {
            (S::CloseTime, Test::Null) if !negated => self.closed = Span::NONE,
            // These have no value while the run is open, and then only what asks for no value holds.
            (
                S::CloseTime
                | S::ExecutionDuration
                | S::HistoryLength
                | S::HistorySizeBytes
                | S::StateTransitionCount,
                test,
            ) => {
                if negated || *test != Test::Null {
                    self.open = Span::NONE;
                } else {
                    self.closed = Span::NONE;
                }
                if *attribute == S::CloseTime && !negated {
                    self.closed.narrow(&times(test));
                }
            }
            _ if negated => {}
            (S::StartTime, test) => {
                let times = times(test);
                self.open.narrow(&times);
                // It closed later than it started, but for clocks that differ by less than an hour.
                self.closed
                    .narrow(&(times.start().saturating_sub(SLICE_NANOS)..=i64::MAX));
            }
            (S::WorkflowId, test) => {
                self.workflow_ids = values(test, Term::WorkflowId).or(self.workflow_ids.take());
            }
            (S::WorkflowType, test) => {
                self.types = values(test, Term::WorkflowType).or(self.types.take());
            }
            (S::ExecutionStatus, Test::OneOf(operands)) => self.status(operands),
            _ => {}
        }
    }

    fn status(&mut self, operands: &[Operand]) {
        let mut terms = BTreeSet::new();
        let mut has_open = false;
        for operand in operands {
            let Operand::Int(number) = operand else { return };
            let status = i32::try_from(*number)
                .ok()
                .and_then(|number| WorkflowExecutionStatus::try_from(number).ok());
            match (status, u8::try_from(*number)) {
                (Some(status), _) if is_open_status(status) => has_open = true,
                (Some(_), Ok(number)) => {
                    terms.insert(Term::Closed(number));
                }
                // No run has such a status.
                _ => {}
            }
        }
        if !has_open {
            self.open = Span::NONE;
            self.statuses = Some(terms);
        } else if terms.is_empty() {
            self.closed = Span::NONE;
        }
    }

    /// Takes the terms under which there are likely the fewest runs.
    fn plan(self) -> Plan {
        let completed = u8::try_from(WorkflowExecutionStatus::Completed as i32).map(Term::Closed);
        let (rare, common) = match self.statuses {
            Some(terms) if completed.is_ok_and(|completed| terms.contains(&completed)) => (None, Some(terms)),
            rare => (rare, None),
        };
        let terms = self.workflow_ids.or(rare).or(self.types).or(common);
        Plan {
            terms: terms.unwrap_or_else(|| BTreeSet::from([Term::All])),
            open: self.open,
            closed: self.closed,
        }
    }
}

fn values(test: &Test, term: fn(String) -> Term) -> Option<BTreeSet<Term>> {
    let Test::OneOf(operands) = test else { return None };
    let mut terms = BTreeSet::new();
    for operand in operands {
        // Nothing but a text equals one.
        if let Operand::String(text) = operand {
            terms.insert(term(text.clone()));
        }
    }
    (terms.len() <= TERMS_MAX).then_some(terms)
}

/// Returns times that have all for which the test may hold.
fn times(test: &Test) -> RangeInclusive<i64> {
    let whole = |operand: &Operand| match operand {
        Operand::Int(nanos) => Some(*nanos),
        Operand::String(_) | Operand::Double(_) | Operand::Bool(_) => None,
    };
    let bound = |bound: &Bound<Operand>| match bound {
        Bound::Included(operand) | Bound::Excluded(operand) => whole(operand),
        Bound::Unbounded => None,
    };
    match test {
        Test::Range(low, high) => bound(low).unwrap_or(i64::MIN)..=bound(high).unwrap_or(i64::MAX),
        Test::OneOf(operands) => {
            let times: Option<Vec<i64>> = operands.iter().map(whole).collect();
            let times = times.unwrap_or_default();
            times.iter().copied().min().unwrap_or(i64::MIN)..=times.iter().copied().max().unwrap_or(i64::MAX)
        }
        Test::Null | Test::Prefix(_) | Test::Phrases(_) => i64::MIN..=i64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visibility::{
        arbitrary::schema,
        query::{Division, ListQuery},
    };

    const HOUR: i64 = SLICE_NANOS;

    fn planned(text: &str) -> Plan {
        let query = ListQuery::parse(text, &schema(), Division::Workflows).expect("valid query");
        plan(&query.filter)
    }

    fn terms(text: &str) -> Vec<Term> {
        planned(text).terms.into_iter().collect()
    }

    #[test]
    fn the_rarest_term_is_read() {
        let id = |id: &str| Term::WorkflowId(id.to_owned());
        let kind = |name: &str| Term::WorkflowType(name.to_owned());
        let table = [
            ("", vec![Term::All]),
            ("Kw = 'x'", vec![Term::All]),
            ("WorkflowId = 'a'", vec![id("a")]),
            ("WorkflowId IN ('b', 'a', 'b')", vec![id("a"), id("b")]),
            ("WorkflowId != 'a'", vec![Term::All]),
            ("WorkflowId > 'a'", vec![Term::All]),
            ("WorkflowId = 'a' OR Kw = 'x'", vec![Term::All]),
            ("(WorkflowType = 't' AND Kw = 'x') AND Nt > 1", vec![kind("t")]),
            ("WorkflowType = 't' AND WorkflowId = 'a'", vec![id("a")]),
            (
                "WorkflowType = 't' AND ExecutionStatus = 'Failed'",
                vec![Term::Closed(3)],
            ),
            (
                "WorkflowType = 't' AND ExecutionStatus = 'Completed'",
                vec![kind("t")],
            ),
            ("ExecutionStatus = 'Completed'", vec![Term::Closed(2)]),
            ("ExecutionStatus = 'Running'", vec![Term::All]),
            ("ExecutionStatus IN ('Running', 'Failed')", vec![Term::All]),
        ];
        for (text, expected) in table {
            assert_eq!(terms(text), expected, "{text}");
        }
        let many: Vec<_> = (0..=TERMS_MAX).map(|n| format!("'{n}'")).collect();
        assert_eq!(terms(&format!("WorkflowId IN ({})", many.join(","))), [Term::All]);
    }

    #[test]
    fn only_slices_that_may_match_are_read() {
        let day = 24 * HOUR;
        let slices = |text: &str| {
            let plan = planned(text);
            [open_slice(0), open_slice(day), closed_slice(0), closed_slice(day)]
                .map(|slice| plan.reads(slice))
        };
        let table = [
            ("", [true, true, true, true]),
            ("CloseTime IS NULL", [true, true, false, false]),
            ("CloseTime IS NOT NULL", [false, false, true, true]),
            ("CloseTime < 5", [false, false, true, false]),
            ("CloseTime != 5", [false, false, true, true]),
            ("ExecutionStatus = 'Running'", [true, true, false, false]),
            ("ExecutionStatus = 'Failed'", [false, false, true, true]),
            ("ExecutionStatus != 'Failed'", [true, true, true, true]),
            ("StartTime < 5", [true, false, true, true]),
            ("StartTime > '1970-01-01T20:00:00Z'", [false, true, false, true]),
            ("HistoryLength > 5", [false, false, true, true]),
            ("HistoryLength IS NULL", [true, true, false, false]),
            ("CloseTime < 5 OR Kw = 'x'", [true, true, true, true]),
            ("CloseTime < 5 AND CloseTime > 9", [false, false, false, false]),
        ];
        for (text, expected) in table {
            assert_eq!(slices(text), expected, "{text}");
        }
    }

    #[test]
    fn counts_of_states_need_no_records() {
        let needs = |text: &str| {
            let query = ListQuery::parse(text, &schema(), Division::Workflows).expect("valid query");
            plan(&query.filter).needs_record(&query.filter)
        };
        assert!(!needs(""));
        assert!(!needs("ExecutionStatus = 'Failed' AND CloseTime > 5"));
        assert!(needs("TaskQueue = 'x'"));
        assert!(needs("Kw = 'x'"));
    }
}
