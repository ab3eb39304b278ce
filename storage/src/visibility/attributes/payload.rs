//! Search attributes as API payloads: JSON, with the attribute's type in the metadata.

use bytes::Bytes;
use jiff::SignedDuration;
use proto::{temporal::common::v1 as common, time::Timestamp};

use super::{Schema, SearchAttributes, SearchValue, ValueType};
use crate::visibility::{error::AttributeError, limits::AttributeLimits};

const ENCODING: &str = "encoding";
const JSON: &[u8] = b"json/plain";
const TYPE: &str = "type";

/// Checks and reads a client's attributes.
pub(super) fn parse(
    attributes: &common::SearchAttributes,
    schema: &Schema,
    limits: &AttributeLimits,
) -> Result<SearchAttributes, AttributeError> {
    if attributes.indexed_fields.len() > limits.keys_max {
        return Err(AttributeError::new(format!(
            "number of search attributes {} exceeds limit {}",
            attributes.indexed_fields.len(),
            limits.keys_max
        )));
    }
    let mut parsed = SearchAttributes::default();
    for (name, payload) in &attributes.indexed_fields {
        let Some(value_type) = schema.stored_type(name) else {
            return Err(AttributeError::new(format!(
                "search attribute {name} is not defined"
            )));
        };
        let value = read(&payload.data, value_type).ok_or_else(|| {
            AttributeError::new(format!(
                "invalid value for search attribute {name} of type {value_type}"
            ))
        })?;
        if let Some(value) = value {
            parsed.insert(name.clone(), value);
        }
    }
    Ok(parsed)
}

/// Reads attributes that were checked when they came.
pub(super) fn from_checked(attributes: &common::SearchAttributes, schema: &Schema) -> SearchAttributes {
    let mut read_back = SearchAttributes::default();
    for (name, payload) in &attributes.indexed_fields {
        let value = schema
            .stored_type(name)
            .and_then(|value_type| read(&payload.data, value_type));
        if let Some(Some(value)) = value {
            read_back.insert(name.clone(), value);
        }
    }
    read_back
}

/// Reads a value: `None` if it is not of the type, `Some(None)` if it is empty.
fn read(data: &[u8], value_type: ValueType) -> Option<Option<SearchValue>> {
    let json: serde_json::Value = serde_json::from_slice(data).ok()?;
    if json.is_null() || json.as_array().is_some_and(Vec::is_empty) {
        return Some(None);
    }
    let value = match value_type {
        ValueType::Text => SearchValue::Text(json.as_str()?.to_owned()),
        ValueType::Keyword => SearchValue::Keyword(json.as_str()?.to_owned()),
        ValueType::Int => SearchValue::Int(json.as_i64()?),
        ValueType::Double => SearchValue::Double(json.as_f64()?),
        ValueType::Bool => SearchValue::Bool(json.as_bool()?),
        ValueType::Datetime => SearchValue::Datetime(read_time(json.as_str()?)?),
        ValueType::KeywordList => SearchValue::KeywordList(read_list(&json)?),
    };
    Some(Some(value))
}

fn read_list(json: &serde_json::Value) -> Option<Vec<String>> {
    match json {
        serde_json::Value::String(item) => Some(vec![item.clone()]),
        serde_json::Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

fn read_time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond())
        .ok()
        .map(Timestamp::from_nanos)
}

/// Writes the value.
pub(super) fn write(value: &SearchValue) -> common::Payload {
    let json = match value {
        SearchValue::Text(text) | SearchValue::Keyword(text) => serde_json::Value::from(text.as_str()),
        SearchValue::Int(number) => serde_json::Value::from(*number),
        SearchValue::Double(number) => serde_json::Value::from(*number),
        SearchValue::Bool(flag) => serde_json::Value::from(*flag),
        SearchValue::Datetime(time) => serde_json::Value::from(write_time(*time)),
        SearchValue::KeywordList(items) => serde_json::Value::from(items.as_slice()),
    };
    let metadata = [
        (ENCODING.to_owned(), Bytes::from_static(JSON)),
        (
            TYPE.to_owned(),
            Bytes::from_static(value.value_type().name().as_bytes()),
        ),
    ];
    common::Payload {
        metadata: metadata.into(),
        data: json.to_string().into(),
        ..Default::default()
    }
}

/// Writes the time as RFC 3339 in UTC, with as many digits of the second as it needs.
fn write_time(time: Timestamp) -> String {
    let time = jiff::Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_nanos(time.nanos()));
    time.unwrap_or_default().to_string()
}
