//! Read: rows of one slice.
//!
//! A run that closes leaves a tombstone among the open ones. Cassandra refuses a read that meets too many of them;
//! then the slice's time is halved until each part is read.

use bytes::Bytes;
use proto::{
    ids::{RunId, WorkflowId},
    temporal::enums::v1::WorkflowExecutionStatus,
    time::Timestamp,
};
use scylla::{
    errors::{DbError, ExecutionError, RequestAttemptError},
    statement::prepared::PreparedStatement,
};

use super::{
    place::{Key, Partition, SLICE_NANOS, is_open, slice_begin},
    scan::Columns,
};
use crate::{
    cassandra::{
        OpenError,
        link::Link,
        rows::{broken, own, rows, typed},
    },
    error::StoreError,
    visibility::{
        attributes::{DIVISION, SearchAttributes, SearchValue},
        record::{Close, Execution, Record},
    },
};

/// Parts of a slice shorter than this are not halved.
const PART_NANOS_MIN: i64 = 1_000_000;

pub(super) struct Reader {
    link: Link,
    records: PreparedStatement,
    keys: PreparedStatement,
}

/// A place between rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    close_time: i64,
    start_time: i64,
    run: Vec<u8>,
}

impl Place {
    /// Before all rows: no run id is that long.
    pub(super) fn top() -> Self {
        Self::above(i64::MAX, i64::MAX)
    }

    pub(super) fn after(key: Key) -> Self {
        Self {
            close_time: key.close_time,
            start_time: key.start_time,
            run: key.run.to_vec(),
        }
    }

    /// Before the rows with these times.
    fn above(close_time: i64, start_time: i64) -> Self {
        Self {
            close_time,
            start_time,
            run: vec![u8::MAX; 17],
        }
    }

    pub(super) fn is_top(&self) -> bool {
        *self == Self::top()
    }
}

/// A run as it was read.
pub(super) struct Row {
    pub(super) key: Key,
    content: Content,
}

enum Content {
    Record(Bytes),
    State { status: u8, division: Option<String> },
}

/// Part of a slice: from a place down to a time.
struct Part {
    place: Place,
    /// The lowest time, of the kind that cuts the slice; `None` for its very end.
    floor: Option<i64>,
    /// A time that no row of the part is above.
    ceiling: i64,
}

impl Reader {
    pub(super) async fn prepare(link: &Link) -> Result<Self, OpenError> {
        let select = |columns: &str| {
            format!(
                "SELECT close_time, start_time, run, {columns} FROM ks.visibility \
                 WHERE namespace_id = ? AND term = ? AND slice = ? \
                 AND (close_time, start_time, run) < (?, ?, ?) AND (close_time, start_time) >= (?, ?) LIMIT ?"
            )
        };
        Ok(Self {
            link: link.clone(),
            records: link.prepare(&select("record"), 5000).await?,
            keys: link.prepare(&select("status, division"), 5000).await?,
        })
    }

    /// Reads at most `count` rows behind the place; tells whether there may be more.
    pub(super) async fn read(
        &self,
        partition: &Partition,
        place: Place,
        columns: Columns,
        count: usize,
    ) -> Result<(Vec<Row>, bool), StoreError> {
        let mut deadline = self.link.deadline();
        let mut found = Vec::new();
        let mut parts = vec![Part::all(partition, place)];
        while let Some(part) = parts.pop() {
            let wanted = count - found.len();
            match self.part(partition, &part, columns, wanted).await {
                Ok(rows) => {
                    let full = rows.len() == wanted;
                    found.extend(rows);
                    if full {
                        return Ok((found, true));
                    }
                }
                Err(Failure::Broken(error)) => return Err(error),
                Err(Failure::Failed(error)) => match part.halves(partition) {
                    Some((upper, lower)) if too_many_tombstones(&error) => parts.extend([lower, upper]),
                    _ => {
                        self.link.after(&error, &mut deadline).await?;
                        parts.push(part);
                    }
                },
            }
        }
        Ok((found, false))
    }

