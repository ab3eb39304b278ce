//! Kills a process that commits, opens what it left, and compares it with what it had acknowledged.
//!
//! The test starts itself as a child. The child commits from many shards and prints each acknowledged batch; the
//! parent kills it (or a limit on file size stands for a full disk), opens the directory and checks that every
//! shard holds exactly the rows of one batch number, and none below the last one printed.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write as _},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    sync::Arc,
};

use bytes::Bytes;
use perdure_storage::{
    batch::{Batch, HistoryKey, HistoryNode, Table, Write},
    config::{EmbeddedConfig, Size},
    embedded::EmbeddedStore,
    error::CommitError,
    shard::{HistoryRange, ShardStore},
};
use proto::ids::{NamespaceId, NodeId, RunId, ShardId};

const CHILD: &str = "PERDURE_CRASH_CHILD";
const SEED: &str = "PERDURE_SEED";
const SHARDS: u32 = 24;
const KILLS: u64 = 5;
/// Batches whose task and wake-up are still there; older ones have been removed.
const OPEN: u64 = 3;

fn main() -> ExitCode {
    if let Ok(directory) = std::env::var(CHILD) {
        return block_on(child(Path::new(&directory)));
    }
    let seed = match std::env::var(SEED) {
        Ok(text) => text.parse().expect("read PERDURE_SEED"),
        Err(_) => std::time::UNIX_EPOCH
            .elapsed()
            .map_or(0, |time| time.as_nanos() as u64),
    };
    say(&format!("crash test with {SEED}={seed}"));
    killed(seed);
    disk_full();
    ExitCode::SUCCESS
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).expect("print");
    out.flush().expect("print");
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("make runtime");
    runtime.block_on(future)
}

/// Small tables, so that the engine writes and merges some while it is killed.
fn config() -> EmbeddedConfig {
    EmbeddedConfig {
        write_buffer: Size::mib(4),
        ..EmbeddedConfig::default()
    }
}

fn value(number: u64) -> Bytes {
    let words = 3 + number * 991 % 500;
    number.to_be_bytes().repeat(words as usize).into()
}

fn history(shard: ShardId) -> HistoryKey {
    let mut run = [0; 16];
    run[..4].copy_from_slice(&shard.0.to_be_bytes());
    HistoryKey {
        namespace_id: NamespaceId::from_bytes([1; 16]),
        run_id: RunId::from_bytes(run),
    }
}

/// What batch `number` writes; `expected` says what a shard holds after it.
fn batch(shard: ShardId, number: u64) -> Batch {
    let key = |number: u64| Bytes::copy_from_slice(&number.to_be_bytes());
    let put = |table, key| Write {
        table,
        key,
        value: Some(value(number)),
    };
    let mut writes = vec![
        put(Table::Run, Bytes::from_static(b"state")),
        put(Table::Current, key(number % 10)),
        put(Table::Ready, key(number)),
        put(Table::Wakeup, key(number)),
    ];
    if number > OPEN {
        for table in [Table::Ready, Table::Wakeup] {
            writes.push(Write {
                table,
                key: key(number - OPEN),
                value: None,
            });
        }
    }
    let node = HistoryNode {
        history: history(shard),
        first_event_id: number as i64,
        events: value(number),
    };
    Batch {
        number,
        writes,
        history: vec![node],
        ..Batch::default()
    }
}

fn expected(table: Table, last: u64) -> BTreeMap<Bytes, Bytes> {
    let key = |number: u64| Bytes::copy_from_slice(&number.to_be_bytes());
    let open = || (last.saturating_sub(OPEN) + 1..=last).map(|number| (key(number), value(number)));
    match table {
        Table::Run => (last > 0)
            .then(|| (Bytes::from_static(b"state"), value(last)))
            .into_iter()
            .collect(),
        Table::Current => (1..=last)
            .map(|number| (key(number % 10), value(number)))
            .collect(),
        Table::Ready | Table::Wakeup => open().collect(),
        Table::Outbox | Table::Closed => BTreeMap::new(),
    }
}

