//! Search attributes as API payloads: JSON, with the attribute's type in the metadata.

use prost::Message;
use proto::temporal::common::v1 as common;
use serde_json::Value;

use super::{
    Datetime, PredefinedAttribute, Schema, SearchAttributes, SearchValue, SystemAttribute, ValueType, show,
};
use crate::visibility::{error::AttributeError, limits::AttributeLimits};

const ENCODING: &str = "encoding";
const JSON: &[u8] = b"json/plain";
const NULL: &[u8] = b"binary/null";
const BYTES: &[u8] = b"binary/plain";
const TYPE: &str = "type";

/// Checks a client's attributes and reads them.
pub(super) fn parse(
    attributes: &common::SearchAttributes,
    schema: &Schema,
    limits: &AttributeLimits,
) -> Result<SearchAttributes, AttributeError> {
    let fields = &attributes.indexed_fields;
    for name in fields.keys() {
        if SystemAttribute::from_name(name).is_none() && schema.stored_type(name).is_none() {
            return Err(undefined(name, schema));
        }
    }
    if fields.len() > limits.keys_max {
        let (number, limit) = (fields.len(), limits.keys_max);
        return Err(AttributeError::new(format!(
            "number of search attributes {number} exceeds limit {limit}"
        )));
    }
    let mut parsed = SearchAttributes::default();
    for (name, payload) in fields {
        let value_type = settable_type(name, schema)?;
        match read(payload, value_type) {
            Ok(Some(value)) => parsed.insert(name.clone(), value),
            Ok(None) => {}
            Err(shown) => {
                return Err(AttributeError::new(format!(
                    "invalid value for search attribute {name} of type {value_type}: {shown}"
                )));
            }
        }
    }
    check_sizes(attributes, limits)?;
    Ok(parsed)
}

fn undefined(name: &str, schema: &Schema) -> AttributeError {
    let namespace = schema.namespace();
    AttributeError::new(format!(
        "Namespace {namespace} has no mapping defined for search attribute {name}"
    ))
}

fn settable_type(name: &str, schema: &Schema) -> Result<ValueType, AttributeError> {
    if PredefinedAttribute::from_name(name).is_some_and(|attribute| !attribute.settable) {
        return Err(unsettable(name));
    }
    schema.stored_type(name).ok_or_else(|| unsettable(name))
}

fn unsettable(name: &str) -> AttributeError {
    AttributeError::new(format!("{name} attribute can't be set in SearchAttributes"))
}

fn check_sizes(
    attributes: &common::SearchAttributes,
    limits: &AttributeLimits,
) -> Result<(), AttributeError> {
    for (name, payload) in &attributes.indexed_fields {
        let (size, limit) = (payload.data.len(), limits.value_bytes_max);
        if size > limit {
            return Err(AttributeError::new(format!(
                "search attribute {name} value size {size} exceeds size limit {limit}"
            )));
        }
    }
    let (size, limit) = (attributes.encoded_len(), limits.total_bytes_max);
    if size > limit {
        return Err(AttributeError::new(format!(
            "total size of search attributes {size} exceeds size limit {limit}"
        )));
    }
    Ok(())
}

/// Reads attributes that were checked when they came.
pub(super) fn from_checked(attributes: &common::SearchAttributes, schema: &Schema) -> SearchAttributes {
    let mut kept = SearchAttributes::default();
    for (name, payload) in &attributes.indexed_fields {
        let value = schema
            .stored_type(name)
            .and_then(|value_type| read(payload, value_type).ok().flatten());
        if let Some(value) = value {
            kept.insert(name.clone(), value);
        }
    }
    kept
}

/// Drops attributes without a value and adds the type to payloads that do not tell it.
pub(super) fn complete(attributes: &mut common::SearchAttributes, schema: &Schema) {
    attributes.indexed_fields.retain(|name, payload| {
        let Some(value_type) = schema.stored_type(name) else {
            return true;
        };
        let metadata = &mut payload.metadata;
        metadata
            .entry(TYPE.to_owned())
            .or_insert_with(|| value_type.name().into());
        !matches!(read(payload, value_type), Ok(None))
    });
}

