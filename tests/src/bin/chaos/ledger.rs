//! Ledger: what became of every call, phase by phase. A retry makes no failure good.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tonic::Code;

/// Calls that wait for something by their nature: how long they take says nothing.
const WAITING: [&str; 3] = ["Poll", "GetWorkflowExecutionHistory", "UpdateWorkflowExecution"];

/// A call that takes longer waited for something.
const SLOW: Duration = Duration::from_secs(1);

/// Counts by call and status code.
pub(crate) type Codes = BTreeMap<(&'static str, String), u64>;

/// What happened between two marks.
#[derive(Clone, Debug)]
pub(crate) struct Phase {
    pub name: String,
    pub calls: u64,
    /// Calls that never left since nobody listened, and went to another node.
    pub unsent: u64,
    /// Calls that have to be made again.
    pub failures: Codes,
    /// Other answers than OK that belong to the API.
    pub answers: Codes,
    /// Those of them that say that work which a worker was given is not known.
    pub lost: Codes,
    /// What the first failure of each kind said.
    said: BTreeMap<(&'static str, String), String>,
    pub last_failure: Option<Instant>,
    pub last_answer: Option<Instant>,
    /// When the last call was answered that took longer than [`SLOW`].
    pub last_slow: Option<Instant>,
    micros: Vec<u64>,
}

/// All phases; the last one is open.
#[derive(Debug)]
pub(crate) struct Ledger(Mutex<Vec<Phase>>);

impl Ledger {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(vec![Phase::new("start".to_owned())]))
    }

    /// Ends the open phase and begins the next one.
    pub(crate) fn begin(&self, name: &str) {
        self.phases().push(Phase::new(name.to_owned()));
    }

    pub(crate) fn all(&self) -> Vec<Phase> {
        self.phases().clone()
    }

    /// A copy of the open phase.
    pub(crate) fn open(&self) -> Phase {
        let phases = self.phases();
        phases
            .last()
            .cloned()
            .unwrap_or_else(|| Phase::new(String::new()))
    }

    pub(crate) fn answered(&self, call: &'static str, took: Duration) {
        self.change(|phase| {
            phase.calls += 1;
            phase.last_answer = Some(Instant::now());
            if !WAITING.iter().any(|name| call.starts_with(name)) {
                if took > SLOW {
                    phase.last_slow = phase.last_answer;
                }
                phase
                    .micros
                    .push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            }
        });
    }

    pub(crate) fn refused(&self, call: &'static str, code: Code, took: Duration) {
        self.answered(call, took);
        self.change(|phase| *phase.answers.entry((call, format!("{code:?}"))).or_default() += 1);
    }

    pub(crate) fn unsent(&self) {
        self.change(|phase| phase.unsent += 1);
    }

    pub(crate) fn failed(&self, call: &'static str, code: String, why: impl FnOnce() -> String) {
        self.change(|phase| {
            phase.calls += 1;
            phase.last_failure = Some(Instant::now());
            phase.said.entry((call, code.clone())).or_insert_with(why);
            *phase.failures.entry((call, code)).or_default() += 1;
        });
    }

    /// The call was refused although its caller did nothing wrong.
    pub(crate) fn lost(&self, call: &'static str, code: Code) {
        self.change(|phase| *phase.lost.entry((call, format!("{code:?}"))).or_default() += 1);
    }

    fn change(&self, change: impl FnOnce(&mut Phase)) {
        if let Some(phase) = self.phases().last_mut() {
            change(phase);
        }
    }

    fn phases(&self) -> MutexGuard<'_, Vec<Phase>> {
        // What was counted before a panic is still right.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Phase {
    fn new(name: String) -> Self {
        Self {
            name,
            calls: 0,
            unsent: 0,
            failures: BTreeMap::new(),
            answers: BTreeMap::new(),
            lost: BTreeMap::new(),
            said: BTreeMap::new(),
            last_failure: None,
            last_answer: None,
            last_slow: None,
            micros: Vec::new(),
        }
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Calls that may not go wrong while nodes come and go in good order.
    pub(crate) fn unexcused(&self) -> u64 {
        self.failed() + self.lost.values().sum::<u64>()
    }

    /// A phase to add others to.
    pub(crate) fn sum(name: &str) -> Self {
        Self::new(name.to_owned())
    }

    /// Adds another phase's calls to this one's.
    pub(crate) fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.unsent += other.unsent;
        for (key, count) in &other.failures {
            *self.failures.entry(key.clone()).or_default() += count;
        }
        for (key, count) in &other.answers {
            *self.answers.entry(key.clone()).or_default() += count;
        }
        for (key, count) in &other.lost {
            *self.lost.entry(key.clone()).or_default() += count;
        }
        self.micros.extend(&other.micros);
    }

    /// The time within which the share of calls was answered that do not wait by their nature.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in a list of calls"
        )]
        let at = (sorted.len() as f64 * share) as usize;
        Duration::from_micros(
            sorted
                .get(at.min(sorted.len().saturating_sub(1)))
                .copied()
                .unwrap_or(0),
        )
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{:<24} {:>7} calls, {} failed, {} unsent; p50 {:.1} ms, p99 {:.1} ms, slowest {:.0} ms",
            self.name,
            self.calls,
            self.failed(),
            self.unsent,
            self.quantile(0.5).as_secs_f64() * 1e3,
            self.quantile(0.99).as_secs_f64() * 1e3,
            self.quantile(1.0).as_secs_f64() * 1e3,
        )?;
        for (what, codes) in [
            ("failed", &self.failures),
            ("answered", &self.answers),
            ("of these lost", &self.lost),
        ] {
            for (key @ (call, code), count) in codes {
                write!(out, "\n    {what}: {call} {code} {count}")?;
                if let Some(said) = self.said.get(key).filter(|_| what == "failed") {
                    write!(out, ", the first: {said}")?;
                }
            }
        }
        Ok(())
    }
}
