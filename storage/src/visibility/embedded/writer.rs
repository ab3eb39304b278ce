//! Writer: applies updates in transactions. One thread has it.

use std::collections::{BTreeSet, HashMap};

use proto::ids::{NamespaceId, RunId};
use rusqlite::{CachedStatement, Connection, ToSql, Transaction, params};

use super::{
    super::{
        Update,
        attributes::{DIVISION, SearchAttributes, SearchValue},
        query::words,
        record::{Close, Record},
    },
    dictionary::Dictionary,
    gone::Gone,
    row::{Rows, attributes_json, ordered_bits},
    schema::OPEN,
};

/// Runs that one step of a namespace's deletion removes.
const DELETE_STEP: u32 = 500;

/// What survives one transaction and the next: caches only.
#[derive(Default)]
pub(super) struct Writer {
    dictionary: Dictionary,
    rows: Rows,
    gone: Gone,
}

impl Writer {
    /// Applies the updates in one transaction and commits it.
    pub(super) fn apply(&mut self, connection: &mut Connection, updates: &[Update]) -> rusqlite::Result<()> {
        let result = self.try_apply(connection, updates);
        if result.is_err() {
            // It may hold numbers that were rolled back.
            self.dictionary.clear();
        }
        result
    }

    fn try_apply(&mut self, connection: &mut Connection, updates: &[Update]) -> rusqlite::Result<()> {
        let transaction = connection.transaction()?;
        {
            let mut step = Step::new(&transaction, self)?;
            for update in newest(updates) {
                match update {
                    Update::Upsert(record) => step.upsert(record)?,
                    Update::Delete(record) => {
                        step.delete(record.namespace_id, record.run_id, record.version)?;
                    }
                }
            }
            step.finish()?;
        }
        transaction.commit()
    }

    /// Removes some runs of the namespace; answers whether it is done.
    pub(super) fn delete_some(
        &mut self,
        connection: &mut Connection,
        namespace: NamespaceId,
    ) -> rusqlite::Result<bool> {
        let transaction = connection.transaction()?;
        let left = {
            let mut step = Step::new(&transaction, self)?;
            let left = step.delete_some(namespace)?;
            step.finish()?;
            left
        };
        if !left {
            transaction.execute(
                "DELETE FROM tally WHERE scope IN (SELECT id FROM scope WHERE namespace = ?)",
                [namespace.as_bytes()],
            )?;
            transaction.execute("DELETE FROM scope WHERE namespace = ?", [namespace.as_bytes()])?;
        }
        transaction.commit()?;
        if !left {
            self.dictionary.clear();
        }
        Ok(!left)
    }
}

/// Returns each run's newest update, in the order in which the runs first come.
fn newest(updates: &[Update]) -> Vec<&Update> {
    let mut places: HashMap<(NamespaceId, RunId), usize> = HashMap::with_capacity(updates.len());
    let mut newest: Vec<&Update> = Vec::with_capacity(updates.len());
    for update in updates {
        match places.get(&update.run()) {
            Some(&place) if newest[place].version() < update.version() => newest[place] = update,
            Some(_) => {}
            None => {
                places.insert(update.run(), newest.len());
                newest.push(update);
            }
        }
    }
    newest
}

/// One transaction's work.
struct Step<'a> {
    connection: &'a Connection,
    dictionary: &'a mut Dictionary,
    rows: &'a mut Rows,
    gone: &'a mut Gone,
    tally: HashMap<(i64, String, i32), i64>,
    find: CachedStatement<'a>,
    insert: CachedStatement<'a>,
    close: CachedStatement<'a>,
    touch: CachedStatement<'a>,
    remove: CachedStatement<'a>,
    post: CachedStatement<'a>,
    unpost: CachedStatement<'a>,
}

/// What the index has of a run.
struct Stored {
    id: i64,
    scope: i64,
    version: u64,
    status: i32,
    close_time: i64,
    start_time: i64,
    execution_time: i64,
    workflow_id: String,
    workflow_type: String,
    task_queue: String,
    attributes: Option<String>,
}

