//! Prints messages of the API field by field, leaving out what is not set.

use std::time::Duration;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage, Value};
use proto::time::Timestamp;

use super::super::EPOCH;

pub fn camel(screaming: &str) -> String {
    screaming
        .split('_')
        .map(|word| {
            let (head, tail) = word.split_at(1.min(word.len()));
            format!("{head}{}", tail.to_ascii_lowercase())
        })
        .collect()
}

pub fn fields(message: &DynamicMessage) -> String {
    message
        .fields()
        .map(|(field, value)| format!(" {}={}", field.name(), self::value(&field, value)))
        .collect()
}

pub fn value(field: &FieldDescriptor, value: &Value) -> String {
    match value {
        Value::List(values) => {
            let values: Vec<_> = values.iter().map(|value| single(&field.kind(), value)).collect();
            format!("[{}]", values.join(" "))
        }
        Value::Map(entries) => {
            let Kind::Message(entry) = field.kind() else {
                return String::new();
            };
            let kind = entry.map_entry_value_field().kind();
            let mut entries: Vec<_> = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", map_key(key), single(&kind, value)))
                .collect();
            entries.sort();
            format!("{{{}}}", entries.join(", "))
        }
        value => single(&field.kind(), value),
    }
}

fn map_key(key: &MapKey) -> String {
    match key {
        MapKey::String(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

fn single(kind: &Kind, value: &Value) -> String {
    match value {
        Value::Message(message) => self::message(message),
        Value::String(text) => quoted(text),
        Value::Bytes(bytes) => quoted(&String::from_utf8_lossy(bytes)),
        Value::EnumNumber(number) => {
            let Kind::Enum(of) = kind else {
                return number.to_string();
            };
            of.get_value(*number).map_or_else(
                || number.to_string(),
                |value| camel(strip(of.name(), value.name())),
            )
        }
        Value::Bool(value) => value.to_string(),
        Value::I32(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U32(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::F32(value) => value.to_string(),
        Value::F64(value) => value.to_string(),
        Value::List(_) | Value::Map(_) => String::new(),
    }
}

/// Takes the enum's own name off its value's name.
fn strip<'a>(name: &str, value: &'a str) -> &'a str {
    let prefix: String = name
        .chars()
        .enumerate()
        .flat_map(|(at, c)| {
            let gap = (at > 0 && c.is_ascii_uppercase()).then_some('_');
            gap.into_iter().chain([c.to_ascii_uppercase()])
        })
        .collect();
    value
        .strip_prefix(&prefix)
        .map_or(value, |rest| rest.trim_start_matches('_'))
}

pub fn message(message: &DynamicMessage) -> String {
    let text = |name: &str| {
        let value = message.get_field_by_name(name);
        value
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    };
    let number = |name: &str| {
        message
            .get_field_by_name(name)
            .and_then(|value| value.as_i64())
            .unwrap_or(0)
    };
    let nanos = || {
        message
            .get_field_by_name("nanos")
            .and_then(|value| value.as_i32())
            .unwrap_or(0)
    };
    match message.descriptor().full_name() {
        "google.protobuf.Duration" => span(Duration::new(
            number("seconds").unsigned_abs(),
            nanos().unsigned_abs(),
        )),
        "google.protobuf.Timestamp" => time(
            Timestamp::from_seconds(number("seconds"))
                + Duration::from_nanos(u64::from(nanos().unsigned_abs())),
        ),
        "temporal.api.common.v1.Payload" => {
            let data = message.get_field_by_name("data").map(|value| value.into_owned());
            data.and_then(|value| value.as_bytes().map(|bytes| json_text(bytes)))
                .unwrap_or_default()
        }
        "temporal.api.common.v1.Payloads" => {
            let values = message
                .get_field_by_name("payloads")
                .map(|value| value.into_owned());
            let values = values.as_ref().and_then(Value::as_list).unwrap_or(&[]);
            let values: Vec<_> = values
                .iter()
                .filter_map(Value::as_message)
                .map(self::message)
                .collect();
            format!("[{}]", values.join(" "))
        }
        "temporal.api.common.v1.WorkflowType" | "temporal.api.common.v1.ActivityType" => text("name"),
        "temporal.api.common.v1.WorkflowExecution" => format!("{}/{}", text("workflow_id"), text("run_id")),
        "temporal.api.taskqueue.v1.TaskQueue" => {
            let normal = text("normal_name");
            if normal.is_empty() {
                text("name")
            } else {
                format!("{}(of {normal})", text("name"))
            }
        }
        _ => format!("{{{}}}", fields(message).trim_start()),
    }
}

fn quoted(text: &str) -> String {
    if text.is_empty() || text.contains([' ', '"', '=', '{', '[']) {
        format!("{text:?}")
    } else {
        text.to_owned()
    }
}

pub fn span(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    if seconds.fract() == 0.0 {
        format!("{}s", span.as_secs())
    } else {
        format!("{seconds}s")
    }
}

/// A time since the test began.
pub fn time(at: Timestamp) -> String {
    if at < Timestamp::EPOCH {
        return "never".to_owned();
    }
    if at < EPOCH {
        format!("-{}", span(EPOCH.since(at)))
    } else {
        format!("+{}", span(at.since(EPOCH)))
    }
}

/// A payload's data: the plain text of a JSON string.
fn json_text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    quoted(
        text.strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'))
            .unwrap_or(&text),
    )
}
