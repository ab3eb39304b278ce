//! Rows: a record as the columns of `execution`, and back.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use bytes::Bytes;
use proto::{
    ids::{NamespaceId, RunId, WorkflowId},
    temporal::enums::v1::WorkflowExecutionStatus,
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension, Row};
use serde_json::{Map, Value};

use super::{
    super::{
        attributes::{DIVISION, Datetime, SearchAttributes, SearchValue, ValueType},
        query::words,
        record::{Close, Execution, Record},
    },
    schema::OPEN,
};

/// The columns that [`Rows::record`] reads.
pub(super) const COLUMNS: &str = "e.run, e.version, e.status, e.close_time, e.start_time, e.execution_time, \
     e.execution_duration, e.history_length, e.history_size, e.state_transitions, e.workflow_id, \
     e.workflow_type, e.task_queue, e.parent_workflow_id, e.parent_run, e.root_workflow_id, e.root_run, \
     e.attributes, e.memo, (SELECT s.division FROM scope s WHERE s.id = e.scope)";

/// Appended to an attribute's number: the JSON member with a Text's words between blanks, for finding phrases.
pub(super) const WORDS: char = 'w';

/// Appended to an attribute's number: the JSON member with a Datetime's own text.
const WRITTEN: char = 't';

/// Returns the attributes' JSON, `None` if there are none. `number` numbers attributes.
pub(super) fn attributes_json<E>(
    attributes: &SearchAttributes,
    mut number: impl FnMut(&str, ValueType) -> Result<i64, E>,
) -> Result<Option<String>, E> {
    let mut json = Map::new();
    for (name, value) in attributes.iter().filter(|(name, _)| *name != DIVISION) {
        let number = number(name, value.value_type())?;
        let member = match value {
            SearchValue::Keyword(text) => Value::from(text.as_str()),
            SearchValue::Int(int) => Value::from(*int),
            // JSON numbers do not keep every double; its bits as an integer do.
            SearchValue::Double(double) => Value::from(ordered_bits(*double)),
            SearchValue::Bool(flag) => Value::from(i64::from(*flag)),
            SearchValue::KeywordList(items) => Value::from(items.as_slice()),
            SearchValue::Text(text) => {
                json.insert(
                    format!("{number}{WORDS}"),
                    Value::from(between_blanks(words(text))),
                );
                Value::from(text.as_str())
            }
            SearchValue::Datetime(datetime) => {
                if let Some(written) = datetime.written() {
                    json.insert(format!("{number}{WRITTEN}"), Value::from(written));
                }
                Value::from(datetime.time().nanos())
            }
        };
        json.insert(number.to_string(), member);
    }
    Ok((!json.is_empty()).then(|| Value::Object(json).to_string()))
}

/// Joins words with a blank around each.
pub(super) fn between_blanks(words: impl IntoIterator<Item = String>) -> String {
    words
        .into_iter()
        .fold(" ".to_owned(), |text, word| text + &word + " ")
}

