//! DescribeTaskQueue (reference 1.6): who polls, how much waits, and how fast it goes.

use std::collections::HashMap;

use matching::view::{PollerView, QueueView, RateView, Stats};
use proto::{
    ids::{NamespaceId, QueueKey, TaskKind},
    temporal::{
        enums::v1::{DescribeTaskQueueMode, RateLimitSource, TaskQueueKind, TaskQueueType},
        taskqueue::v1::{
            PollerInfo, TaskQueue, TaskQueueStats, TaskQueueStatus, TaskQueueTypeInfo, TaskQueueVersionInfo,
            TaskQueueVersioningInfo,
        },
        workflowservice::v1::{
            DescribeTaskQueueRequest, DescribeTaskQueueResponse,
            describe_task_queue_response::EffectiveRateLimit,
        },
    },
    time::duration_to_proto,
};

use super::settings;
use crate::{call::Call, config::Sizes, error::Error, frontend::Frontend, validate};

/// What the API calls the version of workers without one.
const UNVERSIONED: &str = "__unversioned__";
/// The first day of the calendar: how the official server writes a time that there is none of.
const NEVER: prost_types::Timestamp = prost_types::Timestamp {
    seconds: -62_135_596_800,
    nanos: 0,
};
/// The rate that is shown where none is set, and for pollers that set none.
const RATE_DEFAULT: f64 = 100_000.0;
/// Where names of partitions begin: the official server divides a queue into several.
const PARTITION_PREFIX: &str = "/_sys/";

#[expect(deprecated, reason = "the CLI and older clients ask this way")]
pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: DescribeTaskQueueRequest,
) -> Result<DescribeTaskQueueResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    if request.api_mode() == DescribeTaskQueueMode::Enhanced {
        return enhanced(frontend, namespace.id, request).await;
    }
    let (queue, is_root) = partition(frontend.sizes(), request.task_queue.clone())?;
    validate::check_partition(&queue, title(request.task_queue_type()))?;
    let sticky = queue.kind() == TaskQueueKind::Sticky;
    let versioning_info = (!sticky).then(unversioned);
    if !is_root {
        // Only the first of the official server's partitions exists here.
        return Ok(DescribeTaskQueueResponse {
            versioning_info,
            ..Default::default()
        });
    }
    let view = view(
        frontend,
        namespace.id,
        kind(request.task_queue_type()),
        sticky,
        &queue.name,
    )
    .await?;
    Ok(DescribeTaskQueueResponse {
        pollers: view.pollers.iter().map(poller).collect(),
        stats: request.report_stats.then(|| stats(&view.stats)),
        stats_by_priority_key: if request.report_stats {
            by_priority(&view)
        } else {
            HashMap::new()
        },
        versioning_info,
        config: match request.report_config {
            true => settings::read(frontend, &settings_of(namespace.id, &request, &queue.name)).await?,
            false => None,
        },
        effective_rate_limit: Some(effective(view.rate)),
        task_queue_status: request.include_task_queue_status.then(|| status(&view)),
        ..Default::default()
    })
}

#[expect(deprecated, reason = "the CLI asks this way")]
async fn enhanced(
    frontend: &Frontend,
    namespace_id: NamespaceId,
    request: DescribeTaskQueueRequest,
) -> Result<DescribeTaskQueueResponse, Error> {
    if request
        .task_queue
        .as_ref()
        .is_some_and(|queue| queue.kind() == TaskQueueKind::Sticky)
    {
        return Err(Error::invalid(
            "Enhanced DescribeTaskQueue is not valid for a sticky queue, use api_mode=UNSPECIFIED or a normal queue.",
        ));
    }
    let kinds: Vec<_> = request.task_queue_types().collect();
    let kinds = if kinds.is_empty() {
        vec![TaskQueueType::Workflow, TaskQueueType::Activity]
    } else {
        kinds
    };
    let name = validate::queue(frontend.sizes(), request.task_queue)?.name;
    let mut types_info = HashMap::new();
    for task_type in kinds {
        let view = view(frontend, namespace_id, kind(task_type), false, &name).await?;
        let info = TaskQueueTypeInfo {
            pollers: if request.report_pollers {
                view.pollers.iter().map(poller).collect()
            } else {
                Vec::new()
            },
            stats: request.report_stats.then(|| stats(&view.stats)),
        };
        types_info.insert(task_type.into(), info);
    }
    let info = TaskQueueVersionInfo {
        types_info,
        ..Default::default()
    };
    Ok(DescribeTaskQueueResponse {
        versions_info: [(String::new(), info)].into(),
        ..Default::default()
    })
}

