//! Writers: who could write each shard, and what came of it, as the store keeps it. Reads only: for whoever holds a
//! cluster against what it promises.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use proto::ids::ShardId;
use scylla::{client::session::Session, deserialize::row::DeserializeRow, response::PagingState};

use super::{
    OpenError,
    config::CassandraConfig,
    landed::{EPOCHS, number},
    link::{connect, refused},
    rows::{rows, typed, unsigned},
};

/// The writers of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writers {
    /// The newest epoch, and the last batch that has landed.
    pub epoch: u64,
    pub batch: u64,
    /// Each epoch, and the last batch that had landed when it began.
    pub begun: BTreeMap<u64, u64>,
    /// Epochs and batches for which rows were written outside the shard's partition, landed or not.
    pub marks: BTreeSet<(u64, u64)>,
}

impl Writers {
    /// Returns the last batch that can have landed under the epoch.
    #[must_use]
    pub fn last_of(&self, epoch: u64) -> u64 {
        let next = self.begun.range(epoch + 1..).next();
        next.map_or(self.batch, |(_, last)| *last)
    }
}

/// Reads the writers of all shards. What is written meanwhile may be there or not.
///
/// # Errors
///
/// The cluster is not reached, or what it keeps is malformed.
pub async fn read(config: &CassandraConfig) -> Result<BTreeMap<ShardId, Writers>, OpenError> {
    let session = connect(config).await?;
    let keyspace = &config.keyspace;
    let mut all: BTreeMap<ShardId, Writers> = BTreeMap::new();
    // Before the fences, so that no mark is newer than what is known of its shard.
    let marks = format!("SELECT shard, epoch, number FROM {keyspace}.run_data");
    for (shard, epoch, batch) in all_rows::<(i32, i64, i64)>(&session, &marks).await? {
        let writers = all.entry(id(shard)).or_default();
        writers.marks.insert((unsigned(epoch), unsigned(batch)));
    }
    let fences = format!("SELECT DISTINCT shard, epoch, number FROM {keyspace}.shard");
    for (shard, epoch, batch) in all_rows::<(i32, Option<i64>, Option<i64>)>(&session, &fences).await? {
        let writers = all.entry(id(shard)).or_default();
        writers.epoch = unsigned(epoch.unwrap_or(0));
        writers.batch = unsigned(batch.unwrap_or(0));
    }
    for (shard, writers) in &mut all {
        let shard = shard.0.cast_signed();
        let epochs =
            format!("SELECT key, value FROM {keyspace}.shard WHERE shard = {shard} AND kind = {EPOCHS}");
        for (epoch, last) in all_rows::<(Vec<u8>, Vec<u8>)>(&session, &epochs).await? {
            let read = |bytes: &[u8]| number(bytes).map_err(|error| refused("read epochs", &error));
            writers.begun.insert(read(&epoch)?, read(&last)?);
        }
    }
    Ok(all)
}

/// Reads all that the statement finds, page by page.
async fn all_rows<R>(session: &Session, text: &str) -> Result<Vec<R>, OpenError>
where
    R: for<'frame> DeserializeRow<'frame, 'frame>,
{
    let mut state = PagingState::start();
    let mut found = Vec::new();
    loop {
        let page = session.query_single_page(text, (), state).await;
        let (result, next) = page.map_err(|error| refused(text, &error))?;
        let result = rows(result).map_err(|error| refused(text, &error))?;
        found.extend(typed::<R>(&result).map_err(|error| refused(text, &error))?);
        match next.into_paging_control_flow() {
            ControlFlow::Continue(next) => state = next,
            ControlFlow::Break(()) => return Ok(found),
        }
    }
}

fn id(shard: i32) -> ShardId {
    ShardId(shard.cast_unsigned())
}
