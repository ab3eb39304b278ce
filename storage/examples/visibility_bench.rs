//! Measures the embedded visibility index: what a record costs to apply, and how long queries take.
//!
//! `cargo run --release -p perdure-storage --example visibility_bench -- [runs] [file]`
//!
//! Each run is applied twice, open and closed, in batches of 200; times of day and disk are the machine's, CPU
//! time and bytes are the process's own.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that prints a table, or fails"
)]

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use perdure_storage::visibility::{
    Update, VisibilityIndex,
    attributes::{Schema, SearchAttributes, SearchValue, ValueType},
    embedded::{EmbeddedIndex, EmbeddedOptions},
    query::{CountQuery, Division, ListQuery},
    record::{Close, Execution, Record},
};
use proto::{
    ids::{NamespaceId, RunId},
    temporal::enums::v1::WorkflowExecutionStatus,
    time::Timestamp,
};

const BATCH: usize = 200;
/// How often each query is asked.
const REPEAT: usize = 11;
/// Runs that are open at a time.
const OPEN: usize = 1_000;
const NAMESPACE: NamespaceId = NamespaceId::from_bytes([7; 16]);

const LISTS: [&str; 19] = [
    "",
    "ExecutionStatus = 'Running'",
    "ExecutionStatus = 'Failed'",
    "ExecutionStatus = 'Terminated'",
    "WorkflowType = 'type-3' AND ExecutionStatus = 'Completed'",
    "WorkflowType = 'rare'",
    "WorkflowId = 'order-77777'",
    "WorkflowId STARTS_WITH 'order-1777'",
    "Region = 'region-3'",
    "Customer = 'customer-123'",
    "Customer = 'customer-123' AND ExecutionStatus = 'Completed' AND Amount > 500",
    "Amount BETWEEN 100 AND 102",
    "WorkflowType = 'type-3' AND Amount > 500 AND StartTime > '1970-01-01T00:01:00Z'",
    "Region = 'region-3' AND Amount = 42 AND ExecutionStatus != 'Completed'",
    "StartTime < '1970-01-01T00:00:01Z'",
    "TaskQueue = 'queue-rare'",
    "Customer = 'customer-1' OR Customer = 'customer-2' OR WorkflowId = 'order-5'",
    "Region IS NULL",
    "HistoryLength > 1000000",
];

const COUNTS: [&str; 9] = [
    "",
    "GROUP BY ExecutionStatus",
    "WorkflowType = 'type-3' GROUP BY ExecutionStatus",
    "ExecutionStatus = 'Completed'",
    "Customer = 'customer-123'",
    "Region = 'region-3'",
    "Region = 'region-3' GROUP BY ExecutionStatus",
    "Amount > 500 AND WorkflowId STARTS_WITH 'order-1'",
    "HistoryLength > 1000000",
];

/// A small generator, so that each run of the program has the same data.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }
}

fn schema() -> Schema {
    let custom = [
        ("Region", ValueType::Keyword),
        ("Customer", ValueType::Keyword),
        ("Amount", ValueType::Int),
    ];
    Schema::new(
        "bench",
        custom
            .map(|(name, value_type)| (name.to_owned(), value_type))
            .into(),
    )
}

fn record(number: usize, random: &mut Random) -> Record {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&random.next(u64::MAX).to_be_bytes());
    id[8..].copy_from_slice(&u64::try_from(number).unwrap().to_be_bytes());
    let run_id = RunId::from_bytes(id);
    let workflow_id = format!("order-{number}");
    let start_time = Timestamp::from_nanos(i64::try_from(number).unwrap() * 1_000_000);
    let mut search_attributes = SearchAttributes::default();
    search_attributes.insert(
        "Region",
        SearchValue::Keyword(format!("region-{}", random.next(8))),
    );
    search_attributes.insert(
        "Customer",
        SearchValue::Keyword(format!("customer-{}", random.next(20_000))),
    );
    search_attributes.insert(
        "Amount",
        SearchValue::Int(i64::try_from(random.next(1000)).unwrap()),
    );
    let rare = random.next(20_000) == 0;
    Record {
        namespace_id: NAMESPACE,
        workflow_id: workflow_id.as_str().into(),
        run_id,
        version: 1,
        workflow_type: if rare {
            "rare".to_owned()
        } else {
            format!("type-{}", random.next(10))
        },
        task_queue: if rare {
            "queue-rare".to_owned()
        } else {
            "queue".to_owned()
        },
        status: WorkflowExecutionStatus::Running,
        start_time,
        execution_time: start_time,
        close: None,
        parent: None,
        root: Execution {
            workflow_id: workflow_id.into(),
            run_id,
        },
        memo: Bytes::from_static(&[b'm'; 60]),
        search_attributes,
    }
}

fn closed(mut record: Record, random: &mut Random) -> Record {
    let duration = Duration::from_millis(random.next(1_000));
    record.version = 2;
    record.status = match random.next(1_000) {
        0 => WorkflowExecutionStatus::Terminated,
        1..50 => WorkflowExecutionStatus::Failed,
        _ => WorkflowExecutionStatus::Completed,
    };
    record.close = Some(Close {
        time: record.start_time + duration,
        history_length: 11,
        history_size_bytes: 2_000,
        state_transition_count: 7,
        execution_duration: duration,
    });
    record
}

