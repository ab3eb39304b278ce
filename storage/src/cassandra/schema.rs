//! Schema: the keyspace's tables as versioned files, and what sets them up and brings them up to date.
//!
//! Version n of the schema is what the files 1 to n make of an empty keyspace; the table `schema_version` tells
//! which of them have run, and which release can work with the result. Each statement may run twice, so an update
//! that was cut is run again. Run one set-up or update at a time: Cassandra does not like concurrent changes of
//! tables.
//!
//! The schema is updated before the servers are: a release works with later versions, until one says that it
//! does not ([`Version::compatible`]).

use std::{fmt::Write, time::Duration};

use scylla::{
    client::session::Session,
    errors::{DbError, ExecutionError, RequestAttemptError, UseKeyspaceError},
    statement::Statement,
};

use super::{
    OpenError,
    config::CassandraConfig,
    link::{connect, refused},
};

/// One step of the schema.
struct Version {
    file: &'static str,
    /// The lowest version whose releases can still work with this one.
    compatible: usize,
}

/// The steps, oldest first; one that was released never changes.
const VERSIONS: [Version; 3] = [
    Version {
        file: include_str!("schema/v0001.cql"),
        compatible: 1,
    },
    Version {
        file: include_str!("schema/v0002.cql"),
        compatible: 1,
    },
    Version {
        file: include_str!("schema/v0003.cql"),
        compatible: 3,
    },
];

const VERSION_TABLE: &str =
    "CREATE TABLE IF NOT EXISTS schema_version (part tinyint PRIMARY KEY, version int, compatible int)";

/// How long one statement may take: a change of tables waits for all nodes, and for their disks.
const STATEMENT_MAX: Duration = Duration::from_secs(60);

/// The version that this release makes.
pub const CURRENT: usize = VERSIONS.len();

/// The oldest version that this release works with. Tails ride in batches from version 3 on.
pub const NEEDED: usize = 2;

/// Makes the keyspace if it is not there, then its tables. Returns the version found before and the one after.
pub async fn setup(config: &CassandraConfig) -> Result<(usize, usize), OpenError> {
    let session = connect(config).await?;
    run(&session, &keyspace(config)).await?;
    migrate(config, &session).await
}

/// Brings the tables of an existing keyspace up to date.
pub async fn update(config: &CassandraConfig) -> Result<(usize, usize), OpenError> {
    let session = connect(config).await?;
    migrate(config, &session).await
}

/// Returns all statements that `setup` would run on an empty cluster, for operators who run them themselves.
#[must_use]
pub fn print(config: &CassandraConfig) -> String {
    let mut text = format!(
        "{};\nUSE {};\n{VERSION_TABLE};\n\n",
        keyspace(config),
        config.keyspace
    );
    for (number, version) in (1..).zip(&VERSIONS) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}\n{};\n", version.file.trim_end(), note(number, version));
    }
    text
}

/// Returns the version of the keyspace; fails unless this release can work with it.
pub(crate) async fn check(session: &Session, config: &CassandraConfig) -> Result<usize, OpenError> {
    let stored = stored(session, &config.keyspace).await?;
    stored.judge(&config.keyspace)?;
    Ok(stored.version)
}

/// What the keyspace says of its schema.
#[derive(Clone, Copy, Debug, Default)]
struct Stored {
    version: usize,
    compatible: usize,
}

impl Stored {
    fn judge(self, keyspace: &str) -> Result<(), OpenError> {
        let keyspace = keyspace.to_owned();
        match self {
            Self { version: 0, .. } => Err(OpenError::NoSchema { keyspace }),
            Self { version: found, .. } if found < NEEDED => Err(OpenError::OlderSchema { keyspace, found }),
            Self {
                version: found,
                compatible,
            } if compatible > CURRENT => Err(OpenError::NewerSchema { keyspace, found }),
            _ => Ok(()),
        }
    }
}

async fn migrate(config: &CassandraConfig, session: &Session) -> Result<(usize, usize), OpenError> {
    let keyspace = &config.keyspace;
    session
        .use_keyspace(keyspace, false)
        .await
        .map_err(|error| match error {
            UseKeyspaceError::RequestError(RequestAttemptError::DbError(DbError::Invalid, _)) => {
                OpenError::NoKeyspace {
                    keyspace: keyspace.clone(),
                }
            }
            error => refused("use keyspace", &error),
        })?;
    run(session, VERSION_TABLE).await?;
    let found = stored(session, keyspace).await?.version;
    for (number, version) in (1..).zip(&VERSIONS).skip(found) {
        for statement in statements(version.file) {
            run(session, &statement).await?;
        }
        run(session, &note(number, version)).await?;
        tracing::info!(keyspace, version = number, "schema updated");
    }
    Ok((found, found.max(CURRENT)))
}

