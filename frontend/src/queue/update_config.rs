//! UpdateTaskQueueConfig (reference 1.6): how fast a queue gives its tasks, and the fairness among them.

use proto::temporal::{
    enums::v1::TaskQueueType,
    taskqueue::v1::{ConfigMetadata, RateLimitConfig, TaskQueueConfig},
    workflowservice::v1::{
        UpdateTaskQueueConfigRequest, UpdateTaskQueueConfigResponse,
        update_task_queue_config_request::RateLimitUpdate,
    },
};

use super::settings;
use crate::{call::Call, config::Sizes, error::Error, frontend::Frontend, limits, validate};

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: UpdateTaskQueueConfigRequest,
) -> Result<UpdateTaskQueueConfigResponse, Error> {
    let namespace = frontend.namespaces.usable(&request.namespace).await?;
    check(frontend.sizes(), &request)?;
    let key = settings::Key {
        namespace_id: namespace.id,
        task_type: request.task_queue_type(),
        name: request.task_queue.clone(),
    };
    let now = frontend.now().to_proto();
    let config = settings::change(frontend, &key, |config| merge(config, &request, now)).await?;
    Ok(UpdateTaskQueueConfigResponse { config: Some(config) })
}

fn check(sizes: &Sizes, request: &UpdateTaskQueueConfigRequest) -> Result<(), Error> {
    let max = sizes.id_bytes_max;
    let long = |field: &str| Error::invalid(format!("{field} field too long (max {max} characters)."));
    if request.task_queue.starts_with(validate::RESERVED_QUEUE_PREFIX) {
        let name = request.task_queue.rsplit_once('/').map_or("", |(name, _)| name);
        return Err(Error::invalid(format!(
            "task queue family name cannot have prefix {name}"
        )));
    }
    if request.identity.len() > max {
        return Err(long("Identity"));
    }
    let is_workflow = request.task_queue_type() == TaskQueueType::Workflow;
    if let Some(update) = &request.update_queue_rate_limit {
        if is_workflow {
            return Err(Error::invalid(
                "Setting rate limit on workflow task queues is not allowed.",
            ));
        }
        check_rate(update, "UpdateQueueRateLimit")?;
        // What is said of taking a limit away is not looked at.
        if update.rate_limit.is_some() && update.reason.len() > max {
            return Err(long("UpdateQueueRateLimit.Reason"));
        }
    }
    if let Some(update) = &request.update_fairness_key_rate_limit_default {
        if is_workflow {
            return Err(Error::invalid(
                "Setting fairness key rate limit on workflow task queues is not allowed.",
            ));
        }
        check_rate(update, "UpdateFairnessKeyRateLimitDefault")?;
    }
    check_weights(request)
}

fn check_rate(update: &RateLimitUpdate, name: &str) -> Result<(), Error> {
    let rate = update.rate_limit.map(|limit| limit.requests_per_second);
    if rate.is_some_and(|rate| rate < 0.0) {
        return Err(Error::invalid(format!(
            "RequestsPerSecond for {name} rate limit must be non-negative."
        )));
    }
    Ok(())
}

fn check_weights(request: &UpdateTaskQueueConfigRequest) -> Result<(), Error> {
    let set = &request.set_fairness_weight_overrides;
    let unset = &request.unset_fairness_weight_overrides;
    let (count, max) = (set.len().max(unset.len()), limits::FAIRNESS_WEIGHTS_MAX);
    if count > max {
        return Err(Error::invalid(format!(
            "too many fairness weight overrides in request: got {count}, maximum {max}"
        )));
    }
    for key in set.keys().chain(unset) {
        validate::required(key, "fairness weight override key must not be empty")?;
        if key.len() > limits::FAIRNESS_KEY_BYTES_MAX {
            return Err(Error::invalid("fairness key length exceeds limit"));
        }
    }
    if let Some((key, _)) = set.iter().find(|(_, weight)| **weight <= 0.0) {
        return Err(Error::invalid(format!(
            "invalid fairness weight weight for key {}: must be greater than zero",
            validate::quote(key)
        )));
    }
    if let Some(key) = unset.iter().find(|key| set.contains_key(*key)) {
        return Err(Error::invalid(format!(
            "fairness weight override key {} present in both set and unset lists",
            validate::quote(key)
        )));
    }
    Ok(())
}

fn merge(
    config: &mut TaskQueueConfig,
    request: &UpdateTaskQueueConfigRequest,
    now: prost_types::Timestamp,
) -> Result<(), Error> {
    let limit = |update: &RateLimitUpdate| RateLimitConfig {
        rate_limit: update.rate_limit,
        metadata: Some(ConfigMetadata {
            reason: update.reason.clone(),
            update_identity: request.identity.clone(),
            update_time: Some(now),
        }),
    };
    if let Some(update) = &request.update_queue_rate_limit {
        config.queue_rate_limit = Some(limit(update));
    }
    if let Some(update) = &request.update_fairness_key_rate_limit_default {
        config.fairness_keys_rate_limit_default = Some(limit(update));
    }
    let weights = &mut config.fairness_weight_overrides;
    for key in &request.unset_fairness_weight_overrides {
        weights.remove(key);
    }
    let set = &request.set_fairness_weight_overrides;
    weights.extend(set.iter().map(|(key, weight)| (key.clone(), *weight)));
    let (count, max) = (weights.len(), limits::FAIRNESS_WEIGHTS_MAX);
    if count > max {
        return Err(Error::invalid(format!(
            "too many fairness weight overrides: got {count}, maximum {max}"
        )));
    }
    Ok(())
}
