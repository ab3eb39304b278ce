//! Cron schedules: five fields, `@every`, descriptors and an optional time zone (reference 2.12).

use std::time::Duration;

use jiff::{Timestamp as Instant, Zoned, civil, tz::TimeZone};
use proto::time::Timestamp;

/// A schedule that can be asked for its next time.
#[derive(Clone, Debug)]
pub struct Cron {
    zone: TimeZone,
    rule: Rule,
}

#[derive(Clone, Debug)]
enum Rule {
    Every(Duration),
    Fields(Box<Fields>),
}

/// Which minutes, hours, days, months and weekdays match, one bit each.
#[derive(Clone, Debug)]
struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// A field that starts with `*` does not restrict the other one of the two.
    any_day: bool,
    any_weekday: bool,
}

/// The text is no cron schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid cron schedule: {0}")]
pub struct InvalidCron(String);

/// How many years ahead a matching day is looked for.
const YEARS_AHEAD: i16 = 5;

/// Reads a schedule, so that it cannot be wrong from here on.
pub fn parse(text: &str) -> Result<Cron, InvalidCron> {
    let invalid = |what: &str| InvalidCron(format!("{what}: {text}"));
    let (zone, text) = match text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ=")) {
        Some(rest) => {
            let (name, rest) = rest.split_once(' ').ok_or_else(|| invalid("missing fields"))?;
            (
                TimeZone::get(name).map_err(|_| invalid("unknown time zone"))?,
                rest.trim(),
            )
        }
        None => (TimeZone::UTC, text.trim()),
    };
    if let Some(span) = text.strip_prefix("@every ") {
        // A negative one is less than a second, too.
        let (span, is_negative) = match span.trim().strip_prefix('-') {
            Some(span) => (span, true),
            None => (span.trim(), false),
        };
        let span = parse_span(span).ok_or_else(|| invalid("bad duration"))?;
        let span = if is_negative { Duration::ZERO } else { span };
        // Less than a second is taken for a second.
        let span = Duration::from_secs(span.as_secs().max(1));
        return Ok(Cron {
            zone,
            rule: Rule::Every(span),
        });
    }
    let text = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        other => other,
    };
    let fields: Vec<_> = text.split_whitespace().collect();
    let [minutes, hours, days, months, weekdays] = fields[..] else {
        return Err(invalid("expected exactly 5 fields"));
    };
    let fields = Fields {
        minutes: parse_field(minutes, 0, 59, &[]).ok_or_else(|| invalid("bad minutes"))?,
        hours: parse_field(hours, 0, 23, &[]).ok_or_else(|| invalid("bad hours"))?,
        days: parse_field(days, 1, 31, &[]).ok_or_else(|| invalid("bad day of month"))?,
        months: parse_field(months, 1, 12, &MONTHS).ok_or_else(|| invalid("bad month"))?,
        weekdays: parse_field(weekdays, 0, 6, &WEEKDAYS).ok_or_else(|| invalid("bad day of week"))?,
        any_day: days.starts_with(['*', '?']),
        any_weekday: weekdays.starts_with(['*', '?']),
    };
    Ok(Cron {
        zone,
        rule: Rule::Fields(Box::new(fields)),
    })
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Refuses a schedule that cannot be read, or that never comes, with the official server's words.
pub fn check(text: &str) -> Result<(), &'static str> {
    if parse(text).is_err() {
        return Err("invalid CronSchedule.");
    }
    match backoff(text, Timestamp::EPOCH, Timestamp::EPOCH) {
        Some(_) => Ok(()),
        None => Err("invalid CronSchedule, no time can be found to satisfy the schedule"),
    }
}

/// Returns how long a run that closes at `close` waits for the next time of the schedule; the grid of `@every`
/// starts at `start`. `None` if there is no next time or the text is no schedule.
#[must_use]
pub fn backoff(text: &str, start: Timestamp, close: Timestamp) -> Option<Duration> {
    let next = parse(text).ok()?.next_after(start, close)?;
    let wait = next.since(close);
    // Whole seconds, rounded up, as the official server does.
    Some(Duration::from_secs(
        wait.as_secs() + u64::from(wait.subsec_nanos() > 0),
    ))
}

impl Cron {
    fn next_after(&self, start: Timestamp, close: Timestamp) -> Option<Timestamp> {
        match &self.rule {
            Rule::Every(span) => {
                let (start, span) = (whole_seconds(start), i64::try_from(span.as_nanos()).ok()?);
                let passed = close.nanos().saturating_sub(start).max(0);
                let next = start.checked_add((passed / span + 1).checked_mul(span)?)?;
                Some(Timestamp::from_nanos(next))
            }
            Rule::Fields(fields) => {
                let from = Instant::from_nanosecond(i128::from(close.nanos())).ok()?;
                let next = fields.next_after(&from.to_zoned(self.zone.clone()))?;
                i64::try_from(next.timestamp().as_nanosecond())
                    .ok()
                    .map(Timestamp::from_nanos)
            }
        }
    }
}

