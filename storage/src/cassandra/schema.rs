//! Schema: the keyspace's tables as versioned files, and what sets them up and brings them up to date.
//!
//! Version n of the schema is what the files 1 to n make of an empty keyspace; the table `schema_version` tells
//! which of them have run. Each statement may run twice, so an update that was cut is run again. Run one set-up
//! or update at a time: Cassandra does not like concurrent changes of tables.

use std::fmt::Write;

use scylla::client::session::Session;

use super::{
    OpenError,
    config::CassandraConfig,
    link::{connect, refused},
};

/// The files, oldest first; one that was released never changes.
const VERSIONS: [&str; 1] = [include_str!("schema/v0001.cql")];

const VERSION_TABLE: &str =
    "CREATE TABLE IF NOT EXISTS schema_version (part tinyint PRIMARY KEY, version int)";

/// The version that this release works with.
pub const CURRENT: usize = VERSIONS.len();

/// Makes the keyspace if it is not there, then its tables. Returns the version found before and the one after.
pub async fn setup(config: &CassandraConfig) -> Result<(usize, usize), OpenError> {
    let session = connect(config, None).await?;
    run(&session, &keyspace(config)).await?;
    migrate(config, &session).await
}

/// Brings the tables of an existing keyspace up to date.
pub async fn update(config: &CassandraConfig) -> Result<(usize, usize), OpenError> {
    let session = connect(config, None).await?;
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
    for (number, file) in VERSIONS.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}\n{};\n", file.trim_end(), note(number + 1));
    }
    text
}

/// Fails unless the keyspace has the version that this release works with, or a newer one.
pub(super) async fn check(session: &Session, config: &CassandraConfig) -> Result<(), OpenError> {
    let found = version(session).await.unwrap_or(0);
    if found < CURRENT {
        return Err(OpenError::Schema {
            keyspace: config.keyspace.clone(),
            found,
            needed: CURRENT,
        });
    }
    Ok(())
}

async fn migrate(config: &CassandraConfig, session: &Session) -> Result<(usize, usize), OpenError> {
    session
        .use_keyspace(&config.keyspace, false)
        .await
        .map_err(|error| refused("use keyspace", &error))?;
    run(session, VERSION_TABLE).await?;
    let found = version(session).await?;
    for (number, file) in VERSIONS.iter().enumerate().skip(found) {
        for statement in statements(file) {
            run(session, &statement).await?;
        }
        run(session, &note(number + 1)).await?;
        tracing::info!(keyspace = config.keyspace, version = number + 1, "schema updated");
    }
    Ok((found, found.max(CURRENT)))
}

async fn version(session: &Session) -> Result<usize, OpenError> {
    let result = session
        .query_unpaged("SELECT version FROM schema_version WHERE part = 0", ())
        .await
        .map_err(|error| refused("read schema version", &error))?;
    let rows = result
        .into_rows_result()
        .map_err(|error| refused("read schema version", &error))?;
    let row: Option<(i32,)> = rows
        .maybe_first_row()
        .map_err(|error| refused("read schema version", &error))?;
    Ok(row.map_or(0, |(version,)| usize::try_from(version).unwrap_or(0)))
}

async fn run(session: &Session, statement: &str) -> Result<(), OpenError> {
    let first = statement.split(" (").next().unwrap_or_default();
    session
        .query_unpaged(statement, ())
        .await
        .map(drop)
        .map_err(|error| refused(first, &error))
}

fn note(version: usize) -> String {
    format!("INSERT INTO schema_version (part, version) VALUES (0, {version})")
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
        for file in VERSIONS {
            let found = statements(file);
            assert!(!found.is_empty());
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
        assert!(
            text.trim_end()
                .ends_with("INSERT INTO schema_version (part, version) VALUES (0, 1);")
        );
    }
}