/// Returns whose settings the request asks for.
fn settings_of(namespace_id: NamespaceId, request: &DescribeTaskQueueRequest, name: &str) -> settings::Key {
    settings::Key {
        namespace_id,
        task_type: request.task_queue_type(),
        name: name.to_owned(),
    }
}

/// Reads a queue's name, or that of one of its partitions, and whether it is the first partition.
fn partition(sizes: &Sizes, queue: Option<TaskQueue>) -> Result<(TaskQueue, bool), Error> {
    let Some(rest) = queue
        .as_ref()
        .and_then(|queue| queue.name.strip_prefix(PARTITION_PREFIX))
    else {
        return Ok((validate::queue(sizes, queue)?, true));
    };
    let is_partition = rest.rsplit_once('/').is_some_and(|(name, number)| {
        !name.is_empty() && number.parse::<u32>().is_ok_and(|number| number > 0)
    });
    if !is_partition {
        return Err(Error::invalid(format!(
            "invalid task queue partition name {PARTITION_PREFIX}{rest}"
        )));
    }
    Ok((queue.unwrap_or_default(), false))
}

fn kind(task_type: TaskQueueType) -> TaskKind {
    match task_type {
        TaskQueueType::Activity => TaskKind::Activity,
        TaskQueueType::Workflow | TaskQueueType::Nexus | TaskQueueType::Unspecified => TaskKind::Workflow,
    }
}

/// The kind of tasks as messages name it.
fn title(task_type: TaskQueueType) -> &'static str {
    match task_type {
        TaskQueueType::Activity => "Activity",
        TaskQueueType::Nexus => "Nexus",
        TaskQueueType::Workflow | TaskQueueType::Unspecified => "Workflow",
    }
}

async fn view(
    frontend: &Frontend,
    namespace_id: NamespaceId,
    kind: TaskKind,
    sticky: bool,
    name: &str,
) -> Result<QueueView, Error> {
    let key = QueueKey {
        namespace_id,
        kind,
        sticky,
        name: name.into(),
    };
    Ok(frontend.router.queue(&key).view().await?)
}

fn poller(view: &PollerView) -> PollerInfo {
    let versions = view.versions.as_deref().cloned().unwrap_or_default();
    #[expect(deprecated, reason = "old workers tell their versions this way")]
    PollerInfo {
        last_access_time: Some(view.last_access_time.to_proto()),
        identity: view.identity.to_string(),
        rate_per_second: view.max_tasks_per_second.unwrap_or(RATE_DEFAULT),
        worker_version_capabilities: versions.capabilities,
        deployment_options: versions.deployment,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the API shows rates with single precision"
)]
fn stats(stats: &Stats) -> TaskQueueStats {
    TaskQueueStats {
        approximate_backlog_count: i64::try_from(stats.approximate_backlog_count).unwrap_or(i64::MAX),
        approximate_backlog_age: Some(duration_to_proto(stats.approximate_backlog_age)),
        tasks_add_rate: stats.tasks_add_rate as f32,
        tasks_dispatch_rate: stats.tasks_dispatch_rate as f32,
        rate_limiting_active: stats.rate_limiting_active,
    }
}

fn by_priority(view: &QueueView) -> HashMap<i32, TaskQueueStats> {
    view.stats_by_priority
        .iter()
        .map(|(level, of_level)| (i32::from(*level), stats(of_level)))
        .collect()
}

fn status(view: &QueueView) -> TaskQueueStatus {
    TaskQueueStatus {
        backlog_count_hint: i64::try_from(view.stats.approximate_backlog_count).unwrap_or(i64::MAX),
        rate_per_second: view.rate.effective.unwrap_or(RATE_DEFAULT),
        ..Default::default()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the API shows rates with single precision"
)]
fn effective(rate: RateView) -> EffectiveRateLimit {
    let source = match (rate.api, rate.worker) {
        (Some(_), _) => RateLimitSource::Api,
        (None, Some(_)) => RateLimitSource::Worker,
        (None, None) => RateLimitSource::System,
    };
    EffectiveRateLimit {
        requests_per_second: rate.effective.unwrap_or(RATE_DEFAULT) as f32,
        rate_limit_source: source.into(),
    }
}

#[expect(deprecated, reason = "older clients read the version this way")]
fn unversioned() -> TaskQueueVersioningInfo {
    TaskQueueVersioningInfo {
        current_version: UNVERSIONED.to_owned(),
        update_time: Some(NEVER),
        ..Default::default()
    }
}
