//! Answers the updates that a workflow task brings: each is accepted and completed at once. Pure.

use prost::Message as _;
use prost_types::Any;
use proto::temporal::{
    command::v1::Command,
    protocol::v1::{Message, message::SequencingId},
    update::v1::{Acceptance, Outcome, Request, Response, outcome::Value},
};

use super::command;
use crate::payload::Filler;

/// What to send back for the updates of one task.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub updates: u32,
    pub messages: Vec<Message>,
    /// Give the messages their order; they come before the workflow's own commands.
    pub commands: Vec<Command>,
}

/// Accepts and completes every update request among the messages.
pub(crate) fn answer(messages: &[Message], filler: &Filler) -> Answers {
    let mut answers = Answers::default();
    for message in messages {
        let Some(request) = message
            .body
            .as_ref()
            .and_then(|body| Request::decode(&body.value[..]).ok())
        else {
            continue;
        };
        answers.updates += 1;
        let meta = request.meta.clone();
        let sequencing_event_id = match message.sequencing_id {
            Some(SequencingId::EventId(event_id)) => event_id,
            _ => 0,
        };
        let acceptance = Acceptance {
            accepted_request_message_id: message.id.clone(),
            accepted_request_sequencing_event_id: sequencing_event_id,
            accepted_request: Some(request),
        };
        answers.push(
            "accept",
            &message.protocol_instance_id,
            pack("Acceptance", &acceptance),
        );
        let response = Response {
            meta,
            outcome: Some(success(filler)),
        };
        answers.push(
            "complete",
            &message.protocol_instance_id,
            pack("Response", &response),
        );
    }
    answers
}

impl Answers {
    fn push(&mut self, step: &str, update_id: &str, body: Any) {
        let id = format!("{update_id}/{step}");
        self.commands.push(command::protocol_message(id.clone()));
        self.messages.push(Message {
            id,
            protocol_instance_id: update_id.to_owned(),
            body: Some(body),
            sequencing_id: None,
        });
    }
}

fn success(filler: &Filler) -> Outcome {
    Outcome {
        value: Some(Value::Success(filler.plain())),
    }
}

fn pack(name: &str, message: &impl prost::Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/temporal.api.update.v1.{name}"),
        value: message.encode_to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use proto::temporal::update::v1::Meta;

    use super::*;

    #[test]
    fn an_update_is_accepted_then_completed() {
        let request = Request {
            meta: Some(Meta {
                update_id: "u1".into(),
                identity: "me".into(),
            }),
            ..Default::default()
        };
        let message = Message {
            id: "u1/request".into(),
            protocol_instance_id: "u1".into(),
            body: Some(pack("Request", &request)),
            sequencing_id: Some(SequencingId::EventId(5)),
        };
        let answers = answer(&[message], &Filler::new(10));
        assert_eq!(
            (answers.updates, answers.commands.len(), answers.messages.len()),
            (1, 2, 2)
        );
        let body = |at: usize| answers.messages[at].body.clone().unwrap();
        let acceptance = Acceptance::decode(&body(0).value[..]).unwrap();
        assert_eq!(acceptance.accepted_request_message_id, "u1/request");
        assert_eq!(acceptance.accepted_request_sequencing_event_id, 5);
        assert_eq!(acceptance.accepted_request, Some(request.clone()));
        let response = Response::decode(&body(1).value[..]).unwrap();
        assert_eq!(response.meta, request.meta);
    }

    #[test]
    fn other_messages_are_left_alone() {
        assert_eq!(answer(&[Message::default()], &Filler::new(10)).messages.len(), 0);
    }
}
