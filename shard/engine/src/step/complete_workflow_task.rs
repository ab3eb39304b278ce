//! CompleteWorkflowTask: a worker's decisions take effect, all of them or none (reference 2.4).

use proto::temporal::{
    common::v1::WorkerVersionStamp,
    enums::v1::{TimeoutType, WorkflowTaskFailedCause as Cause},
    failure::v1::{Failure, ServerFailureInfo, failure::FailureInfo},
    history::v1::{WorkflowTaskCompletedEventAttributes, history_event::Attributes},
};

use crate::{
    close::server_terminate,
    command::{self, Applied, Invalid, Seen},
    outcome::{Rejection, Reply, Step, WorkflowTaskCompleted},
    query,
    run::Run,
    state::{Sticky, nanos, span},
    task::TaskEnd,
    trigger::{BeginTask, CompleteWorkflowTask, TaskRef},
    tx::Tx,
    update,
};

pub(super) fn complete(mut tx: Tx<'_>, mut request: CompleteWorkflowTask) -> Result<Step, Rejection> {
    check_task(tx.run, &request.task)?;
    let is_heartbeat = request.force_new_task && request.commands.is_empty() && request.messages.is_empty();
    if is_heartbeat && heartbeats_too_long(&tx) {
        tx.end_task(TaskEnd::TimedOut(TimeoutType::StartToClose));
        let reply = Rejection::NotFound("workflow task heartbeat timeout".to_owned());
        return Ok(tx.finish(Reply::Refused(reply)));
    }
    command::check_sequence(&request.commands)?;
    command::spans::cut(&mut request.commands);
    if let Err(invalid) = check_commands(&tx, &request) {
        return fail_task(tx, invalid, request.identity);
    }
    if update::can_vanish(tx.run, &request) {
        return Ok(vanish(tx, request));
    }
    Ok(apply(tx, request))
}

/// Refuses a worker that speaks of a task that is not the started one.
pub(super) fn check_task(run: &Run, told: &TaskRef) -> Result<(), Rejection> {
    let matches = run.state.task.as_ref().is_some_and(|task| {
        task.started_event_id != 0
            && task.scheduled_event_id == told.scheduled_event_id
            && task.started_event_id == told.started_event_id
            && task.attempt == told.attempt
            && task.started_time == told.started_time
    });
    if run.is_open() && matches {
        return Ok(());
    }
    Err(Rejection::NotFound("Workflow task not found.".to_owned()))
}

fn heartbeats_too_long(tx: &Tx<'_>) -> bool {
    let Some(task) = tx.state().task.as_ref() else {
        return false;
    };
    let since = tx.now().saturating_sub(task.original_scheduled_time);
    span(since) >= tx.ctx.limits.heartbeat_chain
}

fn check_commands(tx: &Tx<'_>, request: &CompleteWorkflowTask) -> Result<(), Invalid> {
    let mut seen = Seen::default();
    for command in &request.commands {
        command::check(tx.run, tx.ctx, command, &mut seen)?;
    }
    update::check_messages(tx.run, tx.ctx, request)?;
    let closes = request
        .commands
        .last()
        .is_some_and(|command| command::is_close(command.command_type()));
    if closes && has_unhandled(tx.run, &request.commands) {
        return Err(Invalid::new(Cause::UnhandledCommand, ""));
    }
    Ok(())
}

/// Whether events wait that the worker has not seen; those that its own commands undo do not count.
fn has_unhandled(run: &Run, commands: &[proto::temporal::command::v1::Command]) -> bool {
    use proto::temporal::command::v1::command::Attributes as Command;
    run.state.buffered.iter().any(|event| {
        let Some(Attributes::TimerFiredEventAttributes(fired)) = event.attributes.as_ref() else {
            return true;
        };
        !commands.iter().any(|command| {
            matches!(command.attributes.as_ref(),
                Some(Command::CancelTimerCommandAttributes(a)) if a.timer_id == fired.timer_id)
        })
    })
}

