//! Watch: stops a read that takes too long, or whose caller has gone.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use rusqlite::Connection;

use super::super::{error::VisibilityError, limits::READ_TIME_MAX};

/// SQLite's instructions between two looks.
const INSTRUCTIONS: i32 = 20_000;

/// Whether a call's caller has gone. The caller holds the guard and lets it go with its future.
#[derive(Clone, Debug, Default)]
pub(super) struct Abandoned(Arc<AtomicBool>);

/// Tells the thread that has the call when it is dropped.
pub(super) struct Guard(Abandoned);

impl Abandoned {
    pub(super) fn guard(&self) -> Guard {
        Guard(self.clone())
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// The read that a connection does at the moment.
pub(super) struct Watch(Arc<Mutex<Option<Watched>>>);

struct Watched {
    since: Instant,
    abandoned: Abandoned,
}

impl Watch {
    /// Watches the connection.
    pub(super) fn set_on(connection: &Connection) -> rusqlite::Result<Self> {
        let watched: Arc<Mutex<Option<Watched>>> = Arc::default();
        let seen = Arc::clone(&watched);
        let must_stop = move || {
            let watched = seen.lock().unwrap_or_else(PoisonError::into_inner);
            watched
                .as_ref()
                .is_some_and(|read| read.since.elapsed() > READ_TIME_MAX || read.abandoned.is_set())
        };
        connection.progress_handler(INSTRUCTIONS, Some(must_stop))?;
        Ok(Self(watched))
    }

    /// Does the read unless its caller has gone.
    pub(super) fn over<T>(
        &self,
        abandoned: Abandoned,
        read: impl FnOnce() -> Result<T, VisibilityError>,
    ) -> Result<T, VisibilityError> {
        if abandoned.is_set() {
            return Err(VisibilityError::Busy);
        }
        self.set(Some(Watched {
            since: Instant::now(),
            abandoned,
        }));
        let result = read();
        self.set(None);
        result
    }

    fn set(&self, watched: Option<Watched>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = watched;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A query that would run for hours.
    fn endless(connection: &Connection) -> Result<i64, VisibilityError> {
        let sql = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT count(*) FROM n";
        Ok(connection.query_row(sql, [], |row| row.get(0))?)
    }

    #[test]
    fn a_read_stops_when_its_caller_goes() {
        let connection = Connection::open_in_memory().expect("open");
        let watch = Watch::set_on(&connection).expect("watch");
        let abandoned = Abandoned::default();
        let guard = abandoned.guard();
        let stopped = watch.over(abandoned.clone(), || {
            drop(guard);
            endless(&connection)
        });
        assert_eq!(
            stopped,
            Err(VisibilityError::Unavailable("query took too long".to_owned()))
        );
        // The connection is good for the next read, and a read whose caller has gone does not begin.
        assert_eq!(
            watch.over(Abandoned::default(), || Ok(connection.query_row(
                "SELECT 7",
                [],
                |row| row.get(0)
            )?)),
            Ok(7)
        );
        assert_eq!(
            watch.over(abandoned, || endless(&connection)),
            Err(VisibilityError::Busy)
        );
    }
}
