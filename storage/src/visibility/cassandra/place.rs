//! Place: under which terms and in which slices a run's rows are, and in which order.

use bytes::{BufMut, Bytes, BytesMut};
use proto::{
    ids::{NamespaceId, RunId},
    temporal::enums::v1::WorkflowExecutionStatus,
    time::Timestamp,
};

use crate::visibility::{record::Record, token::Position};

/// Nanoseconds that one slice covers.
pub(super) const SLICE_NANOS: i64 = 3_600_000_000_000;
/// What is added to the hour of an open run's start: open slices come after all closed ones.
const OPEN: i32 = 100_000_000;
/// The slice of terms that are not cut.
pub(super) const WHOLE: i32 = 0;

/// What a list may look for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Term {
    All,
    WorkflowType(String),
    /// Of closed runs; open ones are found under the other terms.
    Closed(u8),
    WorkflowId(String),
}

impl Term {
    pub(super) fn to_bytes(&self) -> Bytes {
        let (letter, value) = match self {
            Self::All => (b'a', &[][..]),
            Self::WorkflowType(name) => (b't', name.as_bytes()),
            Self::Closed(status) => (b's', std::slice::from_ref(status)),
            Self::WorkflowId(id) => (b'w', id.as_bytes()),
        };
        let mut bytes = BytesMut::with_capacity(1 + value.len());
        bytes.put_u8(letter);
        bytes.put_slice(value);
        bytes.freeze()
    }

    /// Whether its rows are cut into slices; else they are in the one slice [`WHOLE`].
    pub(super) const fn is_sliced(&self) -> bool {
        !matches!(self, Self::WorkflowId(_))
    }
}

/// A partition of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Partition {
    pub(super) namespace_id: NamespaceId,
    pub(super) term: Term,
    pub(super) slice: i32,
}

/// Columns that order a partition's rows: all of them downwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) close_time: i64,
    pub(super) start_time: i64,
    pub(super) run: [u8; 16],
}

impl Key {
    pub(super) fn of(position: Position) -> Self {
        Self {
            close_time: position.close_time.nanos(),
            start_time: position.start_time.nanos(),
            run: turned(*position.run_id.as_bytes()),
        }
    }

    pub(super) fn position(self) -> Position {
        Position {
            close_time: Timestamp::from_nanos(self.close_time),
            start_time: Timestamp::from_nanos(self.start_time),
            run_id: RunId::from_bytes(turned(self.run)),
        }
    }
}

fn turned(run: [u8; 16]) -> [u8; 16] {
    run.map(|byte| !byte)
}

/// The slice of open runs that start at the time.
pub(super) fn open_slice(start_time: i64) -> i32 {
    hour(start_time) + OPEN
}

/// The slice of runs that close at the time.
pub(super) fn closed_slice(close_time: i64) -> i32 {
    hour(close_time)
}

pub(super) fn is_open(slice: i32) -> bool {
    slice > OPEN / 2
}

/// The first nanosecond of the hour that the slice stands for.
pub(super) fn slice_begin(slice: i32) -> i64 {
    let hour = if is_open(slice) { slice - OPEN } else { slice };
    i64::from(hour).saturating_mul(SLICE_NANOS)
}

fn hour(nanos: i64) -> i32 {
    // 292 years are 2.6 million hours.
    i32::try_from(nanos.div_euclid(SLICE_NANOS)).unwrap_or(i32::MAX)
}

/// Whether the status is one of open runs.
pub(super) const fn is_open_status(status: WorkflowExecutionStatus) -> bool {
    matches!(
        status,
        WorkflowExecutionStatus::Running | WorkflowExecutionStatus::Paused
    )
}

/// Returns the partitions of the run's rows as it is, and their key there.
pub(super) fn rows(record: &Record) -> (Vec<Partition>, Key) {
    let key = Key::of(Position::of(record));
    let (slice, closed) = match &record.close {
        None => (open_slice(key.start_time), None),
        Some(close) => (closed_slice(close.time.nanos()), Some(status(record))),
    };
    (partitions(record, slice, closed), key)
}

/// Returns where its rows were while it was open.
pub(super) fn rows_while_open(record: &Record) -> (Vec<Partition>, Key) {
    let open = Position {
        close_time: Timestamp::MAX,
        ..Position::of(record)
    };
    let key = Key::of(open);
    (partitions(record, open_slice(key.start_time), None), key)
}

fn partitions(record: &Record, slice: i32, closed: Option<u8>) -> Vec<Partition> {
    let sliced = [Term::All, Term::WorkflowType(record.workflow_type.clone())];
    let whole = Term::WorkflowId(record.workflow_id.as_str().to_owned());
    let sliced = sliced.into_iter().chain(closed.map(Term::Closed));
    let partition = |term, slice| Partition {
        namespace_id: record.namespace_id,
        term,
        slice,
    };
    let sliced = sliced.map(|term| partition(term, slice));
    sliced.chain([partition(whole, WHOLE)]).collect()
}

/// The API's number of the status; they are few.
pub(super) fn status(record: &Record) -> u8 {
    u8::try_from(i32::from(record.status)).unwrap_or(0)
}

/// The timestamp of what the record writes: later versions of a run have later ones.
pub(super) fn written_at(record: &Record) -> i64 {
    let version = i64::try_from(record.version).unwrap_or(i64::MAX);
    (record.start_time.nanos() / 1000).saturating_add(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_follow_the_order_of_lists() {
        let times = [
            -5_000_000_000_000,
            -1,
            0,
            SLICE_NANOS - 1,
            SLICE_NANOS,
            i64::MAX - 1,
        ];
        for pair in times.windows(2) {
            assert!(open_slice(pair[0]) <= open_slice(pair[1]));
            assert!(closed_slice(pair[0]) <= closed_slice(pair[1]));
            assert!(closed_slice(pair[1]) < open_slice(pair[0]));
        }
        for time in times {
            for slice in [open_slice(time), closed_slice(time)] {
                let begin = slice_begin(slice);
                assert!(begin <= time && time - begin < SLICE_NANOS, "{time}");
            }
        }
        assert!(is_open(open_slice(i64::MIN)) && !is_open(closed_slice(i64::MAX)));
    }

    #[test]
    fn keys_go_down_where_lists_go_on() {
        let position = |close: i64, start: i64, run: u8| Position {
            close_time: Timestamp::from_nanos(close),
            start_time: Timestamp::from_nanos(start),
            run_id: RunId::from_bytes([run; 16]),
        };
        let listed = [
            position(i64::MAX, 2, 1),
            position(i64::MAX, 2, 2),
            position(i64::MAX, 1, 0),
            position(9, 1, 0),
            position(8, 3, 0),
        ];
        for pair in listed.windows(2) {
            assert!(Key::of(pair[0]) > Key::of(pair[1]), "{pair:?}");
        }
        assert_eq!(Key::of(listed[1]).position(), listed[1]);
    }
}