fn whole_seconds(time: Timestamp) -> i64 {
    const SECOND: i64 = 1_000_000_000;
    time.nanos().div_euclid(SECOND) * SECOND
}

impl Fields {
    fn next_after(&self, from: &Zoned) -> Option<Zoned> {
        let mut at = from
            .datetime()
            .with()
            .second(0)
            .subsec_nanosecond(0)
            .build()
            .ok()?;
        at = at.checked_add(jiff::Span::new().minutes(1)).ok()?;
        let last_year = at.year().saturating_add(YEARS_AHEAD);
        while at.year() <= last_year {
            if !has(self.months, at.month()) || !self.matches_day(at.date()) {
                at = at.date().tomorrow().ok()?.at(0, 0, 0, 0);
            } else if !has(self.hours, at.hour()) {
                at = at
                    .with()
                    .minute(0)
                    .build()
                    .ok()?
                    .checked_add(jiff::Span::new().hours(1))
                    .ok()?;
            } else if !has(self.minutes, at.minute()) {
                at = at.checked_add(jiff::Span::new().minutes(1)).ok()?;
            } else {
                let zoned = at.to_zoned(from.time_zone().clone()).ok()?;
                // A wall-clock time that does not exist is skipped.
                if zoned.datetime() == at && zoned > *from {
                    return Some(zoned);
                }
                at = at.checked_add(jiff::Span::new().minutes(1)).ok()?;
            }
        }
        None
    }

    fn matches_day(&self, date: civil::Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        if self.any_day || self.any_weekday {
            day && weekday
        } else {
            day || weekday
        }
    }
}

fn has(bits: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| bits >> value & 1 == 1)
}

/// Reads one field into bits; `None` if it is malformed.
fn parse_field(text: &str, low: u32, high: u32, names: &[&str]) -> Option<u64> {
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let value = |text: &str| parse_value(text, low, names);
        let (from, to) = match range.split_once('-') {
            _ if range == "*" || range == "?" => (low, high),
            Some((from, to)) => (value(from)?, value(to)?),
            None if part.contains('/') => (value(range)?, high),
            None => (value(range)?, value(range)?),
        };
        if from < low || to > high || from > to {
            return None;
        }
        bits |= (from..=to).step_by(step).fold(0, |bits, value| bits | 1 << value);
    }
    Some(bits)
}

fn parse_value(text: &str, low: u32, names: &[&str]) -> Option<u32> {
    if let Some(at) = names.iter().position(|name| text.eq_ignore_ascii_case(name)) {
        return u32::try_from(at).ok().map(|at| at + low);
    }
    text.parse().ok()
}

/// Reads a span such as `1h30m` or `1.5s`.
fn parse_span(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        rest = &rest[letters..];
        total = total.checked_add(Duration::try_from_secs_f64(number * unit).ok()?)?;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let instant: Instant = text.parse().expect("timestamp");
        Timestamp::from_nanos(i64::try_from(instant.as_nanosecond()).expect("in range"))
    }

    #[test]
    fn waits_until_the_next_time() {
        for (schedule, now, seconds) in [
            ("*/5 * * * *", "2026-01-01T00:03:00Z", 120),
            ("0 12 * * *", "2026-01-01T12:00:00Z", 86_400),
            ("0 0 1 1 *", "2026-12-31T23:59:59Z", 1),
            ("@hourly", "2026-01-01T00:59:30Z", 30),
            ("@every 1h30m", "2026-01-01T00:00:00Z", 5_400),
            ("0 9 * * MON", "2026-11-23T08:00:00Z", 3_600),
            ("CRON_TZ=Europe/Berlin 0 9 * * *", "2026-07-01T06:00:00Z", 3_600),
            ("0 0 13 * 5", "2026-11-12T23:00:00Z", 3_600),
        ] {
            let wait = backoff(schedule, at(now), at(now));
            assert_eq!(wait, Some(Duration::from_secs(seconds)), "{schedule} after {now}");
        }
    }

    #[test]
    fn every_keeps_to_the_grid_of_the_start() {
        let wait = backoff(
            "@every 10s",
            at("2026-01-01T00:00:00Z"),
            at("2026-01-01T00:00:23.5Z"),
        );
        assert_eq!(wait, Some(Duration::from_secs(7)));
    }

    #[test]
    fn time_that_the_clock_skips_is_skipped() {
        let wait = backoff(
            "CRON_TZ=Europe/Berlin 30 2 29 3 *",
            at("2026-03-29T00:00:00Z"),
            at("2026-03-29T00:00:00Z"),
        );
        assert_eq!(
            wait,
            Some(Duration::from_secs(364 * 86_400 + 23 * 3600 + 30 * 60 + 3600))
        );
    }

    #[test]
    fn malformed_schedules_are_refused() {
        for text in [
            "",
            "* * * *",
            "61 * * * *",
            "* * * * 8",
            "@every",
            "@every x",
            "CRON_TZ=Nowhere 0 0 * * *",
            "5-1 * * * *",
            "*/0 * * * *",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