/// Commits from all shards until it is killed or the disk is full.
async fn child(directory: &Path) -> ExitCode {
    let store = match EmbeddedStore::open(directory, &child_config()) {
        Ok(store) => store,
        Err(error) => {
            say(&format!("open failed: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let shards: Vec<_> = (0..SHARDS)
        .map(|shard| tokio::spawn(commit_for_ever(Arc::clone(&store), ShardId(shard))))
        .collect();
    for shard in shards {
        shard.await.expect("shard");
    }
    // Every commit has failed by now, so the store must refuse the rest.
    let refused = store.load(ShardId(0), Table::Run, b"state").await.is_err();
    let refused = refused && store.acquire(ShardId(0), &owner()).await.is_err();
    if refused {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// With a limit on file size the journal must reach it before the engine starts another one.
fn child_config() -> EmbeddedConfig {
    let full = std::env::var("PERDURE_CRASH_FULL").is_ok();
    if full {
        EmbeddedConfig {
            write_buffer: Size::mib(1024),
            ..config()
        }
    } else {
        config()
    }
}

fn owner() -> NodeId {
    NodeId {
        name: "child".into(),
        generation: 1,
    }
}

async fn commit_for_ever(store: Arc<EmbeddedStore>, shard: ShardId) {
    let Ok(lease) = store.acquire(shard, &owner()).await else {
        return;
    };
    for number in lease.batch + 1.. {
        match store.commit(&lease, batch(shard, number)).await {
            Ok(()) => say(&format!("{shard} {number}")),
            Err(CommitError::GaveUp(_)) => return,
            Err(CommitError::Fenced) => panic!("shard {shard} was fenced"),
        }
    }
}

/// What the child said: the last batch of each shard that it acknowledged.
type Acknowledged = BTreeMap<u32, u64>;

fn listen(child: &mut Child, acknowledged: &mut Acknowledged, mut stop: impl FnMut(&mut Child, usize)) {
    let lines = BufReader::new(child.stdout.take().expect("child's output")).lines();
    for (count, line) in lines.enumerate() {
        let line = line.expect("read child's output");
        // The last line may be cut by the kill.
        let Some((Ok(shard), Ok(number))) = line
            .split_once(' ')
            .map(|(shard, number)| (shard.parse(), number.parse::<u64>()))
        else {
            assert!(!line.contains("failed"), "{line}");
            continue;
        };
        let last: &mut u64 = acknowledged.entry(shard).or_default();
        *last = number.max(*last);
        stop(child, count);
    }
}

async fn check(directory: &Path, acknowledged: &Acknowledged) -> u64 {
    let store = EmbeddedStore::open(directory, &config()).expect("open");
    let mut unanswered = 0;
    for shard in (0..SHARDS).map(ShardId) {
        let last = store.acquire(shard, &owner()).await.expect("acquire").batch;
        let known = acknowledged.get(&shard.0).copied().unwrap_or(0);
        // One batch may have landed and not been printed; the next one is sent only after that.
        assert!(
            (known..=known + 1).contains(&last),
            "shard {shard}: {last} found, {known} acknowledged"
        );
        unanswered += last - known;
        for table in Table::ALL {
            let rows = store
                .scan(shard, table, b"", None, usize::MAX)
                .await
                .expect("scan");
            let found: BTreeMap<_, _> = rows.into_iter().map(|row| (row.key, row.value)).collect();
            assert!(
                found == expected(table, last),
                "shard {shard}: {table:?} is not that of batch {last}"
            );
        }
        let range = HistoryRange {
            history: history(shard),
            from_event_id: 1,
            to_event_id: i64::MAX,
            reverse: false,
            max_nodes: usize::MAX,
            max_bytes: usize::MAX,
        };
        let nodes = store.history(shard, range).await.expect("history");
        let found: Vec<_> = nodes
            .into_iter()
            .map(|node| (node.first_event_id as u64, node.events))
            .collect();
        assert!(
            found
                == (1..=last)
                    .map(|number| (number, value(number)))
                    .collect::<Vec<_>>(),
            "history of {shard}"
        );
    }
    store.close().await;
    unanswered
}

fn start(command: &mut Command, directory: &Path) -> Child {
    command
        .env(CHILD, directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start child")
}

fn killed(seed: u64) {
    let directory = tempfile::tempdir().expect("make directory");
    let mut acknowledged = Acknowledged::new();
    let mut random = seed;
    for round in 1..=KILLS {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let kill_at = 200 + (random >> 33) as usize % 1500;
        let program = std::env::current_exe().expect("find this program");
        let mut child = start(&mut Command::new(program), directory.path());
        listen(&mut child, &mut acknowledged, |child, count| {
            if count == kill_at {
                child.kill().expect("kill child");
            }
        });
        assert!(
            !child.wait().expect("wait for child").success(),
            "child ended by itself"
        );
        let unanswered = block_on(check(directory.path(), &acknowledged));
        let total: u64 = acknowledged.values().sum();
        say(&format!(
            "round {round}: killed after {kill_at}, {total} acknowledged in all, {unanswered} more landed"
        ));
    }
}

/// A write that fails must poison the store, and lose nothing that was acknowledged before it.
#[cfg(unix)]
fn disk_full() {
    let directory = tempfile::tempdir().expect("make directory");
    let mut acknowledged = Acknowledged::new();
    let program = std::env::current_exe().expect("find this program");
    let mut shell = Command::new("sh");
    // In blocks of 512 bytes: 70 MiB, a little more than the engine gives a journal at once.
    shell
        .args(["-c", "trap '' XFSZ; ulimit -f 143360; exec \"$0\""])
        .arg(program)
        .env("PERDURE_CRASH_FULL", "1");
    let mut child = start(&mut shell, directory.path());
    listen(&mut child, &mut acknowledged, |_, _| {});
    assert!(
        child.wait().expect("wait for child").success(),
        "child did not see the disk full"
    );
    let unanswered = block_on(check(directory.path(), &acknowledged));
    let total: u64 = acknowledged.values().sum();
    say(&format!(
        "disk full after {total} acknowledged, {unanswered} more landed"
    ));
}

#[cfg(not(unix))]
fn disk_full() {}
