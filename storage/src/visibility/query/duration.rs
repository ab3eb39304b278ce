//! Durations as queries write them: nanoseconds, Go's units with days, or hours, minutes and seconds.

/// Reads a duration in nanoseconds: `1500`, `1h30m`, `1.5d`, `01:30:00.5`.
pub(super) fn parse(text: &str) -> Option<i64> {
    if let Ok(nanos) = text.parse() {
        return Some(nanos);
    }
    if text.contains(':') {
        clock(text)
    } else {
        units(text)
    }
}

const SECOND: i128 = 1_000_000_000;

fn unit(name: &str) -> Option<i128> {
    Some(match name {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3_600 * SECOND,
        "d" => 86_400 * SECOND,
        _ => return None,
    })
}

fn units(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) if text.starts_with('-') => (-1, rest),
        Some(rest) => (1, rest),
        None => (1, text),
    };
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (digits, after) = rest.split_at(number);
        let name = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (name, after) = after.split_at(name);
        total = total.checked_add(scaled(digits, unit(name)?)?)?;
        rest = after;
    }
    i64::try_from(total * sign).ok()
}

/// Returns a decimal number of units in nanoseconds, cut off below one.
fn scaled(digits: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: i128 = if whole.is_empty() {
        0
    } else {
        whole.parse::<i64>().ok()?.into()
    };
    // Beyond 18 digits a fraction of a day is less than a nanosecond.
    let kept = &fraction[..fraction.len().min(18)];
    if fraction.contains('.') {
        return None;
    }
    let part: i128 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
    let scale = 10_i128.pow(u32::try_from(kept.len()).ok()?);
    whole.checked_mul(unit)?.checked_add(part * unit / scale)
}

/// Reads `h:mm:ss` with an optional fraction of a second.
fn clock(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    let two_digits =
        |text: &str| text.len() == 2 && text < "60" && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, _) = seconds.split_once('.').unwrap_or((seconds, ""));
    let digits = !hours.is_empty() && hours.bytes().all(|byte| byte.is_ascii_digit());
    if parts.next().is_some() || !digits || !two_digits(minutes) || !two_digits(whole) {
        return None;
    }
    let total = scaled(hours, 3_600 * SECOND)?
        .checked_add(scaled(minutes, 60 * SECOND)?)?
        .checked_add(scaled(seconds, SECOND)?)?;
    i64::try_from(total).ok()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_every_form() {
        let second = 1_000_000_000;
        let table = [
            ("5", 5),
            ("-5", -5),
            ("0", 0),
            ("3600000000000", 3600 * second),
            ("1h", 3600 * second),
            ("1h30m", 5400 * second),
            ("1.5h", 5400 * second),
            (".5s", second / 2),
            ("1h1h", 7200 * second),
            ("1d1h", 25 * 3600 * second),
            ("0.5d", 12 * 3600 * second),
            ("-1d", -24 * 3600 * second),
            ("+1h", 3600 * second),
            ("1us", 1_000),
            ("1µs", 1_000),
            ("1.9ns", 1),
            ("01:00:00", 3600 * second),
            ("1:00:00", 3600 * second),
            ("100:00:00", 360_000 * second),
            ("00:00:01.5", 3 * second / 2),
        ];
        for (text, nanos) in table {
            assert_eq!(parse(text), Some(nanos), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "x",
            "-",
            "+",
            ".",
            "1 h",
            " 1h",
            "1w",
            "1e3s",
            "1.5.5h",
            "1h2",
            "h",
            ".h",
            "99999999999h",
            "01:00",
            "00:61:00",
            "00:00:99",
            "-01:00:00",
            "1:2:3",
            "1:00:00:00",
            ":00:00",
            "00:00:",
            "00:00:0٣",
            "9999999999:00:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