type Posting = (i64, PostedValue);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PostedValue {
    Int(i64),
    Text(String),
}

impl ToSql for PostedValue {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        match self {
            Self::Int(number) => number.to_sql(),
            Self::Text(text) => text.to_sql(),
        }
    }
}

impl<'a> Step<'a> {
    fn new(transaction: &'a Transaction<'_>, writer: &'a mut Writer) -> rusqlite::Result<Self> {
        let connection: &Connection = transaction;
        Ok(Self {
            connection,
            dictionary: &mut writer.dictionary,
            rows: &mut writer.rows,
            gone: &mut writer.gone,
            tally: HashMap::new(),
            find: connection.prepare_cached(
                "SELECT e.id, e.scope, e.version, e.status, e.close_time, e.start_time, e.execution_time, \
                 e.workflow_id, e.workflow_type, e.task_queue, e.attributes, s.namespace \
                 FROM execution e INDEXED BY execution_by_run JOIN scope s ON s.id = e.scope WHERE e.run = ?",
            )?,
            insert: connection.prepare_cached(
                "INSERT INTO execution (run, version, status, close_time, execution_duration, history_length, \
                 history_size, state_transitions, attributes, memo, scope, start_time, execution_time, workflow_id, \
                 workflow_type, task_queue, parent_workflow_id, parent_run, root_workflow_id, root_run) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?,
            close: connection.prepare_cached(
                "UPDATE execution SET version = ?, status = ?, close_time = ?, execution_duration = ?, \
                 history_length = ?, history_size = ?, state_transitions = ?, attributes = ?, memo = ? WHERE id = ?",
            )?,
            touch: connection
                .prepare_cached("UPDATE execution SET version = ?, attributes = ?, memo = ? WHERE id = ?")?,
            remove: connection.prepare_cached("DELETE FROM execution WHERE id = ?")?,
            post: connection.prepare_cached("INSERT INTO posting (attribute, scope, value, execution) VALUES (?, ?, ?, ?)")?,
            unpost: connection.prepare_cached(
                "DELETE FROM posting WHERE attribute = ? AND scope = ? AND value = ? AND execution = ?",
            )?,
        })
    }

    fn upsert(&mut self, record: &Record) -> rusqlite::Result<()> {
        let run = (record.namespace_id, record.run_id);
        let Some(stored) = self.stored(run)? else {
            if self.gone.covers(run, record.version) {
                return Ok(());
            }
            return self.insert(record);
        };
        if record.version <= stored.version {
            return Ok(());
        }
        let scope = self.dictionary.scope(
            self.connection,
            record.namespace_id,
            record.search_attributes.division(),
        )?;
        if stored.has_lasting_parts_of(record) && stored.scope == scope {
            return self.update(&stored, record);
        }
        self.remove(&stored)?;
        self.insert(record)
    }

    fn insert(&mut self, record: &Record) -> rusqlite::Result<()> {
        let scope = self.dictionary.scope(
            self.connection,
            record.namespace_id,
            record.search_attributes.division(),
        )?;
        let status = i32::from(record.status);
        let attributes = self.attributes_json(&record.search_attributes)?;
        let closing = Closing::of(record.close.as_ref());
        let own_root = record.root.run_id == record.run_id;
        let (parent, root) = (record.parent.as_ref(), (!own_root).then_some(&record.root));
        self.insert.execute(params![
            record.run_id.as_bytes(),
            record.version.cast_signed(),
            status,
            closing.time,
            closing.duration,
            closing.history_length,
            closing.history_size,
            closing.state_transitions,
            attributes,
            memo(record),
            scope,
            record.start_time.nanos(),
            record.execution_time.nanos(),
            record.workflow_id.as_str(),
            record.workflow_type,
            record.task_queue,
            parent.map(|parent| parent.workflow_id.as_str()),
            parent.map(|parent| parent.run_id.as_bytes()),
            root.map(|root| root.workflow_id.as_str()),
            root.map(|root| root.run_id.as_bytes()),
        ])?;
        let id = self.connection.last_insert_rowid();
        for (attribute, value) in self.postings(&record.search_attributes)? {
            self.post.execute(params![attribute, scope, value, id])?;
        }
        self.count(scope, &record.workflow_type, status, 1);
        Ok(())
    }

    /// Writes what may change of a run, and touches no index that need not change.
    fn update(&mut self, stored: &Stored, record: &Record) -> rusqlite::Result<()> {
        let status = i32::from(record.status);
        let closing = Closing::of(record.close.as_ref());
        let attributes = self.attributes_json(&record.search_attributes)?;
        if stored.close_time == closing.time && stored.status == status {
            self.touch.execute(params![
                record.version.cast_signed(),
                attributes,
                memo(record),
                stored.id
            ])?;
        } else {
            self.close.execute(params![
                record.version.cast_signed(),
                status,
                closing.time,
                closing.duration,
                closing.history_length,
                closing.history_size,
                closing.state_transitions,
                attributes,
                memo(record),
                stored.id,
            ])?;
            self.count(stored.scope, &stored.workflow_type, stored.status, -1);
            self.count(stored.scope, &stored.workflow_type, status, 1);
        }
        if stored.attributes != attributes {
            let old = self.stored_postings(stored)?;
            let new = self.postings(&record.search_attributes)?;
            for (attribute, value) in old.difference(&new) {
                self.unpost
                    .execute(params![attribute, stored.scope, value, stored.id])?;
            }
            for (attribute, value) in new.difference(&old) {
                self.post
                    .execute(params![attribute, stored.scope, value, stored.id])?;
            }
        }
        Ok(())
    }

    fn delete(&mut self, namespace: NamespaceId, run: RunId, version: u64) -> rusqlite::Result<()> {
        match self.stored((namespace, run))? {
            Some(stored) if stored.version >= version => return Ok(()),
            Some(stored) => self.remove(&stored)?,
            None => {}
        }
        self.gone.add((namespace, run), version);
        Ok(())
    }

    fn remove(&mut self, stored: &Stored) -> rusqlite::Result<()> {
        for (attribute, value) in self.stored_postings(stored)? {
            self.unpost
                .execute(params![attribute, stored.scope, value, stored.id])?;
        }
        self.remove.execute([stored.id])?;
        self.count(stored.scope, &stored.workflow_type, stored.status, -1);
        Ok(())
    }

    /// Removes some runs of the namespace; answers whether there may be more.
    fn delete_some(&mut self, namespace: NamespaceId) -> rusqlite::Result<bool> {
        let runs: Vec<[u8; 16]> = self
            .connection
            .prepare_cached(
                "SELECT e.run FROM scope s CROSS JOIN execution e INDEXED BY execution_by_order \
                 ON e.scope = s.id WHERE s.namespace = ? LIMIT ?",
            )?
            .query_map(params![namespace.as_bytes(), DELETE_STEP], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for run in &runs {
            if let Some(stored) = self.stored((namespace, RunId::from_bytes(*run)))? {
                self.remove(&stored)?;
            }
        }
        Ok(!runs.is_empty())
    }

    fn stored(&mut self, (namespace, run): (NamespaceId, RunId)) -> rusqlite::Result<Option<Stored>> {
        let mut rows = self.find.query([run.as_bytes()])?;
        while let Some(row) = rows.next()? {
            // A run's id is random, yet two namespaces may have the same one after an import.
            if row.get_ref(11)?.as_blob()? == namespace.as_bytes() {
                return Ok(Some(Stored {
                    id: row.get(0)?,
                    scope: row.get(1)?,
                    version: row.get::<_, i64>(2)?.cast_unsigned(),
                    status: row.get(3)?,
                    close_time: row.get(4)?,
                    start_time: row.get(5)?,
                    execution_time: row.get(6)?,
                    workflow_id: row.get(7)?,
                    workflow_type: row.get(8)?,
                    task_queue: row.get(9)?,
                    attributes: row.get(10)?,
                }));
            }
        }
        Ok(None)
    }

    fn attributes_json(&mut self, attributes: &SearchAttributes) -> rusqlite::Result<Option<String>> {
        attributes_json(attributes, |name, value_type| {
            self.dictionary.attribute(self.connection, name, value_type)
        })
    }

    fn stored_postings(&mut self, stored: &Stored) -> rusqlite::Result<BTreeSet<Posting>> {
        let Some(json) = &stored.attributes else {
            return Ok(BTreeSet::new());
        };
        let attributes = self.rows.attributes(self.connection, json)?;
        self.postings(&attributes)
    }

    /// Returns by what the run is found.
    fn postings(&mut self, attributes: &SearchAttributes) -> rusqlite::Result<BTreeSet<Posting>> {
        let mut postings = BTreeSet::new();
        for (name, value) in attributes.iter().filter(|(name, _)| *name != DIVISION) {
            let attribute = self
                .dictionary
                .attribute(self.connection, name, value.value_type())?;
            let mut post = |value| {
                postings.insert((attribute, value));
            };
            match value {
                SearchValue::Keyword(text) => post(PostedValue::Text(text.clone())),
                SearchValue::Int(number) => post(PostedValue::Int(*number)),
                SearchValue::Double(number) => post(PostedValue::Int(ordered_bits(*number))),
                SearchValue::Bool(flag) => post(PostedValue::Int(i64::from(*flag))),
                SearchValue::Datetime(datetime) => post(PostedValue::Int(datetime.time().nanos())),
                SearchValue::KeywordList(items) => {
                    items
                        .iter()
                        .for_each(|item| post(PostedValue::Text(item.clone())));
                }
                SearchValue::Text(text) => words(text).for_each(|word| post(PostedValue::Text(word))),
            }
        }
        Ok(postings)
    }

    fn count(&mut self, scope: i64, workflow_type: &str, status: i32, change: i64) {
        *self
            .tally
            .entry((scope, workflow_type.to_owned(), status))
            .or_default() += change;
    }

    /// Writes the tallies.
    fn finish(self) -> rusqlite::Result<()> {
        let mut add = self.connection.prepare_cached(
            "INSERT INTO tally (scope, workflow_type, status, runs) VALUES (?, ?, ?, ?) \
             ON CONFLICT DO UPDATE SET runs = runs + excluded.runs RETURNING runs",
        )?;
        let mut remove = self
            .connection
            .prepare_cached("DELETE FROM tally WHERE scope = ? AND workflow_type = ? AND status = ?")?;
        for ((scope, workflow_type, status), change) in self.tally {
            if change == 0 {
                continue;
            }
            let runs: i64 = add.query_row(params![scope, workflow_type, status, change], |row| row.get(0))?;
            if runs == 0 {
                remove.execute(params![scope, workflow_type, status])?;
            }
        }
        Ok(())
    }
}

impl Stored {
    /// Whether what never changes of a run is what the record has.
    fn has_lasting_parts_of(&self, record: &Record) -> bool {
        self.start_time == record.start_time.nanos()
            && self.execution_time == record.execution_time.nanos()
            && self.workflow_type == record.workflow_type
            && self.task_queue == record.task_queue
            && self.workflow_id == record.workflow_id.as_str()
    }
}

/// The columns of a run's end.
struct Closing {
    time: i64,
    duration: Option<i64>,
    history_length: Option<i64>,
    history_size: Option<i64>,
    state_transitions: Option<i64>,
}

impl Closing {
    fn of(close: Option<&Close>) -> Self {
        Self {
            time: close.map_or(OPEN, |close| close.time.nanos().min(OPEN - 1)),
            duration: close.map(Close::execution_duration_nanos),
            history_length: close.map(|close| close.history_length),
            history_size: close.map(|close| close.history_size_bytes),
            state_transitions: close.map(|close| close.state_transition_count),
        }
    }
}

fn memo(record: &Record) -> Option<&[u8]> {
    (!record.memo.is_empty()).then(|| record.memo.as_ref())
}