/// Fails the task that carries an invalid command. On a later attempt nothing is written: the task times out,
/// and so its worker's attempts are spaced out.
fn fail_task(mut tx: Tx<'_>, invalid: Invalid, identity: String) -> Result<Step, Rejection> {
    let name = cause_name(invalid.cause);
    let unhandled = invalid.cause == Cause::UnhandledCommand;
    let message = if invalid.message.is_empty() {
        name
    } else {
        format!("{name}: {}", invalid.message)
    };
    let rejection = Rejection::InvalidArgument(message.clone());
    let attempt = tx.state().task.as_ref().map_or(1, |task| task.attempt);
    if attempt > 1 && !unhandled && !invalid.terminate {
        return Err(rejection);
    }
    let failure = Failure {
        message: message.clone(),
        failure_info: Some(FailureInfo::ServerFailureInfo(ServerFailureInfo::default())),
        ..Default::default()
    };
    tx.drop_task(TaskEnd::Failed {
        cause: invalid.cause,
        failure: Some(failure),
        identity,
    });
    if invalid.terminate {
        tx.terminate(server_terminate(&message));
    } else {
        tx.note(|state| state.close_attempted = unhandled);
        tx.ensure_task();
    }
    Ok(tx.finish(Reply::Refused(rejection)))
}

/// Returns the cause as the official server prints it.
fn cause_name(cause: Cause) -> String {
    let name = cause
        .as_str_name()
        .trim_start_matches("WORKFLOW_TASK_FAILED_CAUSE_");
    name.split('_')
        .map(|word| {
            let (head, tail) = word.split_at(1.min(word.len()));
            format!("{head}{}", tail.to_ascii_lowercase())
        })
        .collect()
}

/// A speculative task whose updates were all rejected leaves no trace (reference 2.6).
fn vanish(mut tx: Tx<'_>, mut request: CompleteWorkflowTask) -> Step {
    tx.run.state.task = None;
    let back_to = tx.state().last_completed_started_id;
    for message in std::mem::take(&mut request.messages) {
        update::worker_message(&mut tx, message, 0);
    }
    update::reject_unprocessed(&mut tx);
    query::answer_queries(&mut tx, std::mem::take(&mut request.query_results), false);
    let mut done = WorkflowTaskCompleted {
        reset_history_event_id: back_to,
        ..Default::default()
    };
    if update::has_admitted(tx.run) {
        tx.schedule_speculative_task();
        if request.return_new_task {
            done.next = start_inline(&mut tx, &request);
        }
    }
    tx.finish(Reply::WorkflowTaskCompleted(Box::new(done)))
}

fn apply(mut tx: Tx<'_>, mut request: CompleteWorkflowTask) -> Step {
    let Some(task) = tx.state().task.clone() else {
        return tx.finish(Reply::Done);
    };
    let chain = (request.force_new_task && request.commands.is_empty() && request.messages.is_empty())
        .then_some(task.original_scheduled_time);
    let completed_event_id = write_completed(&mut tx, &request, &task);
    let sticky = request.sticky.as_ref().map(|(queue, timeout)| Sticky {
        queue: queue.clone(),
        schedule_to_start_timeout: nanos(*timeout),
    });
    tx.note(|state| {
        state.sticky = sticky;
        state.close_attempted = false;
    });
    let mut applied = Applied::default();
    let messages = std::mem::take(&mut request.messages);
    let mut loose = Vec::new();
    for message in messages {
        if names_message(&request.commands, &message.id) {
            applied.messages.insert(message.id.clone(), message);
        } else if update::is_rejection(&message) {
            // It leaves no event, and its caller is to have it even if a command closes the run.
            update::worker_message(&mut tx, message, completed_event_id);
        } else {
            loose.push(message);
        }
    }
    for command in std::mem::take(&mut request.commands) {
        command::apply(
            &mut tx,
            command,
            completed_event_id,
            &request.identity,
            &mut applied,
        );
    }
    if tx.run.is_open() {
        for message in loose
            .into_iter()
            .chain(std::mem::take(&mut applied.messages).into_values())
        {
            update::worker_message(&mut tx, message, completed_event_id);
        }
        update::reject_unprocessed(&mut tx);
    }
    let done = follow_up(&mut tx, request, applied, chain);
    tx.finish(Reply::WorkflowTaskCompleted(Box::new(done)))
}

