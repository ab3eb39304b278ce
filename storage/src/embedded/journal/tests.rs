//! Journals spoilt byte by byte: an acknowledged commit is never missing from a store that opens.

use super::*;
use crate::{
    batch::{Batch, HistoryKey, HistoryNode, Table, Write},
    config::EmbeddedConfig,
    embedded::{EmbeddedStore, mark::Mark},
    shard::ShardStore,
};
use bytes::Bytes;
use proto::ids::{NamespaceId, NodeId, RunId, ShardId};

const COMMITS: u64 = 4;
/// One group for the lease, one for each commit.
const LAST: u64 = COMMITS + 1;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn owner() -> NodeId {
    NodeId {
        name: "a".into(),
        generation: 1,
    }
}

/// A commit whose bytes look like the journal's own and like its empty end.
fn batch(number: u64) -> Batch {
    let value = [
        b"FJL\x03".as_slice(),
        &[number as u8; 40],
        &[0; 90],
        b"FJL\x03\x01",
    ]
    .concat();
    let put = |table| Write {
        table,
        key: number.to_be_bytes().to_vec().into(),
        value: Some(Bytes::from(value.clone())),
    };
    let history = HistoryKey {
        namespace_id: NamespaceId::from_bytes([1; 16]),
        run_id: RunId::from_bytes([2; 16]),
    };
    let node = HistoryNode {
        history,
        first_event_id: number as i64,
        events: Bytes::from(value.clone()),
    };
    Batch {
        number,
        writes: vec![put(Table::Run), put(Table::Outbox)],
        history: vec![node],
        ..Batch::default()
    }
}

struct Sample {
    directory: tempfile::TempDir,
    /// The bytes of the journal, without the zeros behind them.
    journal: Vec<u8>,
    /// Where each of our commits begins, the lease first, and where the last one ends.
    starts: Vec<usize>,
}

impl Sample {
    fn path(&self) -> PathBuf {
        self.directory.path().join("database/0.jnl")
    }

    fn restore(&self, bytes: &[u8]) {
        std::fs::write(self.path(), bytes).unwrap();
    }

    fn check(&self, acknowledged: u64) -> Result<(), OpenError> {
        check(
            self.directory.path(),
            &self.directory.path().join("database"),
            acknowledged,
        )
    }
}

fn sample() -> Sample {
    let directory = tempfile::tempdir().unwrap();
    block_on(async {
        let store = EmbeddedStore::open(directory.path(), &EmbeddedConfig::default()).unwrap();
        let lease = store.acquire(ShardId(1), &owner()).await.unwrap();
        for number in 1..=COMMITS {
            store.commit(&lease, batch(number)).await.unwrap();
        }
        store.close().await;
    });
    let path = directory.path().join("database/0.jnl");
    let mut source = Source::open(&path).unwrap();
    let mut starts = Vec::new();
    loop {
        let start = source.at as usize;
        match source.commit() {
            Ok(None) => {}
            Ok(Some(_)) => starts.push(start),
            Err(_) => {
                starts.push(start);
                break;
            }
        }
    }
    let mut journal = std::fs::read(&path).unwrap();
    journal.truncate(*starts.last().unwrap());
    assert_eq!(starts.len() as u64, LAST + 1);
    Sample {
        directory,
        journal,
        starts,
    }
}

#[test]
fn any_changed_byte_of_an_acknowledged_commit_is_refused_and_left_as_it_is() {
    let sample = sample();
    let last = sample.starts[COMMITS as usize];
    // Nothing covers the high bytes of the last seqno, and a gap before it does no harm.
    let last_seqno = last + 5..last + 13;
    for at in (sample.starts[0]..sample.journal.len()).filter(|at| !last_seqno.contains(at)) {
        let mut bytes = sample.journal.clone();
        bytes[at] ^= 0x41;
        sample.restore(&bytes);
        let refused = sample.check(LAST);
        assert!(
            matches!(
                refused,
                Err(OpenError::Damaged { .. } | OpenError::Truncated { .. })
            ),
            "byte {at}: {refused:?}"
        );
        assert_eq!(std::fs::read(sample.path()).unwrap(), bytes, "byte {at}");
    }
}