async fn stored(session: &Session, keyspace: &str) -> Result<Stored, OpenError> {
    let query = format!("SELECT version, compatible FROM {keyspace}.schema_version WHERE part = 0");
    let result = match session.query_unpaged(query, ()).await {
        Ok(result) => result,
        // A keyspace that was never set up has no such table.
        Err(ExecutionError::LastAttemptError(RequestAttemptError::DbError(DbError::Invalid, _))) => {
            return Ok(Stored::default());
        }
        Err(error) => return Err(refused("read schema version", &error)),
    };
    let rows = result
        .into_rows_result()
        .map_err(|error| refused("read schema version", &error))?;
    let row: Option<(i32, i32)> = rows
        .maybe_first_row()
        .map_err(|error| refused("read schema version", &error))?;
    let number = |number: i32| usize::try_from(number).unwrap_or(0);
    Ok(row.map_or_else(Stored::default, |(version, compatible)| Stored {
        version: number(version),
        compatible: number(compatible),
    }))
}

async fn run(session: &Session, statement: &str) -> Result<(), OpenError> {
    let first = statement.split(" (").next().unwrap_or_default();
    let mut patient = Statement::new(statement);
    patient.set_request_timeout(Some(STATEMENT_MAX));
    session
        .query_unpaged(patient, ())
        .await
        .map(drop)
        .map_err(|error| refused(first, &error))
}

fn note(number: usize, version: &Version) -> String {
    let compatible = version.compatible;
    format!("INSERT INTO schema_version (part, version, compatible) VALUES (0, {number}, {compatible})")
}

fn keyspace(config: &CassandraConfig) -> String {
    let copies = config.replication_factor;
    let replication = match &config.datacenter {
        Some(datacenter) => format!(
            "'class': 'NetworkTopologyStrategy', '{}': {copies}",
            datacenter.replace('\'', "''")
        ),
        None => format!("'class': 'SimpleStrategy', 'replication_factor': {copies}"),
    };
    format!(
        "CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {{{replication}}}",
        config.keyspace
    )
}

/// Returns the file's statements without comments.
fn statements(file: &str) -> Vec<String> {
    let code: Vec<&str> = file
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"))
        .collect();
    code.join("\n")
        .split(';')
        .map(str::trim)
        .filter(|statement| !statement.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_statement_may_run_twice() {
        for version in VERSIONS {
            let found = statements(version.file);
            assert!(!version.file.trim().is_empty());
            for statement in found {
                assert!(statement.contains("IF NOT EXISTS"), "{statement}");
            }
        }
    }

    #[test]
    fn prints_what_setup_runs() {
        let config = CassandraConfig {
            datacenter: Some("o'dc".into()),
            ..CassandraConfig::new("a")
        };
        let text = print(&config);
        assert!(text.starts_with("CREATE KEYSPACE IF NOT EXISTS perdure WITH replication = {'class': 'NetworkTopologyStrategy', 'o''dc': 1};\nUSE perdure;\n"));
        assert!(text.contains("CREATE TABLE IF NOT EXISTS shard ("));
        let last = format!(
            "INSERT INTO schema_version (part, version, compatible) VALUES (0, {CURRENT}, {});",
            VERSIONS[CURRENT - 1].compatible
        );
        assert!(text.trim_end().ends_with(&last), "{text}");
    }

    #[test]
    fn what_a_release_cannot_work_with_is_refused_in_a_sentence() {
        let said = |version, compatible| {
            let stored = Stored { version, compatible };
            stored.judge("orders").map_err(|error| error.to_string())
        };
        for version in NEEDED..=CURRENT {
            assert_eq!(said(version, 1), Ok(()));
        }
        assert_eq!(said(CURRENT + 1, CURRENT), Ok(()));
        let none = said(0, 0).unwrap_err();
        assert!(
            none.contains("has no schema") && none.contains("schema setup"),
            "{none}"
        );
        if NEEDED > 1 {
            let older = said(NEEDED - 1, 1).unwrap_err();
            assert!(older.contains("schema update"), "{older}");
        }
        let newer = said(CURRENT + 2, CURRENT + 1).unwrap_err();
        assert!(newer.contains("later release"), "{newer}");
    }
}
