//! Values as the official server's messages show them, which is how Go prints them.

use std::ops::Range;

use serde_json::Value;

/// Shows a JSON value.
pub(in crate::visibility) fn json(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), double),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", join(items.iter().map(json))),
        Value::Object(fields) => {
            format!(
                "map[{}]",
                join(
                    fields
                        .iter()
                        .map(|(name, value)| format!("{name}:{}", json(value)))
                )
            )
        }
    }
}

/// Shows bytes.
pub(in crate::visibility) fn bytes(bytes: &[u8]) -> String {
    format!("[{}]", join(bytes.iter().map(u8::to_string)))
}

/// Shows a double: the shortest digits that tell it apart, with an exponent if it is large or tiny.
pub(in crate::visibility) fn double(number: f64) -> String {
    exponential(number, -4..6, 2)
}

/// Writes a double as Go's JSON encoder does.
pub(in crate::visibility) fn json_double(number: f64) -> String {
    exponential(number, -6..21, 1)
}

/// Writes the number plainly if its decimal exponent is in `plain`, else with at least `width` digits of it.
fn exponential(number: f64, plain: Range<i32>, width: usize) -> String {
    let text = format!("{number:e}");
    let parts = text
        .split_once('e')
        .and_then(|(digits, exponent)| Some((digits, exponent.parse::<i32>().ok()?)));
    match parts {
        Some((digits, exponent)) if !plain.contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:0width$}", exponent.unsigned_abs())
        }
        _ => number.to_string(),
    }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_read_like_go() {
        let shown: Vec<_> = [
            5.0,
            1.5,
            1000.0,
            1e6,
            9_223_372_036_854_775_808.0,
            1e-5,
            -0.25,
            0.0,
        ]
        .map(double)
        .into();
        assert_eq!(
            shown,
            [
                "5",
                "1.5",
                "1000",
                "1e+06",
                "9.223372036854776e+18",
                "1e-05",
                "-0.25",
                "0"
            ]
        );
        assert_eq!(
            [1000.0, 1e20, 1e30, 0.1, 1e-7].map(json_double).join(" "),
            "1000 100000000000000000000 1e+30 0.1 1e-7"
        );
    }

    #[test]
    fn json_reads_like_go() {
        let value = serde_json::json!({"b": [1, "x", null], "a": true});
        assert_eq!(json(&value), "map[a:true b:[1 x <nil>]]");
    }
}