#[test]
fn any_part_of_a_commit_under_way_is_cut_off() {
    let sample = sample();
    let last = sample.starts[COMMITS as usize];
    let before = &sample.journal[..last];
    for at in last..sample.journal.len() {
        let cut = sample.journal[..at].to_vec();
        let zeros_to_the_end = [&cut[..], &vec![0; 5000]].concat();
        let mut zeros_inside = sample.journal.clone();
        zeros_inside[at..(at + 30).min(sample.journal.len())].fill(0);
        for bytes in [cut, zeros_to_the_end, zeros_inside] {
            sample.restore(&bytes);
            sample.check(LAST - 1).unwrap();
            let left = std::fs::read(sample.path()).unwrap();
            let whole = left.starts_with(&sample.journal);
            let zeros = left.starts_with(before) && left[last..].iter().all(|byte| *byte == 0);
            assert!(whole || zeros, "byte {at}: {} bytes left", left.len());
        }
    }
}

/// Opens the directory and reads what batches left in it. Returns the last batch's number, or the error.
fn opened(sample: &Sample) -> String {
    let store = match EmbeddedStore::open(sample.directory.path(), &EmbeddedConfig::default()) {
        Ok(store) => store,
        Err(error) => return error.to_string(),
    };
    block_on(async {
        let last = store.acquire(ShardId(1), &owner()).await.unwrap().batch;
        for number in 1..=COMMITS {
            let row = store
                .load(ShardId(1), Table::Run, &number.to_be_bytes())
                .await
                .unwrap();
            assert_eq!(
                row,
                batch(number).writes[0].value.clone().filter(|_| number <= last)
            );
        }
        format!("opens at batch {last}")
    })
}

#[test]
fn opens_with_all_that_was_acknowledged_or_not_at_all() {
    let sample = sample();
    let journal = &sample.journal;
    let at = |commit: u64, offset: usize| sample.starts[commit as usize] + offset;
    let cut = |end: usize| journal[..end].to_vec();
    let changed = |at: usize| {
        let mut bytes = journal.clone();
        bytes[at] ^= 1;
        bytes
    };
    let lost = "ends at commit 4, but commit 5 was acknowledged";
    // the journal, the mark, the last batch or the error
    let cases = [
        ("whole", cut(journal.len()), LAST, "opens at batch 4"),
        ("whole, mark behind", cut(journal.len()), 1, "opens at batch 4"),
        ("last commit gone", cut(at(COMMITS, 0)), LAST, lost),
        ("last commit torn", cut(at(COMMITS, 99)), LAST, lost),
        (
            "last commit torn, not acknowledged",
            cut(at(COMMITS, 99)),
            LAST - 1,
            "opens at batch 3",
        ),
        (
            "last commit spoilt, not acknowledged",
            changed(at(COMMITS, 200)),
            LAST - 1,
            "opens at batch 3",
        ),
        ("tag spoilt in the middle", changed(at(2, 0)), LAST, "damaged"),
        ("value spoilt in the middle", changed(at(2, 120)), LAST, "damaged"),
        (
            "value spoilt in the middle, mark behind",
            changed(at(2, 120)),
            1,
            "damaged",
        ),
        (
            "empty",
            Vec::new(),
            LAST,
            "ends at commit 0, but commit 5 was acknowledged",
        ),
    ];
    for (name, bytes, acknowledged, expected) in cases {
        sample.restore(&bytes);
        Mark::create(sample.directory.path(), acknowledged).unwrap();
        let found = opened(&sample);
        assert!(found.contains(expected), "{name}: {found}");
    }
}

#[test]
fn a_missing_journal_is_noticed() {
    let sample = sample();
    let directory = sample.directory.path().join("database");
    let split = sample.starts[3];
    std::fs::write(directory.join("0.jnl"), &sample.journal[..split]).unwrap();
    std::fs::write(directory.join("1.jnl"), &sample.journal[split..]).unwrap();
    sample.check(LAST).unwrap();
    std::fs::write(directory.join("1.jnl"), &sample.journal[sample.starts[4]..]).unwrap();
    let refused = sample.check(LAST).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    // Only the newest journal may end in a commit that was under way.
    std::fs::write(directory.join("0.jnl"), &sample.journal[..split - 1]).unwrap();
    std::fs::write(directory.join("1.jnl"), &sample.journal[split..]).unwrap();
    let refused = sample.check(LAST).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
}
