//! Spans of time in commands: what is absurdly long is cut (reference 0.5).

use proto::temporal::command::v1::{Command, command::Attributes};

use proto::temporal::common::v1::RetryPolicy;

use crate::limits::SPAN_MAX;

/// Cuts the spans that nobody will live to see the end of.
pub(crate) fn cut(commands: &mut [Command]) {
    for command in commands {
        each(command, |span| {
            if let Some(span) = span
                && (span.seconds, span.nanos) > (SPAN_MAX.seconds, SPAN_MAX.nanos)
            {
                *span = SPAN_MAX;
            }
        });
    }
}

fn each(command: &mut Command, mut visit: impl FnMut(&mut Option<prost_types::Duration>)) {
    match command.attributes.as_mut() {
        Some(Attributes::StartTimerCommandAttributes(a)) => visit(&mut a.start_to_fire_timeout),
        Some(Attributes::ScheduleActivityTaskCommandAttributes(a)) => {
            visit(&mut a.schedule_to_close_timeout);
            visit(&mut a.schedule_to_start_timeout);
            visit(&mut a.start_to_close_timeout);
            visit(&mut a.heartbeat_timeout);
            each_of_policy(a.retry_policy.as_mut(), visit);
        }
        Some(Attributes::StartChildWorkflowExecutionCommandAttributes(a)) => {
            visit(&mut a.workflow_execution_timeout);
            visit(&mut a.workflow_run_timeout);
            visit(&mut a.workflow_task_timeout);
            each_of_policy(a.retry_policy.as_mut(), visit);
        }
        Some(Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(a)) => {
            visit(&mut a.workflow_run_timeout);
            visit(&mut a.workflow_task_timeout);
            visit(&mut a.backoff_start_interval);
            each_of_policy(a.retry_policy.as_mut(), visit);
        }
        _ => {}
    }
}

fn each_of_policy(
    policy: Option<&mut RetryPolicy>,
    mut visit: impl FnMut(&mut Option<prost_types::Duration>),
) {
    if let Some(policy) = policy {
        visit(&mut policy.initial_interval);
        visit(&mut policy.maximum_interval);
    }
}

#[cfg(test)]
mod tests {
    use proto::temporal::command::v1::{ScheduleActivityTaskCommandAttributes, StartTimerCommandAttributes};

    use super::*;

    fn seconds(seconds: i64) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos: 5 })
    }

    #[test]
    fn spans_are_a_hundred_years_at_most() {
        let timer = StartTimerCommandAttributes {
            start_to_fire_timeout: seconds(i64::MAX),
            ..Default::default()
        };
        let activity = ScheduleActivityTaskCommandAttributes {
            schedule_to_close_timeout: seconds(SPAN_MAX.seconds),
            start_to_close_timeout: seconds(7),
            retry_policy: Some(RetryPolicy {
                maximum_interval: seconds(SPAN_MAX.seconds * 2),
                ..Default::default()
            }),
            ..Default::default()
        };
        let attributes = [
            Attributes::StartTimerCommandAttributes(timer.into()),
            Attributes::ScheduleActivityTaskCommandAttributes(activity.into()),
        ];
        let mut commands = attributes.map(|attributes| Command {
            attributes: Some(attributes),
            ..Default::default()
        });
        cut(&mut commands);
        let mut seen = Vec::new();
        for command in &mut commands {
            each(command, |span| {
                seen.extend(span.map(|span| (span.seconds, span.nanos)))
            });
        }
        let most = (SPAN_MAX.seconds, 0);
        assert_eq!(seen, [most, most, (7, 5), most]);
    }
}
