//! Datetime: a search attribute's point in time, with the text that a list shows.

use std::fmt;

use jiff::SignedDuration;
use proto::time::Timestamp;

const FRACTION_DIGITS_MAX: usize = 9;

/// A point in time. Compared by its nanoseconds since the epoch; what they cannot hold is clamped for
/// comparing, yet shown as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datetime {
    time: Timestamp,
    /// Set if the time was written with an offset or is clamped.
    written: Option<Box<str>>,
}

impl Datetime {
    /// Reads RFC 3339 as the official server does: upper-case `T` and `Z`, seconds required, digits beyond
    /// nanoseconds dropped.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parts = Parts::scan(text)?;
        let written = parts.normalized();
        let time: jiff::Timestamp = written.parse().ok()?;
        let nanos = time.as_nanosecond();
        let clamped = nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        let time = Timestamp::from_nanos(i64::try_from(clamped).ok()?);
        let plain = clamped == nanos && parts.offset == "Z";
        Some(Self {
            time,
            written: (!plain).then(|| written.into_boxed_str()),
        })
    }

    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// Returns the text that the time alone would not give back.
    pub(in crate::visibility) fn written(&self) -> Option<&str> {
        self.written.as_deref()
    }

    pub(in crate::visibility) fn from_parts(time: Timestamp, written: Option<Box<str>>) -> Self {
        Self { time, written }
    }
}

impl From<Timestamp> for Datetime {
    fn from(time: Timestamp) -> Self {
        Self { time, written: None }
    }
}

impl fmt::Display for Datetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(written) = &self.written {
            return f.write_str(written);
        }
        let time = jiff::Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_nanos(self.time.nanos()));
        fmt::Display::fmt(&time.unwrap_or_default(), f)
    }
}

/// `2006-01-02T15:04:05`, `.999`, `+07:00`.
struct Parts<'a> {
    seconds: &'a str,
    fraction: &'a str,
    offset: &'a str,
}

impl<'a> Parts<'a> {
    const SHAPE: &'static [u8] = b"dddd-dd-ddTdd:dd:dd";

    fn scan(text: &'a str) -> Option<Self> {
        let (seconds, rest) = text.split_at_checked(Self::SHAPE.len())?;
        let fits = seconds
            .bytes()
            .zip(Self::SHAPE)
            .all(|(byte, &shape)| match shape {
                b'd' => byte.is_ascii_digit(),
                other => byte == other,
            });
        // A leap second has no place in the count of seconds.
        if !fits || seconds.ends_with("60") {
            return None;
        }
        let (fraction, offset) = match rest.strip_prefix(['.', ',']) {
            Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
            None => ("", rest),
        };
        if fraction.is_empty() && offset.len() != rest.len() {
            return None;
        }
        let signed = offset.len() == 6
            && offset.starts_with(['+', '-'])
            && offset
                .bytes()
                .skip(1)
                .zip(b"dd:dd")
                .all(|(byte, &shape)| match shape {
                    b'd' => byte.is_ascii_digit(),
                    other => byte == other,
                });
        (offset == "Z" || signed).then_some(Self {
            seconds,
            fraction,
            offset,
        })
    }

    fn normalized(&self) -> String {
        let digits = &self.fraction[..self.fraction.len().min(FRACTION_DIGITS_MAX)];
        let digits = digits.trim_end_matches('0');
        let point = if digits.is_empty() { "" } else { "." };
        format!("{}{point}{digits}{}", self.seconds, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::Datetime;

    fn check(text: &str, expect: Option<(&str, i64)>) {
        let read = Datetime::parse(text);
        let read = read
            .as_ref()
            .map(|datetime| (datetime.to_string(), datetime.time().nanos()));
        assert_eq!(
            read,
            expect.map(|(shown, nanos)| (shown.to_owned(), nanos)),
            "{text}"
        );
    }

    #[test]
    fn shows_what_it_reads() {
        check(
            "1970-01-01T00:00:01Z",
            Some(("1970-01-01T00:00:01Z", 1_000_000_000)),
        );
        check(
            "1970-01-01T00:00:00.120Z",
            Some(("1970-01-01T00:00:00.12Z", 120_000_000)),
        );
        check(
            "1970-01-01T00:00:00,5Z",
            Some(("1970-01-01T00:00:00.5Z", 500_000_000)),
        );
        check(
            "1970-01-01T00:00:00.1234567891Z",
            Some(("1970-01-01T00:00:00.123456789Z", 123_456_789)),
        );
        check(
            "1970-01-01T02:00:00.50+02:00",
            Some(("1970-01-01T02:00:00.5+02:00", 500_000_000)),
        );
    }

    #[test]
    fn keeps_the_text_of_times_beyond_the_range() {
        check("0001-01-01T00:00:00Z", Some(("0001-01-01T00:00:00Z", i64::MIN)));
        check("9999-01-01T00:00:00Z", Some(("9999-01-01T00:00:00Z", i64::MAX)));
    }

    #[test]
    fn refuses_what_the_official_server_refuses() {
        for text in [
            "",
            "abc",
            "2024-01-01",
            "2024-01-01 00:00:00",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00Z",
            "2024-01-01t00:00:00z",
            "2024-01-01T00:00:00+0100",
            "2024-01-01T00:00:00.Z",
            "2024-13-01T00:00:00Z",
            "2024-02-30T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:60Z",
            "12024-01-01T00:00:00Z",
            "2024-01-01T00:00:00+é0:00",
        ] {
            check(text, None);
        }
    }
}