/// The CPU time of the process's threads.
fn cpu() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let nanos = threads.map(|thread| {
        let stat = std::fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
        stat.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    });
    Duration::from_nanos(nanos.sum())
}

/// Bytes that the process has caused to be written.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = io.lines().find(|line| line.starts_with("write_bytes")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let runs: usize = arguments.next().map_or(200_000, |runs| runs.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = arguments
        .next()
        .map_or_else(|| directory.path().join("visibility.db"), PathBuf::from);
    for survive_power_loss in [true, false] {
        for suffix in ["", "-wal", "-shm"] {
            drop(std::fs::remove_file(format!("{}{suffix}", path.display())));
        }
        let options = EmbeddedOptions {
            survive_power_loss,
            ..EmbeddedOptions::default()
        };
        let index = EmbeddedIndex::open(&path, &options).unwrap();
        fill(&index, runs, &path, survive_power_loss).await;
        if !survive_power_loss {
            queries(&index).await;
        }
    }
}

async fn fill(index: &EmbeddedIndex, runs: usize, path: &Path, survive_power_loss: bool) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut updates = Vec::with_capacity(runs * 2);
    let mut open = VecDeque::new();
    for number in 0..runs {
        let record = record(number, &mut random);
        open.push_back(record.clone());
        updates.push(Update::Upsert(Box::new(record)));
        if open.len() > OPEN {
            let record = closed(open.pop_front().unwrap(), &mut random);
            updates.push(Update::Upsert(Box::new(record)));
        }
    }
    let total = updates.len();
    let batches: Vec<Vec<Update>> = updates.chunks(BATCH).map(<[Update]>::to_vec).collect();
    let (cpu_before, written_before, begin) = (cpu(), written(), Instant::now());
    let mut slowest = Duration::ZERO;
    for batch in batches {
        let sent = Instant::now();
        index.apply(batch).await.unwrap();
        slowest = slowest.max(sent.elapsed());
    }
    let (cpu, elapsed) = (cpu() - cpu_before, begin.elapsed());
    let updates = f64::from(u32::try_from(total).unwrap());
    println!(
        "sync {survive_power_loss}: {total} updates, {:.0}/s, {:.1} us CPU each, slowest batch {slowest:.1?}, \
         written {} MB, file {} MB",
        updates / elapsed.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / updates,
        (written() - written_before) / 1_000_000,
        std::fs::metadata(path).unwrap().len() / 1_000_000,
    );
}

/// What one way of asking took, some times over.
#[derive(Default)]
struct Times {
    elapsed: Vec<Duration>,
    cpu: Vec<Duration>,
}

impl Times {
    async fn measure<T>(&mut self, ask: impl Future<Output = T>) -> T {
        let (cpu_before, begin) = (cpu(), Instant::now());
        let answer = ask.await;
        self.elapsed.push(begin.elapsed());
        self.cpu.push(cpu() - cpu_before);
        answer
    }

    fn print(mut self, rows: &str, text: &str) {
        let first = self.elapsed[0];
        self.elapsed.sort();
        self.cpu.sort();
        let (median, cpu) = (self.elapsed[REPEAT / 2], self.cpu[REPEAT / 2]);
        println!(
            "{:>9} {:>9} {:>9} {rows:>8}  {text}",
            shown(first),
            shown(median),
            shown(cpu)
        );
    }
}

async fn queries(index: &EmbeddedIndex) {
    println!(
        "\n{:>9} {:>9} {:>9} {:>8}  list, page of 100",
        "first", "median", "CPU", "rows"
    );
    for text in LISTS {
        let query = ListQuery::parse(text, &schema(), Division::Workflows).unwrap();
        let (mut times, mut rows) = (Times::default(), 0);
        for _ in 0..REPEAT {
            let page = times
                .measure(index.list(NAMESPACE, query.clone(), 100, Bytes::new()))
                .await
                .unwrap();
            rows = page.records.len();
        }
        times.print(&rows.to_string(), text);
    }
    println!(
        "\n{:>9} {:>9} {:>9} {:>8}  count",
        "first", "median", "CPU", "total"
    );
    for text in COUNTS {
        let query = CountQuery::parse(text, &schema(), Division::Workflows).unwrap();
        let (mut times, mut total) = (Times::default(), 0);
        for _ in 0..REPEAT {
            total = times
                .measure(index.count(NAMESPACE, query.clone()))
                .await
                .unwrap()
                .total;
        }
        times.print(&total.to_string(), text);
    }
    let begin = Instant::now();
    let query = ListQuery::parse("", &schema(), Division::Workflows).unwrap();
    let (mut token, mut pages) = (Bytes::new(), 0);
    loop {
        let page = index.list(NAMESPACE, query.clone(), 1000, token).await.unwrap();
        pages += 1;
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    println!("\nall pages of 1000: {pages} in {:.1?}", begin.elapsed());
}

fn shown(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
