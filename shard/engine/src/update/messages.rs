//! What a worker says of updates with a completed workflow task: checked as a whole, then applied one by one.

use std::collections::BTreeMap;

use prost::{Message, Name};
use proto::temporal::{
    command::v1::command::Attributes as Command,
    enums::v1::WorkflowTaskFailedCause,
    history::v1::{
        WorkflowExecutionUpdateAcceptedEventAttributes, WorkflowExecutionUpdateCompletedEventAttributes,
        history_event::Attributes,
    },
    protocol::v1::Message as ProtocolMessage,
    update::v1::{Acceptance, Outcome, Rejection, Response, outcome::Value},
};

use super::reject;
use crate::{
    command::Invalid,
    nesting,
    run::{LiveStage, Run},
    trigger::{CompleteWorkflowTask, Context},
    tx::Tx,
};

/// A message's body.
enum Body {
    Accept(Box<Acceptance>),
    Reject(Box<Rejection>),
    Respond(Box<Response>),
}

/// How far an update is while its messages are checked.
#[derive(Clone, Copy, Debug)]
enum Progress {
    Admitted,
    Sent,
    ProvisionallyAccepted,
    Accepted,
    ProvisionallyCompleted,
    Completed,
}

/// Refuses messages that do not fit the updates that they speak of. They are taken in the order of the commands
/// that name them; those that no command names come last.
pub(crate) fn check_messages(
    run: &Run,
    ctx: &Context<'_>,
    request: &CompleteWorkflowTask,
) -> Result<(), Invalid> {
    let mut unnamed: Vec<_> = request.messages.iter().collect();
    let mut progress = BTreeMap::new();
    for command in &request.commands {
        let Some(Command::ProtocolMessageCommandAttributes(a)) = &command.attributes else {
            continue;
        };
        let Some(at) = unnamed.iter().position(|message| message.id == a.message_id) else {
            return Err(bad(format!(
                "ProtocolMessageCommand referenced absent message ID {}",
                a.message_id
            )));
        };
        check_message(run, ctx, unnamed.remove(at), &mut progress)?;
    }
    for message in unnamed {
        check_message(run, ctx, message, &mut progress)?;
    }
    Ok(())
}

fn check_message<'a>(
    run: &Run,
    ctx: &Context<'_>,
    message: &'a ProtocolMessage,
    progress: &mut BTreeMap<&'a str, Progress>,
) -> Result<(), Invalid> {
    let id = message.protocol_instance_id.as_str();
    let body = body(message)?;
    check_size(ctx, message)?;
    let now = progress
        .get(id)
        .copied()
        .or_else(|| known(run, id))
        .or_else(|| resurrected(&body));
    let Some(now) = now else {
        return Err(bad(format!(
            "update {id} wasn't found on the server. This is most likely a transient error which will be resolved \
             automatically by retries"
        )));
    };
    check_fields(id, &body)?;
    let next = match (&body, now) {
        (Body::Accept(_), Progress::Sent) => Progress::ProvisionallyAccepted,
        (Body::Reject(_), Progress::Sent) => Progress::ProvisionallyCompleted,
        (Body::Respond(_), Progress::ProvisionallyAccepted | Progress::Accepted) => {
            Progress::ProvisionallyCompleted
        }
        _ => {
            return Err(bad(format!(
                "invalid state transition attempted for Update {id}: received {} message while in state {now:?}",
                name(&body)
            )));
        }
    };
    progress.insert(id, next);
    Ok(())
}

fn check_fields(id: &str, body: &Body) -> Result<(), Invalid> {
    let problem = match body {
        Body::Accept(a) if a.accepted_request_message_id.is_empty() => {
            "accepted_request_message_id is not set".to_owned()
        }
        Body::Accept(a) if a.accepted_request_sequencing_event_id == 0 => {
            "accepted_request_sequencing_event_id is not set".to_owned()
        }
        Body::Respond(a) => match &a.meta {
            None => "meta is not set".to_owned(),
            Some(meta) if meta.update_id != id => format!("meta.update_id != {id}"),
            Some(_) if a.outcome.is_none() => "outcome is not set".to_owned(),
            Some(_) => return Ok(()),
        },
        Body::Accept(_) | Body::Reject(_) => return Ok(()),
    };
    Err(bad(format!("invalid {}: {problem}", name(body))))
}

fn check_size(ctx: &Context<'_>, message: &ProtocolMessage) -> Result<(), Invalid> {
    let body = message.body.as_ref();
    if body.map_or(0, |body| body.value.len()) <= ctx.limits.blob_bytes {
        return Ok(());
    }
    let kind = body
        .and_then(|body| body.type_url.rsplit('/').next())
        .unwrap_or_default();
    // The worker would send the same again for ever.
    Err(Invalid {
        terminate: true,
        ..bad(format!("Message type {kind} exceeds size limit."))
    })
}

