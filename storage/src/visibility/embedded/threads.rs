//! Threads: SQLite blocks, so its connections live on threads of their own, behind bounded queues.
//!
//! One thread writes. Reads have a few more, except in memory, where there is one connection for all.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use proto::ids::NamespaceId;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    super::{
        Count, Page, Update,
        error::VisibilityError,
        limits::{READ_QUEUE_MAX, TRANSACTION_UPDATES_MAX, WRITE_QUEUE_KIB_MAX, WRITE_QUEUE_MAX},
        query::{CountQuery, ListQuery},
        token::Position,
    },
    EmbeddedOptions,
    plan::Costs,
    reader::Reader,
    schema::{open_reader, open_writer},
    watch::{Abandoned, Watch},
    writer::Writer,
};

/// Where a call's answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, VisibilityError>>;

/// A call, on its way to a thread.
pub(super) enum Job {
    Apply {
        updates: Vec<Update>,
        waiting: Waiting,
    },
    DeleteNamespace {
        namespace: NamespaceId,
        reply: Reply<()>,
    },
    List {
        list: List,
        abandoned: Abandoned,
        reply: Reply<Page>,
    },
    Count {
        namespace: NamespaceId,
        query: CountQuery,
        abandoned: Abandoned,
        reply: Reply<Count>,
    },
}

/// The caller of `apply`.
pub(super) struct Waiting {
    reply: Reply<()>,
    /// What the updates take of the queue's bytes, until they are applied.
    _room: OwnedSemaphorePermit,
}

pub(super) struct List {
    pub(super) namespace: NamespaceId,
    pub(super) query: ListQuery,
    pub(super) page_size: usize,
    pub(super) after: Option<Position>,
}

/// The threads. Dropping it lets them finish what is queued, and waits for that.
#[derive(Debug)]
pub(super) struct Threads {
    writes: Option<SyncSender<Job>>,
    reads: Option<SyncSender<Job>>,
    /// KiB of updates that may still be queued.
    room: Arc<Semaphore>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Opens the file, or an index in memory without one.
    pub(super) fn open(
        path: Option<&Path>,
        options: &EmbeddedOptions,
        costs: Costs,
    ) -> Result<Self, VisibilityError> {
        let writer = Worker::new(open_writer(path, options.survive_power_loss)?, costs)?;
        let (writes, write_queue) = sync_channel(WRITE_QUEUE_MAX);
        let mut threads = Self {
            writes: Some(writes.clone()),
            reads: Some(writes),
            room: Arc::new(Semaphore::new(WRITE_QUEUE_KIB_MAX as usize)),
            handles: Vec::new(),
        };
        threads.spawn("visibility-write", move || writer.write(&write_queue))?;
        let Some(path) = path else {
            return Ok(threads);
        };
        let (reads, read_queue) = sync_channel(READ_QUEUE_MAX);
        let read_queue = Arc::new(Mutex::new(read_queue));
        for _ in 0..options.readers.get() {
            let (reader, queue) = (Worker::new(open_reader(path)?, costs)?, Arc::clone(&read_queue));
            threads.spawn("visibility-read", move || reader.read(&queue))?;
        }
        threads.reads = Some(reads);
        Ok(threads)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), VisibilityError> {
        let handle = thread::Builder::new().name(name.to_owned()).spawn(run);
        self.handles
            .push(handle.map_err(|error| VisibilityError::Unavailable(error.to_string()))?);
        Ok(())
    }

    /// Queues the updates, if there is room for their bytes.
    pub(super) fn apply(&self, updates: Vec<Update>, reply: Reply<()>) -> Result<(), VisibilityError> {
        let bytes: usize = updates.iter().map(Update::size).sum();
        // A call that is larger than all the room waits for nothing else to be queued.
        let kib =
            u32::try_from(bytes / 1024 + 1).map_or(WRITE_QUEUE_KIB_MAX, |kib| kib.min(WRITE_QUEUE_KIB_MAX));
        let room = Arc::clone(&self.room)
            .try_acquire_many_owned(kib)
            .map_err(|_| VisibilityError::Busy)?;
        self.write(Job::Apply {
            updates,
            waiting: Waiting { reply, _room: room },
        })
    }

    pub(super) fn write(&self, job: Job) -> Result<(), VisibilityError> {
        send(self.writes.as_ref(), job)
    }

    pub(super) fn read(&self, job: Job) -> Result<(), VisibilityError> {
        send(self.reads.as_ref(), job)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.writes = None;
        self.reads = None;
        for handle in self.handles.drain(..) {
            // A thread that panicked has told so, and its callers have seen their replies dropped.
            drop(handle.join());
        }
    }
}

fn send(queue: Option<&SyncSender<Job>>, job: Job) -> Result<(), VisibilityError> {
    let Some(queue) = queue else {
        return Err(stopped());
    };
    match queue.try_send(job) {
        Ok(()) => Ok(()),
        Err(TrySendError::Full(_)) => Err(VisibilityError::Busy),
        Err(TrySendError::Disconnected(_)) => Err(stopped()),
    }
}

/// The thread that had the call is gone.
pub(super) fn stopped() -> VisibilityError {
    VisibilityError::Unavailable("index stopped".to_owned())
}