    async fn part(
        &self,
        partition: &Partition,
        part: &Part,
        columns: Columns,
        count: usize,
    ) -> Result<Vec<Row>, Failure> {
        let floor = match part.floor {
            None => (i64::MIN, i64::MIN),
            Some(time) if is_open(partition.slice) => (i64::MAX, time),
            Some(time) => (time, i64::MIN),
        };
        let values = (
            partition.namespace_id.as_bytes().to_vec(),
            partition.term.to_bytes(),
            partition.slice,
            part.place.close_time,
            part.place.start_time,
            &part.place.run,
            floor.0,
            floor.1,
            i32::try_from(count).unwrap_or(i32::MAX),
        );
        let statement = match columns {
            Columns::Record(_) => &self.records,
            Columns::Key => &self.keys,
        };
        let session = self.link.session();
        let result = session.execute_unpaged(statement, values).await?;
        let result = rows(result)?;
        let read = match columns {
            Columns::Record(_) => typed::<(i64, i64, &[u8], &[u8])>(&result)?
                .into_iter()
                .map(|(close_time, start_time, run, record)| {
                    let content = Content::Record(own(record));
                    Row::new(close_time, start_time, run, content)
                })
                .collect::<Result<_, _>>(),
            Columns::Key => typed::<(i64, i64, &[u8], i8, Option<String>)>(&result)?
                .into_iter()
                .map(|(close_time, start_time, run, status, division)| {
                    let status = status.cast_unsigned();
                    Row::new(close_time, start_time, run, Content::State { status, division })
                })
                .collect::<Result<_, _>>(),
        };
        Ok(read?)
    }
}

impl Part {
    fn all(partition: &Partition, place: Place) -> Self {
        let time = if is_open(partition.slice) {
            place.start_time
        } else {
            place.close_time
        };
        let end = slice_begin(partition.slice).saturating_add(SLICE_NANOS);
        Self {
            place,
            floor: None,
            ceiling: time.min(end),
        }
    }

    /// Cuts the part in two, the upper one first, unless it is too short or its term is not cut by time.
    fn halves(&self, partition: &Partition) -> Option<(Self, Self)> {
        let low = self.floor.unwrap_or(slice_begin(partition.slice));
        let length = self.ceiling.saturating_sub(low);
        if !partition.term.is_sliced() || length < PART_NANOS_MIN {
            return None;
        }
        let middle = low + length / 2;
        let below = if is_open(partition.slice) {
            Place::above(i64::MAX, middle - 1)
        } else {
            Place::above(middle - 1, i64::MAX)
        };
        let upper = Self {
            place: self.place.clone(),
            floor: Some(middle),
            ceiling: self.ceiling,
        };
        let lower = Self {
            place: below,
            floor: self.floor,
            ceiling: middle,
        };
        Some((upper, lower))
    }
}

enum Failure {
    Failed(ExecutionError),
    Broken(StoreError),
}

impl From<ExecutionError> for Failure {
    fn from(error: ExecutionError) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Broken(error)
    }
}

fn too_many_tombstones(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(DbError::ReadFailure { .. }, _))
    )
}

impl Row {
    fn new(close_time: i64, start_time: i64, run: &[u8], content: Content) -> Result<Self, StoreError> {
        let run = run
            .try_into()
            .map_err(|_| StoreError::Broken("run id of a visibility row is malformed".to_owned()))?;
        let key = Key {
            close_time,
            start_time,
            run,
        };
        Ok(Self { key, content })
    }

    /// Returns the record, or one that has of it what was read.
    pub(super) fn record(self) -> Result<Record, StoreError> {
        match self.content {
            Content::Record(bytes) => Record::decode(&bytes).map_err(|error| broken(&error)),
            Content::State { status, division } => Ok(outline(self.key, status, division)),
        }
    }
}

fn outline(key: Key, status: u8, division: Option<String>) -> Record {
    let position = key.position();
    let mut search_attributes = SearchAttributes::default();
    if let Some(division) = division {
        search_attributes.insert(DIVISION, SearchValue::Keyword(division));
    }
    let root = Execution {
        workflow_id: WorkflowId::from(""),
        run_id: RunId::from_bytes([0; 16]),
    };
    Record {
        namespace_id: proto::ids::NamespaceId::from_bytes([0; 16]),
        workflow_id: WorkflowId::from(""),
        run_id: position.run_id,
        version: 0,
        workflow_type: String::new(),
        task_queue: String::new(),
        status: WorkflowExecutionStatus::try_from(i32::from(status)).unwrap_or_default(),
        start_time: position.start_time,
        execution_time: position.start_time,
        close: (position.close_time != Timestamp::MAX).then_some(Close {
            time: position.close_time,
            history_length: 0,
            history_size_bytes: 0,
            state_transition_count: 0,
            execution_duration: std::time::Duration::ZERO,
        }),
        parent: None,
        root,
        memo: Bytes::new(),
        search_attributes,
    }
}
