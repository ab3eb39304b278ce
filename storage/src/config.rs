//! Config: what an operator may set of the embedded store. Plain values, no component inside.

use std::{fmt, num::NonZeroUsize, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The embedded store's memory, journal and limits.
///
/// The defaults keep a fresh server small. A busy one uses `cache + write_buffer`, and up to four times the write
/// buffer while the disk is behind; then commits wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedConfig {
    /// Blocks of tables kept in memory; the operating system's page cache stands behind it.
    pub cache: Size,
    /// Rows kept in memory before they are written to tables, all tables together. Fixed when the data
    /// directory is made: the engine keeps the value of that day.
    pub write_buffer: Size,
    /// The journal may grow to this before tables are written only to shorten it; at least 64 MiB.
    /// It bounds the time that opening after a crash takes.
    pub journal_max: Size,
    /// Threads that write and merge tables. With more than one, the engine (fjall 3.1) keeps the first one free
    /// for writing by letting it spin while another one merges: worth it only where cores are idle.
    pub compaction_threads: NonZeroUsize,
    /// Files kept open.
    pub open_files_max: usize,
    /// Commits that may wait for the committer; each shard has one at most.
    pub queue_max: NonZeroUsize,
    /// Bytes that one merged write carries before the rest waits for the next one.
    pub group_bytes_max: Size,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self {
            cache: Size::mib(16),
            write_buffer: Size::mib(32),
            journal_max: Size::mib(256),
            compaction_threads: NonZeroUsize::MIN,
            open_files_max: 256,
            queue_max: NonZeroUsize::MIN.saturating_add(4095),
            group_bytes_max: Size::mib(8),
        }
    }
}

/// A value that the store cannot work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    #[error("use {field} of {value}: at least {least} needed")]
    TooSmall {
        field: &'static str,
        value: Size,
        least: Size,
    },
    #[error("use open_files_max of {0}: at least 16 needed")]
    TooFewFiles(usize),
}

impl EmbeddedConfig {
    /// Refuses what the engine would panic or stall on.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let least = [
            ("write_buffer", self.write_buffer, Size::mib(4)),
            ("journal_max", self.journal_max, Size::mib(64)),
            ("group_bytes_max", self.group_bytes_max, Size::mib(1)),
        ];
        for (field, value, least) in least {
            if value < least {
                return Err(InvalidConfig::TooSmall { field, value, least });
            }
        }
        if self.open_files_max < 16 {
            return Err(InvalidConfig::TooFewFiles(self.open_files_max));
        }
        Ok(())
    }
}

/// A number of bytes, written as `4096`, `16MiB` or `"1 GiB"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Size {
    #[must_use]
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    #[must_use]
    pub const fn as_bytes(self) -> u64 {
        self.0
    }
}

/// The text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read size {0:?}: write bytes as a number, or with KiB, MiB or GiB")]
pub struct InvalidSize(String);

impl FromStr for Size {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let invalid = || InvalidSize(text.to_owned());
        let (digits, unit) = UNITS
            .iter()
            .find_map(|(unit, factor)| text.strip_suffix(unit).map(|digits| (digits, *factor)))
            .unwrap_or((text, 1));
        let count: u64 = digits.trim().parse().map_err(|_| invalid())?;
        count.checked_mul(unit).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS
            .into_iter()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor))
            .unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 16MiB")
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
                u64::try_from(bytes).map(Size).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes() {
        let cases = [
            ("4096", Ok(4096), "4KiB"),
            ("16MiB", Ok(16 << 20), "16MiB"),
            ("1 GiB", Ok(1 << 30), "1GiB"),
            ("1025B", Ok(1025), "1025B"),
            ("0", Ok(0), "0B"),
            ("16MB", Err(()), ""),
            ("-1", Err(()), ""),
            ("99999999999GiB", Err(()), ""),
        ];
        for (text, expected, shown) in cases {
            let size: Result<Size, _> = text.parse();
            assert_eq!(size.clone().map(Size::as_bytes).map_err(drop), expected, "{text}");
            if let Ok(size) = size {
                assert_eq!(size.to_string(), shown);
            }
        }
    }

    #[test]
    fn config_reads_what_it_writes() {
        let config = EmbeddedConfig::default();
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<EmbeddedConfig>(&text).unwrap(), config);
        assert_eq!(serde_json::from_str::<EmbeddedConfig>("{}").unwrap(), config);
        assert!(serde_json::from_str::<EmbeddedConfig>(r#"{"cach": 1}"#).is_err());
    }

    #[test]
    fn refuses_what_cannot_work() {
        let set = |change: fn(&mut EmbeddedConfig)| {
            let mut config = EmbeddedConfig::default();
            change(&mut config);
            config.validate().map_err(|error| error.to_string())
        };
        assert_eq!(set(|_| {}), Ok(()));
        assert_eq!(
            set(|config| config.journal_max = Size::mib(1)),
            Err("use journal_max of 1MiB: at least 64MiB needed".into())
        );
        assert_eq!(
            set(|config| config.open_files_max = 3),
            Err("use open_files_max of 3: at least 16 needed".into())
        );
    }
}
