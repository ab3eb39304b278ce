//! Durations, sizes and server addresses as people write them on the command line.
//!
//! Pure; called by `cli` only.

use std::time::Duration;

/// Reads `250ms`, `10s`, `5m`, `2h`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number
        .parse()
        .map_err(|_| format!("read duration {text:?}: try 250ms, 10s or 5m"))?;
    let seconds = match unit {
        "" | "s" => number,
        "ms" => number / 1e3,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(format!("read duration {text:?}: unit is ms, s, m or h")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("read duration {text:?}: out of range"))
}

/// Reads `100`, `64KiB`, `1MiB` (also `64k`, `1m`) as bytes.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let lower = text.trim().to_ascii_lowercase();
    let split = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let (number, unit) = lower.split_at(split);
    let number: usize = number
        .parse()
        .map_err(|_| format!("read size {text:?}: try 100, 64KiB or 1MiB"))?;
    let factor = match unit {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        _ => return Err(format!("read size {text:?}: unit is KiB or MiB")),
    };
    number
        .checked_mul(factor)
        .ok_or_else(|| format!("read size {text:?}: out of range"))
}

/// One server of a comparison: a name, where it listens, and the processes whose cost counts as its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contender {
    pub name: String,
    pub target: String,
    pub pids: Vec<u32>,
    /// Where it shows its metrics, if it is one of ours.
    pub pages: Option<String>,
}

/// Reads `NAME=COMMAND`.
pub(crate) fn named(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, command)) if !name.is_empty() && !name.contains(' ') && !command.is_empty() => {
            Ok((name.to_owned(), command.to_owned()))
        }
        _ => Err(format!("read server {text:?}: want NAME=COMMAND")),
    }
}

/// Reads `NAME=HOST:PORT[,PID..]`.
pub(crate) fn contender(text: &str) -> Result<Contender, String> {
    let wanted = || format!("read server {text:?}: want NAME=HOST:PORT[,PID..]");
    let (name, rest) = text.split_once('=').ok_or_else(wanted)?;
    let mut parts = rest.split(',');
    let target = parts
        .next()
        .filter(|target| target.contains(':'))
        .ok_or_else(wanted)?;
    let pids = parts
        .map(|pid| pid.trim().parse().map_err(|_| wanted()))
        .collect::<Result<_, _>>()?;
    Ok(Contender {
        name: name.to_owned(),
        target: target.to_owned(),
        pids,
        pages: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("2 weeks").is_err());
        assert!(duration("").is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!(size("100"), Ok(100));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("1m"), Ok(1_048_576));
        assert!(size("1gb").is_err());
    }

    #[test]
    fn named_commands() {
        let named = named("peer=serve --flag=x");
        assert_eq!(named, Ok(("peer".into(), "serve --flag=x".into())));
        assert!(super::named("serve --flag=x").is_err());
        assert!(super::named("=serve").is_err());
    }

    #[test]
    fn contenders() {
        let both = contender("peer=127.0.0.1:7233,12,13");
        assert_eq!(
            both,
            Ok(Contender {
                name: "peer".into(),
                target: "127.0.0.1:7233".into(),
                pids: vec![12, 13],
                pages: None
            })
        );
        assert_eq!(contender("a=h:1").map(|c| c.pids), Ok(vec![]));
        assert!(contender("h:1").is_err());
        assert!(contender("a=h:1,x").is_err());
    }
}
