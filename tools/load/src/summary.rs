//! The result of one run: as JSON, and as the lines a person reads.

use std::{fmt, time::Duration};

use serde::Serialize;

use crate::{
    ledger::Verdict,
    process::Usage,
    recorder::{Calls, Counts, Interval, Latency},
    verify::Verification,
};

/// What a quiet machine may do beside.
const OTHERS_CORES_MAX: f64 = 0.15;
const MIB: f64 = 1_048_576.0;

/// What a side (server or harness) used within the window.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Cost {
    pub cpu_ms_per_workflow: f64,
    /// CPU seconds per second.
    pub cores: f64,
    pub rss_mib: f64,
    pub written_bytes_per_workflow: f64,
    /// Only of a server that tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fsyncs_per_workflow: Option<f64>,
}

impl Cost {
    /// From the totals at the window's ends.
    pub(crate) fn between(begin: Usage, end: Usage, window: Duration, workflows: u64) -> Self {
        let cpu_ms = end.cpu_ms.saturating_sub(begin.cpu_ms) as f64;
        let written = end.written_bytes.saturating_sub(begin.written_bytes) as f64;
        let workflows = workflows.max(1) as f64;
        Self {
            cpu_ms_per_workflow: cpu_ms / workflows,
            cores: cpu_ms / 1e3 / window.as_secs_f64().max(1e-9),
            rss_mib: end.rss_bytes as f64 / MIB,
            written_bytes_per_workflow: written / workflows,
            fsyncs_per_workflow: None,
        }
    }
}

/// One second of the run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Point {
    /// Since the load began, warm-up included.
    pub at_s: f64,
    #[serde(flatten)]
    pub interval: Interval,
    pub in_flight: usize,
    pub server_cores: f64,
    pub harness_cores: f64,
    pub server_rss_mib: f64,
}

/// What sleeping workflows cost.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Asleep {
    pub workflows: u64,
    pub watched_s: f64,
    pub server_cpu_ms_per_s: f64,
    pub server_written_bytes_per_s: f64,
    pub server_bytes_per_workflow: f64,
}

/// How the backlog was filled.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Filled {
    pub workflows: u64,
    pub per_s: f64,
    pub server_cpu_ms_per_workflow: f64,
}

/// Everything about one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    pub scenario: String,
    pub targets: Vec<String>,
    pub server_version: String,
    pub pace: String,
    pub payload_bytes: usize,
    pub warm_up_s: f64,
    /// Length of the window that rates and costs are taken from.
    pub window_s: f64,
    /// The window is short for such latencies: rates and costs say little.
    pub rough: bool,
    /// Workflows that ended within the window.
    pub window_workflows: u64,
    pub workflows_per_s: f64,
    pub operations_per_s: f64,
    pub latency_ms: Latency,
    pub server: Option<Cost>,
    pub harness: Cost,
    /// Cores that other processes took meanwhile; without --server-pid the server is one of them.
    pub others_cores: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filled: Option<Filled>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asleep: Option<Asleep>,
    pub counts: Counts,
    pub verdict: Verdict,
    pub verification: Option<Verification>,
    pub calls: Vec<Calls>,
    pub points: Vec<Point>,
}

impl Summary {
    /// Others took so much of the machine that rates and latencies are not the server's own.
    pub(crate) fn is_disturbed(&self) -> bool {
        self.others_cores > OTHERS_CORES_MAX
    }

    /// Nothing is missing, nothing happened twice, and the server agrees.
    pub(crate) fn is_clean(&self) -> bool {
        let all_started = self.counts.shed == 0;
        all_started
            && self.verdict.is_clean()
            && self.verification.as_ref().is_none_or(Verification::is_clean)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} on {} (server {}), {}, payload {} B",
            self.scenario,
            self.targets.join(","),
            self.server_version,
            self.pace,
            self.payload_bytes
        )?;
        self.write_pace(f)?;
        self.write_cost(f)?;
        self.write_calls(f)?;
        self.write_verdict(f)
    }
}

