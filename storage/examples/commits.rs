//! Measures the embedded store: commits per second, their latency, syncs and processor time, by shards at once.
//!
//! `cargo run --release -p perdure-storage --example commits -- DIRECTORY SECONDS SHARDS...`
//! The variable `CONFIG` may hold an `EmbeddedConfig` as JSON.
#![expect(clippy::print_stdout, reason = "a measuring tool")]

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use perdure_storage::{
    batch::{Batch, HistoryKey, HistoryNode, Table, Write},
    config::EmbeddedConfig,
    embedded::EmbeddedStore,
    shard::{HistoryRange, ShardStore},
};
use proto::ids::{NamespaceId, NodeId, RunId, ShardId};

const WORKFLOWS: u64 = 1000;

fn bytes(seed: u64, length: usize) -> Bytes {
    // Half of it does not repeat, as payloads do.
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let random = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    });
    random
        .take(length / 2)
        .chain(std::iter::repeat_n(b'a', length - length / 2))
        .collect()
}

fn key(prefix: &str, number: u64) -> Bytes {
    Bytes::from(format!("{prefix}-{number:032}"))
}

fn history(shard: ShardId, workflow: u64) -> HistoryKey {
    let mut run = [0; 16];
    run[..4].copy_from_slice(&shard.0.to_le_bytes());
    run[8..].copy_from_slice(&workflow.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    HistoryKey {
        namespace_id: NamespaceId::from_bytes([1; 16]),
        run_id: RunId::from_bytes(run),
    }
}

/// One transition of one run: its state, a history node, and two queue rows that the one after next removes; a
/// fifth of them start a workflow.
fn transition(shard: ShardId, number: u64) -> Batch {
    let workflow = number % WORKFLOWS;
    let put = |table, key, value| Write {
        table,
        key,
        value: Some(value),
    };
    let mut writes = vec![
        put(Table::Run, key("run", workflow), bytes(number, 1500)),
        put(Table::Ready, key("task", number), bytes(number, 60)),
        put(Table::Wakeup, key("wake", number), bytes(number, 40)),
    ];
    if number > 2 {
        writes.push(Write {
            table: Table::Ready,
            key: key("task", number - 2),
            value: None,
        });
        writes.push(Write {
            table: Table::Wakeup,
            key: key("wake", number - 2),
            value: None,
        });
    }
    let history = history(shard, workflow);
    let first_event_id = (number / WORKFLOWS + 1) as i64;
    let node = HistoryNode {
        history,
        first_event_id,
        events: bytes(number, 600),
    };
    Batch {
        number,
        writes,
        history: vec![node],
        ..Batch::default()
    }
}

async fn work(store: Arc<EmbeddedStore>, shard: ShardId, until: Instant) -> Vec<Duration> {
    let owner = NodeId {
        name: "bench".into(),
        generation: 1,
    };
    let lease = store.acquire(shard, &owner).await.expect("acquire");
    let mut taken = Vec::new();
    for number in lease.batch + 1.. {
        let started = Instant::now();
        if started >= until {
            break;
        }
        store
            .commit(&lease, transition(shard, number))
            .await
            .expect("commit");
        taken.push(started.elapsed());
    }
    taken
}

fn processor_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|field| field.parse::<u64>().ok())
            .unwrap_or(0)
    };
    (ticks(11) + ticks(12)) * 10
}

fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "))
        .unwrap_or_default();
    line.parse().unwrap_or(0)
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}

fn config() -> EmbeddedConfig {
    let text = std::env::var("CONFIG").unwrap_or_else(|_| "{}".into());
    serde_json::from_str(&text).expect("read CONFIG")
}

async fn measure(directory: &Path, shards: u32, seconds: u64) {
    let started = Instant::now();
    let store = EmbeddedStore::open(directory, &config()).expect("open");
    let opened = started.elapsed();
    let fresh = resident_mb();
    let (before, processor, started) = (store.metrics().snapshot(), processor_ms(), Instant::now());
    let written = written_bytes();
    let until = started + Duration::from_secs(seconds);
    let tasks: Vec<_> = (0..shards)
        .map(|shard| tokio::spawn(work(Arc::clone(&store), ShardId(shard), until)))
        .collect();
    let mut taken = Vec::new();
    for task in tasks {
        taken.extend(task.await.expect("shard"));
    }
    let elapsed = started.elapsed().as_secs_f64();
    let counted = store.metrics().snapshot().since(&before);
    let processor = (processor_ms() - processor) * 1000;
    taken.sort_unstable();
    let at = |share: f64| taken[((taken.len() - 1) as f64 * share) as usize];
    println!(
        "{shards:4} shards: opened in {opened:.0?}, {:7.0} commits/s, {:5.1} us processor each, {:6.3} syncs each, {:6.0} us a sync, \
         p50 {:?} p99 {:?} max {:?}, {:.1} bytes written for each of ours, resident {fresh} -> {} MB",
        counted.commits as f64 / elapsed,
        processor as f64 / counted.commits as f64,
        counted.fsyncs as f64 / counted.commits as f64,
        counted.write_us as f64 / counted.groups as f64,
        at(0.5),
        at(0.99),
        at(1.0),
        (written_bytes() - written) as f64 / counted.bytes as f64,
        resident_mb(),
    );
    read(&store, shards).await;
    store.close().await;
}

/// Reads from the first shards what the writes left, and says what each kind of read takes in the mean.
async fn read(store: &EmbeddedStore, shards: u32) {
    const EACH: u64 = 200;
    let shards = shards.min(16);
    let mut taken = [Duration::ZERO; 4];
    for (shard, number) in (0..shards).flat_map(|shard| (0..EACH).map(move |number| (ShardId(shard), number)))
    {
        let mut started = Instant::now();
        let mut lap = |at: usize| taken[at] += std::mem::replace(&mut started, Instant::now()).elapsed();
        store
            .load(shard, Table::Run, &key("run", number))
            .await
            .expect("load");
        lap(0);
        store
            .load(shard, Table::Current, &key("currents", number))
            .await
            .expect("load");
        lap(1);
        store
            .scan(shard, Table::Ready, b"", None, 100)
            .await
            .expect("scan");
        lap(2);
        let range = HistoryRange {
            history: history(shard, number),
            from_event_id: 1,
            to_event_id: i64::MAX,
            reverse: false,
            max_nodes: 10,
            max_bytes: 1 << 20,
        };
        store.history(shard, range).await.expect("history");
        lap(3);
    }
    let [hit, miss, scan, history] =
        taken.map(|taken| taken.as_secs_f64() * 1e6 / f64::from(shards) / EACH as f64);
    println!(
        "     reads: run {hit:.1} us, absent row {miss:.1} us, ready tasks {scan:.1} us, history {history:.1} us"
    );
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().expect("give a directory");
    let seconds = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .expect("give seconds");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("make runtime");
    for shards in arguments.filter_map(|text| text.parse().ok()) {
        let directory = Path::new(&directory).join(format!("{shards}-shards"));
        runtime.block_on(measure(&directory, shards, seconds));
    }
}
