//! Dictionary: the writer's numbers for scopes and attributes, made when first met.

use std::collections::HashMap;

use proto::ids::NamespaceId;
use rusqlite::{Connection, OptionalExtension, params};

use super::super::attributes::ValueType;

/// Entries that are kept in memory; beyond, the cache starts anew.
const ENTRIES_MAX: usize = 10_000;

/// A cache of the tables `scope` and `attribute`. After a transaction that did not commit it must be cleared.
#[derive(Default)]
pub(super) struct Dictionary {
    scopes: HashMap<NamespaceId, HashMap<Option<String>, i64>>,
    attributes: HashMap<String, HashMap<ValueType, i64>>,
    entries: usize,
}

impl Dictionary {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns the scope's number.
    pub(super) fn scope(
        &mut self,
        connection: &Connection,
        namespace: NamespaceId,
        division: Option<&str>,
    ) -> rusqlite::Result<i64> {
        let division = division.map(str::to_owned);
        if let Some(id) = self
            .scopes
            .get(&namespace)
            .and_then(|scopes| scopes.get(&division))
        {
            return Ok(*id);
        }
        self.make_room();
        let found = connection
            .query_row(
                "SELECT id FROM scope WHERE namespace = ? AND division IS ?",
                params![namespace.as_bytes(), division],
                |row| row.get(0),
            )
            .optional()?;
        let id = match found {
            Some(id) => id,
            None => {
                connection.execute(
                    "INSERT INTO scope (namespace, division) VALUES (?, ?)",
                    params![namespace.as_bytes(), division],
                )?;
                connection.last_insert_rowid()
            }
        };
        self.scopes.entry(namespace).or_default().insert(division, id);
        Ok(id)
    }

    /// Returns the attribute's number.
    pub(super) fn attribute(
        &mut self,
        connection: &Connection,
        name: &str,
        value_type: ValueType,
    ) -> rusqlite::Result<i64> {
        if let Some(id) = self.attributes.get(name).and_then(|types| types.get(&value_type)) {
            return Ok(*id);
        }
        self.make_room();
        let id = match find_attribute(connection, name, value_type)? {
            Some(id) => id,
            None => {
                connection.execute(
                    "INSERT INTO attribute (name, type) VALUES (?, ?)",
                    params![name, value_type as u8],
                )?;
                connection.last_insert_rowid()
            }
        };
        self.attributes
            .entry(name.to_owned())
            .or_default()
            .insert(value_type, id);
        Ok(id)
    }

    fn make_room(&mut self) {
        if self.entries >= ENTRIES_MAX {
            self.clear();
        }
        self.entries += 1;
    }
}

/// Returns the number of an attribute that some run has or had.
pub(super) fn find_attribute(
    connection: &Connection,
    name: &str,
    value_type: ValueType,
) -> rusqlite::Result<Option<i64>> {
    connection
        .query_row(
            "SELECT id FROM attribute WHERE name = ? AND type = ?",
            params![name, value_type as u8],
            |row| row.get(0),
        )
        .optional()
}
