//! Measures commits on Cassandra by their width, and where a small history is cheapest.
//!
//! `cargo run --release -p perdure-storage --features cassandra-tests --example cassandra_commits -- PORT PIDS COPIES [COMMITS]`
//!
//! PIDS are Cassandra's processes, divided by commas: their processor time is read from the system. One commit is in
//! flight. Each run of a commit writes a state of 1 KB and two small rows; its history of 400 bytes is left out,
//! written on its own before the batch, or rides in the batch as one more row.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring tool")]

use std::{
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use bytes::Bytes;
use perdure_storage::{
    batch::{Batch, HistoryKey, HistoryNode, Table, Write},
    cassandra::{CassandraStore, config::CassandraConfig},
    shard::{Lease, ShardStore},
};
use proto::ids::{NamespaceId, NodeId, RunId, ShardId};

const WIDTHS: [u64; 4] = [1, 10, 50, 200];
const STATE_BYTES: usize = 1000;
const HISTORY_BYTES: usize = 400;
/// Ticks of processor time in a second, as Linux counts for programs.
const TICKS: f64 = 100.0;

#[derive(Clone, Copy, Debug, PartialEq)]
enum History {
    None,
    Own,
    InBatch,
}

struct Measured {
    latencies: Vec<Duration>,
    cpu: f64,
}

fn bytes(seed: u64, length: usize) -> Bytes {
    // Half of it does not repeat, as payloads do.
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let random = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    });
    let half = length / 2;
    random.take(half).chain(std::iter::repeat_n(b'a', half)).collect()
}

fn batch(number: u64, width: u64, history: History) -> Batch {
    let mut batch = Batch {
        number,
        ..Batch::default()
    };
    for run in 0..width {
        let seed = number * 1000 + run;
        let mut put = |table, key: Vec<u8>, length| {
            batch.writes.push(Write {
                table,
                key: key.into(),
                value: Some(bytes(seed, length)),
            });
        };
        put(Table::Run, run.to_be_bytes().to_vec(), STATE_BYTES);
        put(Table::Ready, run.to_be_bytes().to_vec(), 60);
        put(Table::Wakeup, run.to_be_bytes().to_vec(), 40);
        match history {
            History::None => {}
            History::InBatch => {
                let key = [run.to_be_bytes(), number.to_be_bytes()].concat();
                put(Table::Outbox, key, HISTORY_BYTES);
            }
            History::Own => {
                let mut id = [0; 16];
                id[..8].copy_from_slice(&run.to_be_bytes());
                batch.history.push(HistoryNode {
                    history: HistoryKey {
                        namespace_id: NamespaceId::from_bytes([1; 16]),
                        run_id: RunId::from_bytes(id),
                    },
                    first_event_id: number.cast_signed(),
                    events: bytes(seed, HISTORY_BYTES),
                });
            }
        }
    }
    batch
}

/// Seconds of processor time that the processes have used.
fn cpu(pids: &[u32]) -> f64 {
    let ticks = pids.iter().map(|pid| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<_> = text.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
    });
    ticks.sum::<f64>() / TICKS
}

async fn measure(
    store: &CassandraStore,
    lease: &mut Lease,
    width: u64,
    history: History,
    commits: u64,
    pids: &[u32],
) -> Measured {
    let mut latencies = Vec::new();
    let before = cpu(pids);
    for _ in 0..commits {
        lease.batch += 1;
        let batch = batch(lease.batch, width, history);
        let begun = Instant::now();
        store.commit(lease, batch).await.unwrap();
        latencies.push(begun.elapsed());
    }
    latencies.sort();
    Measured {
        latencies,
        cpu: cpu(pids) - before,
    }
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [port, pids, copies, ..] = args.as_slice() else {
        println!("PORT PIDS COPIES [COMMITS]");
        return;
    };
    let pids: Vec<u32> = pids.split(',').map(|pid| pid.parse().unwrap()).collect();
    let commits: u64 = args.get(3).map_or(200, |commits| commits.parse().unwrap());
    let config = CassandraConfig {
        port: port.parse().unwrap(),
        keyspace: format!("commits_{}", std::process::id()),
        auto_setup: true,
        replication_factor: copies.parse::<NonZeroUsize>().unwrap(),
        timeout: Duration::from_secs(20),
        call_timeout: Duration::from_secs(30),
        ..CassandraConfig::new("127.0.0.1")
    };
    let store = CassandraStore::open(&config).await.unwrap();
    println!(
        "| runs | history | p50 ms | p99 ms | Cassandra CPU ms per commit | per run |\n|---|---|---|---|---|---|"
    );
    for (number, history) in (1..).zip([History::None, History::Own, History::InBatch]) {
        for width in WIDTHS {
            let owner = NodeId {
                name: "measure".into(),
                generation: 1,
            };
            let shard = ShardId(number * 1000 + u32::try_from(width).unwrap());
            let mut lease = store.acquire(shard, &owner).await.unwrap();
            measure(&store, &mut lease, width, history, commits / 4, &pids).await;
            let measured = measure(&store, &mut lease, width, history, commits, &pids).await;
            let at = |part: f64| {
                let last = measured.latencies.len() - 1;
                measured.latencies[(last as f64 * part) as usize].as_secs_f64() * 1000.0
            };
            let each = measured.cpu * 1000.0 / commits as f64;
            println!(
                "| {width} | {history:?} | {:.1} | {:.1} | {each:.1} | {:.2} |",
                at(0.5),
                at(0.99),
                each / width as f64
            );
        }
    }
}
