//! Queues: the queues of this node, which start when they are wanted and go when they are idle.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use matching::handle::{Ended, Hooks, QueueHandle, QueueNotice};
use proto::ids::QueueKey;
use shard::input::Input;
use tokio::sync::mpsc;

use crate::{
    router::{Router, now},
    threads::Threads,
};

/// The queues of this node.
pub(crate) struct Queues {
    handles: RwLock<HashMap<QueueKey, QueueHandle>>,
    threads: Threads,
    config: Arc<matching::config::Config>,
    notices: mpsc::Sender<QueueNotice>,
    /// Dispatch rates that clients have set, tasks a second; a queue that starts takes its own up.
    rates: RwLock<HashMap<QueueKey, f64>>,
}

impl Queues {
    pub(crate) fn new(
        threads: Threads,
        config: Arc<matching::config::Config>,
        notices: mpsc::Sender<QueueNotice>,
    ) -> Self {
        Self {
            handles: RwLock::default(),
            threads,
            config,
            notices,
            rates: RwLock::default(),
        }
    }

    /// Sets the dispatch rate of a queue, whether it is there or starts later; `None` unsets it.
    pub(crate) fn set_rate(&self, key: &QueueKey, rate: Option<f64>) {
        // The queues before the rates, as where a queue starts; held until the queue is told, so that of two changes
        // the later one is told last.
        let handles = self.handles.read().unwrap_or_else(PoisonError::into_inner);
        let mut rates = self.rates.write().unwrap_or_else(PoisonError::into_inner);
        match rate {
            Some(rate) => rates.insert(key.clone(), rate),
            None => rates.remove(key),
        };
        if let Some(handle) = handles.get(key) {
            handle.set_rate(rate);
        }
    }

    /// Returns the queue, which starts if it is not there.
    pub(crate) fn find(&self, key: &QueueKey, router: &Router) -> QueueHandle {
        if let Some(handle) = self
            .handles
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            && handle.is_alive()
        {
            return handle.clone();
        }
        let mut handles = self.handles.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = handles.get(key)
            && handle.is_alive()
        {
            return handle.clone();
        }
        let handle = self.start(key, router);
        handles.insert(key.clone(), handle.clone());
        handle
    }

    fn start(&self, key: &QueueKey, router: &Router) -> QueueHandle {
        let namespaces = router.namespaces();
        let namespace = namespaces.find(key.namespace_id);
        let weak = Arc::downgrade(&router.0);
        let hooks = Hooks {
            clock: Arc::new(now),
            notices: self.notices.clone(),
            metrics: Arc::clone(&router.0.metrics.queues),
            namespace: namespace.map_or_else(|| "".into(), |entry| entry.namespace.name.as_str().into()),
            ended: Box::new(move |queue, ended| {
                if let (Some(inner), Ended::Panicked) = (weak.upgrade(), ended) {
                    let shards = Arc::clone(&inner.shards.borrow());
                    for handle in shards.values() {
                        drop(handle.tell(Input::QueueMoved { queue: queue.clone() }));
                    }
                }
            }),
        };
        let arbiter = self.threads.of_queue(key);
        let handle = matching::actor::start(arbiter, key.clone(), &self.config, hooks);
        let rates = self.rates.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(rate) = rates.get(key) {
            handle.set_rate(Some(*rate));
        }
        handle
    }

    pub(crate) fn all(&self) -> Vec<(QueueKey, QueueHandle)> {
        let handles = self.handles.read().unwrap_or_else(PoisonError::into_inner);
        let one = |(key, handle): (&QueueKey, &QueueHandle)| (key.clone(), handle.clone());
        handles.iter().map(one).collect()
    }

    /// Takes those out that are meant.
    pub(crate) fn take_all(&self, meant: impl Fn(&QueueKey) -> bool) -> Vec<QueueHandle> {
        let mut handles = self.handles.write().unwrap_or_else(PoisonError::into_inner);
        handles
            .extract_if(|key, _| meant(key))
            .map(|(_, handle)| handle)
            .collect()
    }

    /// Lets a queue go that has had nothing to do.
    pub(crate) fn drop_idle(&self, key: &QueueKey) {
        self.handles
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }

    pub(crate) fn clear(&self) {
        self.handles
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}