/// Returns an integer that orders as the double does.
pub(super) fn ordered_bits(double: f64) -> i64 {
    let bits = (double + 0.0).to_bits().cast_signed();
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

fn from_ordered_bits(ordered: i64) -> f64 {
    let bits = if ordered < 0 { ordered ^ i64::MAX } else { ordered };
    f64::from_bits(bits.cast_unsigned())
}

/// Names that are kept; beyond, they are read anew.
const NAMES_MAX: usize = 10_000;

/// Reads rows; keeps the names of the attributes that it has met.
#[derive(Default)]
pub(super) struct Rows {
    attributes: HashMap<i64, (String, ValueType)>,
}

impl Rows {
    /// Reads a record from [`COLUMNS`].
    pub(super) fn record(
        &mut self,
        connection: &Connection,
        namespace_id: NamespaceId,
        row: &Row<'_>,
    ) -> rusqlite::Result<Record> {
        let run_id = RunId::from_bytes(row.get(0)?);
        let workflow_id = WorkflowId::from(row.get_ref(10)?.as_str()?);
        let close_time: i64 = row.get(3)?;
        let execution = |workflow: usize, run: usize| -> rusqlite::Result<Option<Execution>> {
            let workflow: Option<String> = row.get(workflow)?;
            let run: Option<[u8; 16]> = row.get(run)?;
            let both = workflow.zip(run);
            Ok(both.map(|(workflow, run)| Execution {
                workflow_id: workflow.into(),
                run_id: RunId::from_bytes(run),
            }))
        };
        let json = row.get_ref(17)?.as_str_or_null()?;
        let mut search_attributes = match json {
            Some(json) => self.attributes(connection, json)?,
            None => SearchAttributes::default(),
        };
        if let Some(division) = row.get::<_, Option<String>>(19)? {
            search_attributes.insert(DIVISION, SearchValue::Keyword(division));
        }
        Ok(Record {
            namespace_id,
            root: execution(15, 16)?.unwrap_or_else(|| Execution {
                workflow_id: workflow_id.clone(),
                run_id,
            }),
            workflow_id,
            run_id,
            version: row.get::<_, i64>(1)?.cast_unsigned(),
            workflow_type: row.get(11)?,
            task_queue: row.get(12)?,
            status: WorkflowExecutionStatus::try_from(row.get::<_, i32>(2)?).unwrap_or_default(),
            start_time: Timestamp::from_nanos(row.get(4)?),
            execution_time: Timestamp::from_nanos(row.get(5)?),
            close: if close_time == OPEN {
                None
            } else {
                Some(close(close_time, row)?)
            },
            parent: execution(13, 14)?,
            memo: row
                .get::<_, Option<Vec<u8>>>(18)?
                .map(Bytes::from)
                .unwrap_or_default(),
            search_attributes,
        })
    }

    /// Reads the attributes from their JSON. What is not as [`attributes_json`] writes it is left out.
    pub(super) fn attributes(
        &mut self,
        connection: &Connection,
        json: &str,
    ) -> rusqlite::Result<SearchAttributes> {
        let mut attributes = SearchAttributes::default();
        let Ok(mut members) = serde_json::from_str::<Map<String, Value>>(json) else {
            return Ok(attributes);
        };
        let numbers: Vec<i64> = members.keys().filter_map(|key| key.parse().ok()).collect();
        for number in numbers {
            let Some((name, value_type)) = self.name(connection, number)? else {
                continue;
            };
            let written = members.remove(&format!("{number}{WRITTEN}"));
            let member = members.remove(&number.to_string()).unwrap_or_default();
            if let Some(value) = value(*value_type, member, written) {
                attributes.insert(name.clone(), value);
            }
        }
        Ok(attributes)
    }

    fn name(
        &mut self,
        connection: &Connection,
        number: i64,
    ) -> rusqlite::Result<Option<&(String, ValueType)>> {
        if self.attributes.len() >= NAMES_MAX {
            self.attributes.clear();
        }
        match self.attributes.entry(number) {
            Entry::Occupied(known) => Ok(Some(known.into_mut())),
            Entry::Vacant(place) => Ok(find_name(connection, number)?.map(|name| &*place.insert(name))),
        }
    }
}

fn find_name(connection: &Connection, number: i64) -> rusqlite::Result<Option<(String, ValueType)>> {
    let found: Option<(String, u8)> = connection
        .query_row("SELECT name, type FROM attribute WHERE id = ?", [number], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    Ok(found.and_then(|(name, number)| {
        let value_type = ValueType::ALL
            .into_iter()
            .find(|value_type| *value_type as u8 == number)?;
        Some((name, value_type))
    }))
}

fn close(close_time: i64, row: &Row<'_>) -> rusqlite::Result<Close> {
    let count = |column| row.get::<_, Option<i64>>(column).map(Option::unwrap_or_default);
    Ok(Close {
        time: Timestamp::from_nanos(close_time),
        execution_duration: Duration::from_nanos(count(6)?.cast_unsigned()),
        history_length: count(7)?,
        history_size_bytes: count(8)?,
        state_transition_count: count(9)?,
    })
}

fn value(value_type: ValueType, member: Value, written: Option<Value>) -> Option<SearchValue> {
    Some(match (value_type, member) {
        (ValueType::Text, Value::String(text)) => SearchValue::Text(text),
        (ValueType::Keyword, Value::String(text)) => SearchValue::Keyword(text),
        (ValueType::Int, member) => SearchValue::Int(member.as_i64()?),
        (ValueType::Double, member) => SearchValue::Double(from_ordered_bits(member.as_i64()?)),
        (ValueType::Bool, member) => SearchValue::Bool(member.as_i64()? != 0),
        (ValueType::Datetime, member) => {
            let written = written.as_ref().and_then(Value::as_str).map(Into::into);
            SearchValue::Datetime(Datetime::from_parts(
                Timestamp::from_nanos(member.as_i64()?),
                written,
            ))
        }
        (ValueType::KeywordList, Value::Array(items)) => {
            let items = items.into_iter().map(|item| match item {
                Value::String(text) => Some(text),
                _ => None,
            });
            SearchValue::KeywordList(items.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}