/// How far the run knows the update to be.
fn known(run: &Run, id: &str) -> Option<Progress> {
    match run.state.updates.get(id) {
        Some(update) if update.completed_event_id != 0 => Some(Progress::Completed),
        Some(update) if update.accepted_event_id != 0 => Some(Progress::Accepted),
        // A reset admitted it again: workers see that in history, no message carries it.
        Some(_) => Some(Progress::Sent),
        None => run.live.updates.get(id).map(|update| match update.stage {
            LiveStage::Admitted => Progress::Admitted,
            LiveStage::Sent => Progress::Sent,
            LiveStage::Accepted => Progress::Accepted,
        }),
    }
}

/// An update that the server has lost with its memory goes on if the worker sends its request back.
fn resurrected(body: &Body) -> Option<Progress> {
    let has_request = match body {
        Body::Accept(a) => a.accepted_request.is_some(),
        Body::Reject(a) => a.rejected_request.is_some(),
        Body::Respond(_) => false,
    };
    has_request.then_some(Progress::Sent)
}

/// Lets a checked message take effect.
pub(crate) fn worker_message(tx: &mut Tx<'_>, message: ProtocolMessage, _completed_event_id: i64) {
    let id = message.protocol_instance_id.clone();
    match body(&message) {
        Ok(Body::Accept(acceptance)) => accept(tx, id, *acceptance),
        Ok(Body::Respond(response)) => respond(tx, &id, *response),
        Ok(Body::Reject(rejection)) => {
            reject(tx, &id, nesting::bounded(rejection.failure.unwrap_or_default()))
        }
        Err(_) => {}
    }
}

fn accept(tx: &mut Tx<'_>, id: String, acceptance: Acceptance) {
    // The server's own copy counts; the worker's serves where that was lost.
    let mut accepted_request = acceptance.accepted_request;
    if let Some(update) = tx.run.live.updates.get_mut(&id) {
        update.stage = LiveStage::Accepted;
        let request = std::mem::take(&mut update.request);
        if request.meta.is_some() {
            accepted_request = Some(request);
        }
    }
    if tx.state().updates.contains_key(&id) {
        // History has the request already, in the event by which a reset admitted it.
        accepted_request = None;
    }
    let event = WorkflowExecutionUpdateAcceptedEventAttributes {
        protocol_instance_id: id.clone(),
        accepted_request_message_id: acceptance.accepted_request_message_id,
        accepted_request_sequencing_event_id: acceptance.accepted_request_sequencing_event_id,
        accepted_request,
    };
    tx.emit(Attributes::WorkflowExecutionUpdateAcceptedEventAttributes(
        event.into(),
    ));
    tx.notify_update(&id);
}

fn respond(tx: &mut Tx<'_>, id: &str, response: Response) {
    let accepted_event_id = tx
        .state()
        .updates
        .get(id)
        .map_or(0, |update| update.accepted_event_id);
    let event = WorkflowExecutionUpdateCompletedEventAttributes {
        meta: response.meta,
        accepted_event_id,
        outcome: response.outcome.map(bounded),
    };
    tx.emit(Attributes::WorkflowExecutionUpdateCompletedEventAttributes(
        event.into(),
    ));
    tx.notify_update(id);
}

fn bounded(outcome: Outcome) -> Outcome {
    let value = outcome.value.map(|value| match value {
        Value::Failure(failure) => Value::Failure(nesting::bounded(failure)),
        Value::Success(result) => Value::Success(result),
    });
    Outcome { value }
}

/// Tells whether the message rejects an update.
pub(crate) fn is_rejection(message: &ProtocolMessage) -> bool {
    message.body.as_ref().is_some_and(is::<Rejection>)
}

fn is<T: Name>(body: &prost_types::Any) -> bool {
    body.type_url.rsplit('/').next() == Some(T::full_name().as_str())
}

fn body(message: &ProtocolMessage) -> Result<Body, Invalid> {
    let Some(any) = &message.body else {
        return Err(bad("nil message body"));
    };
    let bytes = any.value.as_slice();
    let body = if is::<Acceptance>(any) {
        Acceptance::decode(bytes).map(|body| Body::Accept(Box::new(body)))
    } else if is::<Rejection>(any) {
        Rejection::decode(bytes).map(|body| Body::Reject(Box::new(body)))
    } else if is::<Response>(any) {
        Response::decode(bytes).map(|body| Body::Respond(Box::new(body)))
    } else {
        return Err(bad(format!(
            "Message type {} not supported",
            short_name(&any.type_url)
        )));
    };
    body.map_err(|error| bad(format!("unable to unmarshal message body: {error}")))
}

/// Returns the body's type as the official server prints it.
fn name(body: &Body) -> String {
    match body {
        Body::Accept(_) => short_name(&Acceptance::full_name()),
        Body::Reject(_) => short_name(&Rejection::full_name()),
        Body::Respond(_) => short_name(&Response::full_name()),
    }
}

/// `temporal.api.update.v1.Response` is printed as `*update.Response`.
fn short_name(full: &str) -> String {
    let full = full.rsplit('/').next().unwrap_or_default();
    let mut parts = full.rsplit('.');
    let (kind, _version, package) = (parts.next(), parts.next(), parts.next());
    format!("*{}.{}", package.unwrap_or_default(), kind.unwrap_or_default())
}

fn bad(message: impl Into<String>) -> Invalid {
    Invalid::new(
        WorkflowTaskFailedCause::BadUpdateWorkflowExecutionMessage,
        message,
    )
}