/// Reads a value: `None` if there is none, an error that shows the value if it is not of the type.
fn read(payload: &common::Payload, value_type: ValueType) -> Result<Option<SearchValue>, String> {
    let encoding = payload.metadata.get(ENCODING).map_or(&[][..], AsRef::as_ref);
    if encoding == NULL {
        return Ok(None);
    }
    if encoding == BYTES {
        return Err(show::bytes(&payload.data));
    }
    let text = String::from_utf8_lossy(&payload.data);
    let json: Value = match serde_json::from_str(&text) {
        Ok(json) if encoding == JSON => json,
        _ => return Err(show_payload(payload, &text)),
    };
    if json.is_null() || json.as_array().is_some_and(Vec::is_empty) {
        return Ok(None);
    }
    let value = match (&json, value_type) {
        (Value::Array(items), ValueType::KeywordList) => read_list(items),
        (_, ValueType::KeywordList) => None,
        // A client that only knows lists sends a list of one.
        (Value::Array(items), _) => match items.as_slice() {
            [item] => read_scalar(item, &text, value_type),
            _ => None,
        },
        (scalar, _) => read_scalar(scalar, &text, value_type),
    };
    value.map(Some).ok_or_else(|| show::json(&json))
}

fn read_scalar(json: &Value, text: &str, value_type: ValueType) -> Option<SearchValue> {
    Some(match value_type {
        ValueType::Text => SearchValue::Text(json.as_str()?.to_owned()),
        ValueType::Keyword => SearchValue::Keyword(json.as_str()?.to_owned()),
        ValueType::Int => SearchValue::Int(json.as_i64()?),
        // The JSON reader may miss the nearest double by one; the standard library does not.
        ValueType::Double if json.is_number() => {
            let digits = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '[' || c == ']');
            SearchValue::Double(digits.parse().ok()?)
        }
        ValueType::Double => return None,
        ValueType::Bool => SearchValue::Bool(json.as_bool()?),
        ValueType::Datetime => SearchValue::Datetime(Datetime::parse(json.as_str()?)?),
        ValueType::KeywordList => return None,
    })
}

fn read_list(items: &[Value]) -> Option<SearchValue> {
    let item = |item: &Value| match item {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    };
    items
        .iter()
        .map(item)
        .collect::<Option<_>>()
        .map(SearchValue::KeywordList)
}

fn show_payload(payload: &common::Payload, text: &str) -> String {
    let metadata = payload.metadata.iter().map(|(key, value)| {
        format!(
            "metadata:{{key:{key:?} value:{:?}}}",
            String::from_utf8_lossy(value)
        )
    });
    let data = (!text.is_empty()).then(|| format!("data:{text:?}"));
    format!(
        "value from <{}>",
        metadata.chain(data).collect::<Vec<_>>().join(" ")
    )
}

/// Writes the value.
pub(super) fn write(value: &SearchValue) -> common::Payload {
    let json = match value {
        SearchValue::Text(text) | SearchValue::Keyword(text) => Value::from(text.as_str()).to_string(),
        SearchValue::Int(number) => number.to_string(),
        SearchValue::Double(number) => show::json_double(*number),
        SearchValue::Bool(flag) => flag.to_string(),
        SearchValue::Datetime(time) => Value::from(time.to_string()).to_string(),
        SearchValue::KeywordList(items) => Value::from(items.as_slice()).to_string(),
    };
    let metadata = [
        (ENCODING.to_owned(), JSON.to_vec()),
        (TYPE.to_owned(), value.value_type().name().into()),
    ];
    common::Payload {
        metadata: metadata.into(),
        data: json.into(),
        ..Default::default()
    }
}

#[cfg(test)]
#[path = "payload_tests.rs"]
mod tests;