impl Summary {
    fn write_pace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latency = &self.latency_ms;
        if let Some(filled) = &self.filled {
            writeln!(
                f,
                "  backlog    {} workflows filled at {:.0}/s, server {:.2} ms CPU each",
                filled.workflows, filled.per_s, filled.server_cpu_ms_per_workflow
            )?;
        }
        writeln!(
            f,
            "  rate       {:.1} workflows/s over {:.1} s ({} workflows)",
            self.workflows_per_s, self.window_s, self.window_workflows
        )?;
        if self.operations_per_s > 0.0 {
            writeln!(f, "  operations {:.1}/s", self.operations_per_s)?;
        }
        writeln!(
            f,
            "  latency ms p50 {:.1}  p90 {:.1}  p99 {:.1}  p99.9 {:.1}  max {:.1}",
            latency.p50, latency.p90, latency.p99, latency.p999, latency.max
        )?;
        if self.rough {
            writeln!(
                f,
                "  ROUGH      a window was too short for its latency; give it a longer --duration"
            )?;
        }
        Ok(())
    }

    fn write_cost(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let harness = &self.harness;
        if let Some(server) = &self.server {
            writeln!(
                f,
                "  server     {:.3} ms CPU per workflow ({:.2} cores), {:.0} MiB resident, {:.0} B written per workflow",
                server.cpu_ms_per_workflow, server.cores, server.rss_mib, server.written_bytes_per_workflow
            )?;
        }
        if let Some(fsyncs) = self.server.and_then(|server| server.fsyncs_per_workflow) {
            writeln!(f, "  syncs      {fsyncs:.2} per workflow")?;
        }
        writeln!(
            f,
            "  harness    {:.3} ms CPU per workflow ({:.2} cores), {:.0} MiB resident",
            harness.cpu_ms_per_workflow, harness.cores, harness.rss_mib
        )?;
        if self.server.is_some() && self.is_disturbed() {
            writeln!(
                f,
                "  DISTURBED  other processes took {:.2} cores",
                self.others_cores
            )?;
        }
        if let Some(asleep) = &self.asleep {
            writeln!(
                f,
                "  asleep     {} workflows: server {:.1} ms CPU/s, {:.0} B written/s, {:.0} B resident each",
                asleep.workflows,
                asleep.server_cpu_ms_per_s,
                asleep.server_written_bytes_per_s,
                asleep.server_bytes_per_workflow
            )?;
        }
        Ok(())
    }

    fn write_calls(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for calls in &self.calls {
            write!(f, "  {:<34} {:>8} calls", calls.rpc, calls.calls)?;
            if calls.latency_ms.count > 0 {
                write!(
                    f,
                    "  p50 {:.1}  p99 {:.1} ms",
                    calls.latency_ms.p50, calls.latency_ms.p99
                )?;
            }
            for (code, errors) in &calls.errors {
                write!(f, "  {code} {} ({})", errors.count, errors.first)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn write_verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = &self.verdict;
        write!(
            f,
            "  verdict    {}: started {}, ended {}, missing {}, twice {}, wrong {}, not started {}",
            if self.is_clean() { "clean" } else { "NOT CLEAN" },
            verdict.started,
            verdict.completed,
            verdict.missing,
            verdict.duplicated,
            verdict.wrong,
            verdict.not_started
        )?;
        if verdict.children_expected > 0 {
            write!(
                f,
                ", children {} of {}",
                verdict.children_completed, verdict.children_expected
            )?;
        }
        if verdict.unknown > 0 {
            write!(f, ", unknown {}", verdict.unknown)?;
        }
        if self.counts.shed > 0 {
            write!(f, ", starts left out {}", self.counts.shed)?;
        }
        let Some(verification) = &self.verification else {
            return Ok(());
        };
        let counted = verification
            .counted
            .map_or("-".to_owned(), |counted| counted.to_string());
        write!(
            f,
            "\n  server     counts {counted} {} of {} (after {} ms), {} described, {} of them wrong",
            verification.status,
            verification.expected,
            verification.counted_after_ms,
            verification.described,
            verification.described_wrong
        )?;
        for (status, count) in &verification.missing {
            write!(f, ", missing {status} {count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_is_per_workflow_of_the_window() {
        let begin = Usage {
            cpu_ms: 1000,
            rss_bytes: 0,
            written_bytes: 100,
        };
        let end = Usage {
            cpu_ms: 3000,
            rss_bytes: 2 << 20,
            written_bytes: 1100,
        };
        let cost = Cost::between(begin, end, Duration::from_secs(4), 100);
        assert_eq!((cost.cpu_ms_per_workflow, cost.cores), (20.0, 0.5));
        assert_eq!((cost.rss_mib, cost.written_bytes_per_workflow), (2.0, 10.0));
        assert_eq!(
            Cost::between(end, end, Duration::ZERO, 0).cpu_ms_per_workflow,
            0.0
        );
    }
}
