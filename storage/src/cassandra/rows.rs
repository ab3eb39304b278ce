//! Rows: reads what the driver returns, and numbers as Cassandra keeps them.

use bytes::Bytes;
use scylla::{
    client::execution_profile::ExecutionProfileHandle,
    deserialize::row::DeserializeRow,
    response::query_result::{QueryResult, QueryRowsResult},
    serialize::row::SerializeRow,
    statement::{
        batch::{Batch, BatchType},
        prepared::PreparedStatement,
    },
    value::{CqlValue, Row},
};

use crate::error::StoreError;

/// The values of one statement of a batch.
pub(crate) type Values = Box<dyn SerializeRow + Send + Sync>;

/// A conditional batch as it grows.
pub(super) struct Conditional {
    pub(super) batch: Batch,
    pub(super) values: Vec<Values>,
}

impl Conditional {
    pub(super) fn new(profile: &ExecutionProfileHandle) -> Self {
        // Unlogged: it stays within one partition, where a batch is one mutation.
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_execution_profile_handle(Some(profile.clone()));
        Self {
            batch,
            values: Vec::new(),
        }
    }

    pub(super) fn push(
        &mut self,
        statement: &PreparedStatement,
        values: impl SerializeRow + Send + Sync + 'static,
    ) {
        self.batch.append_statement(statement.clone());
        self.values.push(Box::new(values));
    }
}

/// What a conditional statement answered: applied, or the rows that stood against it.
pub(super) enum Answer {
    Applied,
    Refused(Vec<Found>),
}

/// Columns of a row that stood against a conditional statement, by name.
pub(super) struct Found(Vec<(String, Option<CqlValue>)>);

impl Found {
    fn column(&self, name: &str) -> Option<&CqlValue> {
        self.0
            .iter()
            .find(|(column, _)| column == name)
            .and_then(|(_, value)| value.as_ref())
    }

    pub(super) fn bigint(&self, name: &str) -> Option<i64> {
        match self.column(name)? {
            CqlValue::BigInt(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.column(name)? {
            CqlValue::Text(text) => Some(text),
            _ => None,
        }
    }
}

pub(super) fn answer(result: QueryResult) -> Result<Answer, StoreError> {
    let rows = rows(result)?;
    let names: Vec<String> = rows
        .column_specs()
        .iter()
        .map(|spec| spec.name().to_owned())
        .collect();
    let mut found = Vec::new();
    for row in typed::<Row>(&rows)? {
        if matches!(row.columns.first(), Some(Some(CqlValue::Boolean(true)))) {
            return Ok(Answer::Applied);
        }
        found.push(Found(names.iter().cloned().zip(row.columns).collect()));
    }
    Ok(Answer::Refused(found))
}

pub(crate) fn rows(result: QueryResult) -> Result<QueryRowsResult, StoreError> {
    result.into_rows_result().map_err(|error| broken(&error))
}

/// Reads all rows as tuples of this type.
pub(crate) fn typed<'frame, R: DeserializeRow<'frame, 'frame>>(
    rows: &'frame QueryRowsResult,
) -> Result<Vec<R>, StoreError> {
    rows.rows::<R>()
        .map_err(|error| broken(&error))?
        .collect::<Result<_, _>>()
        .map_err(|error| broken(&error))
}

pub(crate) fn broken(error: &dyn std::error::Error) -> StoreError {
    StoreError::Broken(error.to_string())
}

/// Cassandra's integers have a sign; only equality and small numbers matter here.
pub(super) fn signed(number: u64) -> i64 {
    number.cast_signed()
}

pub(super) fn unsigned(number: i64) -> u64 {
    number.cast_unsigned()
}

/// Own bytes: what the driver returns would keep the whole answer in memory.
pub(crate) fn own(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