/// One thread's connection and what it does with it.
struct Worker {
    connection: Connection,
    watch: Watch,
    writer: Writer,
    reader: Reader,
    /// Namespaces that are being deleted; a step at a time, so that other writes need not wait for all of it.
    deletions: VecDeque<(NamespaceId, Reply<()>)>,
}

impl Worker {
    fn new(connection: Connection, costs: Costs) -> Result<Self, VisibilityError> {
        let watch = Watch::set_on(&connection)?;
        let (writer, reader) = (Writer::default(), Reader::new(costs));
        Ok(Self {
            connection,
            watch,
            writer,
            reader,
            deletions: VecDeque::new(),
        })
    }

    /// Answers reads until there can be no more.
    fn read(mut self, queue: &Mutex<Receiver<Job>>) {
        loop {
            // Of the waiting threads one holds the lock; a panic elsewhere leaves the queue as it was.
            let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            match job {
                Ok(job) => self.run(job),
                Err(_) => return,
            }
        }
    }

    /// Answers writes, and reads in memory, until there can be no more.
    fn write(mut self, queue: &Receiver<Job>) {
        let mut next = None;
        loop {
            let job = match next.take() {
                Some(job) => job,
                None if self.deletions.is_empty() => match queue.recv() {
                    Ok(job) => job,
                    Err(_) => return,
                },
                None => match queue.try_recv() {
                    Ok(job) => job,
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => {
                        self.delete_some();
                        continue;
                    }
                },
            };
            match job {
                Job::Apply { updates, waiting } => next = self.apply(updates, waiting, queue),
                other => self.run(other),
            }
            self.delete_some();
        }
    }

    /// Applies the updates together with those that wait behind them; returns the job that it met there.
    fn apply(&mut self, mut updates: Vec<Update>, first: Waiting, queue: &Receiver<Job>) -> Option<Job> {
        let mut callers = vec![first];
        let mut next = None;
        while updates.len() < TRANSACTION_UPDATES_MAX {
            match queue.try_recv() {
                Ok(Job::Apply {
                    updates: more,
                    waiting,
                }) => {
                    updates.extend(more);
                    callers.push(waiting);
                }
                Ok(other) => {
                    next = Some(other);
                    break;
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        let result = self
            .writer
            .apply(&mut self.connection, &updates)
            .map_err(VisibilityError::from);
        for caller in callers {
            answer(caller.reply, result.clone());
        }
        next
    }

    fn run(&mut self, job: Job) {
        match job {
            Job::Apply { updates, waiting } => {
                let result = self.writer.apply(&mut self.connection, &updates);
                answer(waiting.reply, result.map_err(VisibilityError::from));
            }
            Job::DeleteNamespace { namespace, reply } => self.deletions.push_back((namespace, reply)),
            Job::List {
                list,
                abandoned,
                reply,
            } => {
                let Self {
                    connection,
                    reader,
                    watch,
                    ..
                } = self;
                let List {
                    namespace,
                    query,
                    page_size,
                    after,
                } = list;
                let page = watch.over(abandoned, || {
                    reader.list(connection, namespace, &query, page_size, after)
                });
                answer(reply, page);
            }
            Job::Count {
                namespace,
                query,
                abandoned,
                reply,
            } => {
                let Self {
                    connection,
                    reader,
                    watch,
                    ..
                } = self;
                answer(
                    reply,
                    watch.over(abandoned, || reader.count(connection, namespace, &query)),
                );
            }
        }
    }

    fn delete_some(&mut self) {
        let Some((namespace, reply)) = self.deletions.pop_front() else {
            return;
        };
        match self.writer.delete_some(&mut self.connection, namespace) {
            Ok(true) => answer(reply, Ok(())),
            Ok(false) => self.deletions.push_front((namespace, reply)),
            Err(error) => answer(reply, Err(error.into())),
        }
    }
}

/// Answers a caller, who may have gone.
fn answer<T>(reply: Reply<T>, result: Result<T, VisibilityError>) {
    drop(reply.send(result));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visibility::suite::open_run;

    #[test]
    fn a_full_queue_answers_busy() {
        let job = || {
            let (reply, _) = oneshot::channel();
            Job::DeleteNamespace {
                namespace: NamespaceId::from_bytes([1; 16]),
                reply,
            }
        };
        // No thread takes from this queue.
        let (writes, queue) = sync_channel(2);
        let threads = Threads {
            writes: Some(writes),
            reads: None,
            room: Arc::new(Semaphore::new(1)),
            handles: Vec::new(),
        };
        let answers: Vec<_> = (0..3).map(|_| threads.write(job())).collect();
        assert_eq!(answers, [Ok(()), Ok(()), Err(VisibilityError::Busy)]);
        let (reply, _) = oneshot::channel();
        let update = Update::Delete(Box::new(open_run(NamespaceId::from_bytes([1; 16]), 1, 1, 1)));
        // There are more bytes than there is room for, and no room is left behind.
        assert_eq!(
            threads.apply(vec![update; 100], reply),
            Err(VisibilityError::Busy)
        );
        assert_eq!(threads.room.available_permits(), 1);
        drop(queue);
        assert_eq!(threads.write(job()), Err(stopped()));
        assert_eq!(threads.read(job()), Err(stopped()));
    }
}
