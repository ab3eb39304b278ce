//! Makes what clients and workers send out of a script's words.

mod commands;

use std::{collections::BTreeMap, time::Duration};

use perdure_engine::options::{ChangeOptions, OptionParts};
use prost::{Message, Name};
use proto::{
    temporal::{
        common::v1::{Memo, Payload, Payloads, Priority, RetryPolicy},
        failure::v1::{ApplicationFailureInfo, CanceledFailureInfo, Failure, failure::FailureInfo},
        protocol::v1::Message as ProtocolMessage,
        taskqueue::v1::TaskQueue,
        update::v1::{Acceptance, Input, Meta, Outcome, Rejection, Request, Response, outcome::Value},
        workflow::v1::{VersioningOverride, versioning_override::Override},
    },
    time::duration_to_proto,
};

pub use commands::command;

/// A line's words: bare ones in order, and those of the form `key=value`.
#[derive(Clone, Debug, Default)]
pub struct Words {
    pub bare: Vec<String>,
    pub named: BTreeMap<String, String>,
}

/// Makes a change of options: `options` says which, `priority`, `fairness` and `override` to what.
pub fn options(words: &Words) -> ChangeOptions {
    let parts: Vec<_> = words.get("options").unwrap_or_default().split(',').collect();
    ChangeOptions {
        parts: OptionParts {
            versioning_override: parts.contains(&"override"),
            priority: parts.contains(&"priority"),
            priority_key: parts.contains(&"key"),
            fairness_key: parts.contains(&"fairness"),
            fairness_weight: false,
        },
        versioning_override: words.has("auto-upgrade").then(|| VersioningOverride {
            r#override: Some(Override::AutoUpgrade(true)),
            ..VersioningOverride::default()
        }),
        priority: words.get("priority").map(|key| Priority {
            priority_key: key.parse().expect("a priority is a number"),
            fairness_key: words.text("fairness"),
            ..Priority::default()
        }),
        identity: "client".to_owned(),
    }
}

impl Words {
    /// Splits at spaces outside double quotes.
    pub fn parse(line: &str) -> Self {
        let mut words = Self::default();
        let mut word = String::new();
        let mut quoted = false;
        for c in line.chars().chain([' ']) {
            match c {
                '"' => quoted = !quoted,
                ' ' if !quoted => {
                    let done = std::mem::take(&mut word);
                    match done.split_once('=') {
                        _ if done.is_empty() => {}
                        Some((key, value)) => {
                            words.named.insert(key.to_owned(), value.to_owned());
                        }
                        None => words.bare.push(done),
                    }
                }
                c => word.push(c),
            }
        }
        words
    }

    pub fn word(&self, at: usize) -> &str {
        self.bare.get(at).map_or("", String::as_str)
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.named.get(key).map(String::as_str)
    }

    pub fn text(&self, key: &str) -> String {
        self.get(key).unwrap_or_default().to_owned()
    }

    pub fn number(&self, at: usize) -> i64 {
        self.word(at)
            .parse()
            .unwrap_or_else(|_| panic!("{:?} is no number", self.word(at)))
    }

    pub fn has(&self, flag: &str) -> bool {
        self.bare.iter().any(|word| word == flag)
    }

    pub fn span(&self, key: &str) -> Duration {
        self.get(key).map_or(Duration::ZERO, span)
    }
}

/// `250ms`, `5s`, `2m`, `1h`.
pub fn span(text: &str) -> Duration {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let count: u64 = digits.parse().unwrap_or_else(|_| panic!("{text:?} is no span"));
    match &text[digits.len()..] {
        "ms" => Duration::from_millis(count),
        "s" => Duration::from_secs(count),
        "m" => Duration::from_secs(count * 60),
        "h" => Duration::from_secs(count * 3600),
        unit => panic!("{unit:?} is no unit"),
    }
}