/// Schedules the next workflow task if one is needed, and puts it into the worker's hands if it asked for it.
fn follow_up(
    tx: &mut Tx<'_>,
    mut request: CompleteWorkflowTask,
    applied: Applied,
    chain: Option<i64>,
) -> WorkflowTaskCompleted {
    let mut done = WorkflowTaskCompleted::default();
    if tx.run.is_open() {
        done.activities = applied.eager;
        let buffered = !tx.state().buffered.is_empty();
        tx.flush_buffer();
        if request.force_new_task || buffered || applied.needs_task {
            tx.schedule_task(chain);
        } else if update::has_admitted(tx.run) {
            tx.schedule_speculative_task();
        }
    }
    let follows = tx.state().task.is_some();
    query::answer_queries(tx, std::mem::take(&mut request.query_results), follows);
    if follows && request.return_new_task {
        done.next = start_inline(tx, &request);
    }
    done
}

fn start_inline(
    tx: &mut Tx<'_>,
    request: &CompleteWorkflowTask,
) -> Option<Box<crate::outcome::StartedWorkflowTask>> {
    let task = tx.state().task.as_ref()?;
    let begin = BeginTask {
        scheduled_event_id: task.scheduled_event_id,
        attempt: task.attempt,
        queue: task.queue.clone(),
        sticky: request.sticky.is_some(),
        identity: request.identity.clone(),
        build_id: build_of(request).to_owned(),
        request_id: request.request_id.clone(),
    };
    Some(Box::new(tx.start_task(&begin)))
}

/// An old SDK's checksum is its build's id.
fn build_of(request: &CompleteWorkflowTask) -> &str {
    if request.build_id.is_empty() {
        &request.binary_checksum
    } else {
        &request.build_id
    }
}

fn names_message(commands: &[proto::temporal::command::v1::Command], id: &str) -> bool {
    use proto::temporal::command::v1::command::Attributes as Command;
    commands.iter().any(|command| {
        matches!(command.attributes.as_ref(),
            Some(Command::ProtocolMessageCommandAttributes(a)) if a.message_id == id)
    })
}

fn write_completed(
    tx: &mut Tx<'_>,
    request: &CompleteWorkflowTask,
    task: &crate::state::WorkflowTask,
) -> i64 {
    if task.transient {
        tx.run.state.task = None;
        tx.materialise(task);
        tx.run.state.task = Some(task.clone());
    }
    let started_event_id = tx.state().next_event_id - 1;
    let started_event_id = if task.transient {
        started_event_id
    } else {
        task.started_event_id
    };
    let attributes = tx.state().search_attributes.clone();
    let completed_event_id = tx.emit(completed_attributes(request, task, started_event_id));
    if tx.state().search_attributes != attributes {
        // The build ids are among the search attributes.
        tx.index();
    }
    completed_event_id
}

#[expect(deprecated, reason = "old SDKs send binary checksums and build ids this way")]
fn completed_attributes(
    request: &CompleteWorkflowTask,
    task: &crate::state::WorkflowTask,
    started_event_id: i64,
) -> Attributes {
    let build_id = build_of(request);
    Attributes::WorkflowTaskCompletedEventAttributes(Box::new(WorkflowTaskCompletedEventAttributes {
        scheduled_event_id: if task.transient {
            started_event_id - 1
        } else {
            task.scheduled_event_id
        },
        started_event_id,
        identity: request.identity.clone(),
        worker_version: (!build_id.is_empty()).then(|| WorkerVersionStamp {
            build_id: build_id.to_owned(),
            use_versioning: false,
        }),
        sdk_metadata: request.sdk_metadata.clone(),
        metering_metadata: request.metering,
        ..Default::default()
    }))
}
