//! Versions: which clients this server serves, and which servers a client speaks to (reference 0.2).

use std::cmp::Ordering;

use crate::error::Error;

/// The version that clients are told.
///
/// SDKs and tools compare it with the versions of the official server, for example through the header
/// `supported-server-versions`, so it names the one that this server behaves like and not its own release.
pub(crate) const SERVER_VERSION: &str = "1.32.0";

/// The clients that are known by name and the versions of them that are served.
pub(crate) const SUPPORTED_CLIENTS: [(&str, &str); 8] = [
    ("temporal-go", "<2.0.0"),
    ("temporal-java", "<2.0.0"),
    ("temporal-php", "<2.0.0"),
    ("temporal-typescript", "<2.0.0"),
    ("temporal-cli", "<2.0.0"),
    ("temporal-server", "<2.0.0"),
    ("temporal-ui", "<3.0.0"),
    ("Nexus-go-sdk", "<2.0.0"),
];

/// Refuses a client that is too new, and one that wants another server. A client without name and version is taken.
pub(crate) fn check(name: &str, version: &str, supported_servers: &str) -> Result<(), Error> {
    if name.is_empty() || version.is_empty() {
        return Ok(());
    }
    if let Some((_, supported)) = SUPPORTED_CLIENTS.iter().find(|(known, _)| *known == name) {
        let parsed = Version::parse(version)
            .map_err(|why| Error::invalid(format!("Unable to parse client version: {why}")))?;
        let range = Range::parse(supported).map_err(Error::Internal)?;
        if !range.contains(&parsed) {
            let (name, version) = (name.to_owned(), version.to_owned());
            return Err(Error::ClientVersion {
                name,
                version,
                supported,
            });
        }
    }
    if supported_servers.is_empty() {
        return Ok(());
    }
    let range = Range::parse(supported_servers)
        .map_err(|why| Error::invalid(format!("Unable to parse supported server versions: {why}")))?;
    let server = Version::parse(SERVER_VERSION).map_err(Error::Internal)?;
    if range.contains(&server) {
        return Ok(());
    }
    Err(Error::ServerVersion {
        server: SERVER_VERSION,
        supported: supported_servers.to_owned(),
    })
}

/// A semantic version; build metadata is not kept, since it never counts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    numbers: [u64; 3],
    /// Identifiers of a pre-release; empty for a release.
    pre: Vec<String>,
}

impl Version {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("Version string empty".to_owned());
        }
        let text = text.split_once('+').map_or(text, |(version, _)| version);
        let (core, pre) = text.split_once('-').unwrap_or((text, ""));
        let mut parts = core.splitn(3, '.');
        let (Some(major), Some(minor), Some(patch)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("No Major.Minor.Patch elements found".to_owned());
        };
        let numbers = [
            number("major", major)?,
            number("minor", minor)?,
            number("patch", patch)?,
        ];
        let pre = if pre.is_empty() {
            Vec::new()
        } else {
            pre.split('.').map(str::to_owned).collect()
        };
        Ok(Self { numbers, pre })
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.numbers
            .cmp(&other.numbers)
            .then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => compare_pre(&self.pre, &other.pre),
            })
    }
}

fn number(which: &str, text: &str) -> Result<u64, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("Invalid character(s) found in {which} number {text:?}"));
    }
    text.parse()
        .map_err(|_| format!("{which} number is too large {text:?}"))
}

/// Compares pre-releases: numbers by value and before words, a longer one after its prefix.
fn compare_pre(a: &[String], b: &[String]) -> Ordering {
    for (a, b) in a.iter().zip(b) {
        let order = match (a.parse::<u64>(), b.parse::<u64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => a.cmp(b),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// Versions as an alternative (`||`) of conditions that must all hold.
struct Range(Vec<Vec<Condition>>);

struct Condition {
    operator: &'static str,
    version: Version,
}

impl Range {
    fn parse(text: &str) -> Result<Self, String> {
        text.split("||")
            .map(conditions)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn contains(&self, version: &Version) -> bool {
        self.0
            .iter()
            .any(|all| all.iter().all(|condition| condition.holds(version)))
    }
}

fn conditions(text: &str) -> Result<Vec<Condition>, String> {
    let mut conditions = Vec::new();
    let mut operator = String::new();
    for word in text.split_whitespace() {
        operator.push_str(word);
        // An operator may stand apart from its version.
        if operator.bytes().any(|byte| byte.is_ascii_alphanumeric()) {
            conditions.push(condition(&std::mem::take(&mut operator))?);
        }
    }
    if conditions.is_empty() || !operator.is_empty() {
        return Err(format!("Could not get version from string: {text:?}"));
    }
    Ok(conditions)
}

fn condition(text: &str) -> Result<Condition, String> {
    const OPERATORS: [&str; 8] = [">=", "<=", "!=", "==", ">", "<", "=", "!"];
    let (operator, version) = OPERATORS
        .into_iter()
        .find_map(|operator| text.strip_prefix(operator).map(|rest| (operator, rest)))
        .unwrap_or(("=", text));
    if !version.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("Could not get version from string: {text:?}"));
    }
    let version = Version::parse(version)
        .map_err(|why| format!("Could not parse version {version:?} in {text:?}: {why}"))?;
    Ok(Condition { operator, version })
}

impl Condition {
    fn holds(&self, version: &Version) -> bool {
        let order = version.compare(&self.version);
        match self.operator {
            ">=" => order != Ordering::Less,
            "<=" => order != Ordering::Greater,
            ">" => order == Ordering::Greater,
            "<" => order == Ordering::Less,
            "!=" | "!" => order != Ordering::Equal,
            _ => order == Ordering::Equal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_taken_and_refused_as_by_the_official_server() {
        let table = [
            ("", "", ">=2.0.0", "ok"),
            ("temporal-go", "", ">=2.0.0", "ok"),
            ("unknown", "abc", "", "ok"),
            ("temporal-python", "9.0.0", "", "ok"),
            ("temporal-go", "1.0.0", ">=1.0.0 <2.0.0", "ok"),
            ("temporal-go", "1.0.0", ">= 1.0.0 < 2.0.0 || >=3.0.0", "ok"),
            ("temporal-go", "2.0.0-rc.1", "", "ok"),
            ("temporal-ui", "2.1.0", "", "ok"),
            (
                "temporal-go",
                "2.1.0",
                "",
                "Client version 2.1.0 is not supported. Server supports temporal-go versions: <2.0.0",
            ),
            (
                "temporal-go",
                "abc",
                "",
                "Unable to parse client version: No Major.Minor.Patch elements found",
            ),
            (
                "temporal-go",
                "1.0.0",
                ">=2.0.0",
                "Server version 1.32.0 is not supported. Client supports server versions: >=2.0.0",
            ),
            (
                "temporal-go",
                "1.0.0",
                "xx",
                "Unable to parse supported server versions: Could not get version from string: \"xx\"",
            ),
        ];
        for (name, version, servers, expected) in table {
            let shown =
                check(name, version, servers).map_or_else(|error| error.to_string(), |()| "ok".to_owned());
            assert_eq!(shown, expected, "{name} {version} {servers}");
        }
    }
}