pub fn payload(text: &str) -> Payload {
    Payload {
        metadata: [("encoding".to_owned(), b"json/plain".to_vec())].into(),
        data: format!("\"{text}\"").into(),
        ..Payload::default()
    }
}

pub fn payloads(text: &str) -> Option<Payloads> {
    (!text.is_empty()).then(|| Payloads {
        payloads: vec![payload(text)],
    })
}

pub fn failure(words: &Words, message: &str) -> Failure {
    let info = if words.has("canceled") {
        FailureInfo::CanceledFailureInfo(CanceledFailureInfo::default())
    } else {
        FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
            r#type: words.get("kind").unwrap_or("Boom").to_owned(),
            non_retryable: words.has("non-retryable"),
            next_retry_delay: words.get("next-delay").map(|text| duration_to_proto(span(text))),
            ..Default::default()
        })
    };
    Failure {
        message: message.to_owned(),
        failure_info: Some(info),
        ..Failure::default()
    }
}

/// `retry=3` for at most 3 attempts a second apart.
pub fn retry(words: &Words) -> Option<RetryPolicy> {
    let maximum_attempts = words
        .get("retry")?
        .parse()
        .expect("retry takes a number of attempts");
    Some(RetryPolicy {
        initial_interval: Some(duration_to_proto(Duration::from_secs(1))),
        backoff_coefficient: 2.0,
        maximum_interval: Some(duration_to_proto(Duration::from_secs(100))),
        maximum_attempts,
        ..RetryPolicy::default()
    })
}

pub fn queue(name: &str) -> Option<TaskQueue> {
    Some(TaskQueue {
        name: name.to_owned(),
        kind: 1,
        ..TaskQueue::default()
    })
}

fn fields(words: &Words, from: usize) -> BTreeMap<String, Payload> {
    let pairs = words
        .bare
        .iter()
        .skip(from)
        .filter_map(|word| word.split_once(':'));
    pairs
        .map(|(key, value)| {
            (
                key.to_owned(),
                if value.is_empty() {
                    Payload::default()
                } else {
                    payload(value)
                },
            )
        })
        .collect()
}

pub fn memo(text: &str) -> Option<Memo> {
    (!text.is_empty()).then(|| Memo {
        fields: [(text.to_owned(), payload(text))].into(),
    })
}

/// Makes the message that a worker sends of an update, if the words are one.
pub fn update_message(words: &Words, sequencing_event_id: i64) -> Option<ProtocolMessage> {
    let id = words.word(1);
    let request_id = format!("{id}/request");
    let body = match words.word(0) {
        "accept" => any(&Acceptance {
            accepted_request_message_id: request_id,
            accepted_request_sequencing_event_id: sequencing_event_id,
            accepted_request: words.has("with-request").then(|| update_request(id)),
        }),
        "reject" => any(&Rejection {
            rejected_request_message_id: request_id,
            rejected_request_sequencing_event_id: sequencing_event_id,
            failure: Some(failure(words, words.word(2))),
            ..Default::default()
        }),
        "respond" => {
            let value = match words.get("failure") {
                Some(text) => Value::Failure(failure(words, text)),
                None => Value::Success(payloads(words.word(2)).unwrap_or_default()),
            };
            any(&Response {
                meta: update_request(id).meta,
                outcome: Some(Outcome { value: Some(value) }),
            })
        }
        _ => return None,
    };
    let (id, protocol_instance_id) = (format!("{id}/{}", words.word(0)), id.to_owned());
    Some(ProtocolMessage {
        id,
        protocol_instance_id,
        body: Some(body),
        ..ProtocolMessage::default()
    })
}

pub fn update_request(id: &str) -> Request {
    Request {
        meta: Some(Meta {
            update_id: id.to_owned(),
            identity: "client".to_owned(),
        }),
        input: Some(Input {
            name: "change".to_owned(),
            args: payloads("arg"),
            header: None,
        }),
        ..Request::default()
    }
}

fn any<M: Message + Name>(message: &M) -> prost_types::Any {
    prost_types::Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}
