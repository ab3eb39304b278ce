//! Messages over the limit of 4 MiB: refused in the official server's words, without being kept, on a connection
//! that lives on.

use std::fmt;

use bytes::Bytes;
use prost::Message;
use proto::temporal::{
    query::v1::WorkflowQuery,
    workflowservice::v1::{
        GetSystemInfoRequest, QueryWorkflowRequest, RecordActivityTaskHeartbeatRequest,
        RespondActivityTaskCompletedRequest, SignalWorkflowExecutionRequest, StartWorkflowExecutionRequest,
    },
};
use tonic::{Code, Status, codec::CompressionEncoding};

use crate::{
    client::{
        self, NAMESPACE, Service, answer, complete, execution, long, of, payloads, poll_workflow, timed,
    },
    server::Server,
};

const MIB: usize = 1 << 20;
const SIZES: [usize; 2] = [5 * MIB, 100 * MIB];
const QUEUE: &str = "messages";
const GROWTH_MAX: u64 = 64 << 20;

/// What a server said of a message.
struct Said {
    what: &'static str,
    bytes: usize,
    answer: Result<(), Status>,
}

/// Sends large messages to our server, again and again, and looks at its memory.
pub(crate) async fn run(server: &Server, rounds: usize) -> Result<(), String> {
    against(server.address()).await?;
    let before = server.resources()?;
    for _ in 1..rounds {
        against(server.address()).await?;
    }
    let after = server.resources()?;
    println!("messages: before {before}; after {rounds} rounds {after}");
    after.check_growth(&before, GROWTH_MAX, "large messages")
}

/// Sends large messages, and one that is small until it is unpacked, over one connection.
pub(crate) async fn against(address: &str) -> Result<(), String> {
    let mut service = client::connect(address).await?;
    // Ends with an error if the connection does; a new connection would not bring it back.
    let mut poller = service.clone();
    let waiting =
        tokio::spawn(async move { poller.poll_workflow_task_queue(long(poll_workflow(QUEUE))).await });
    for bytes in SIZES {
        for said in [
            start(&mut service, bytes).await,
            signal(&mut service, bytes).await,
            query(&mut service, bytes).await,
            complete_task(&mut service, bytes).await,
            complete_activity(&mut service, bytes).await,
            heartbeat(&mut service, bytes).await,
        ] {
            said.check(&format!(
                "grpc: received message larger than max ({} vs. 4194304)",
                said.bytes
            ))?;
        }
    }
    let mut packed = service.clone().send_compressed(CompressionEncoding::Gzip);
    for bytes in SIZES {
        let said = start(&mut packed, bytes).await;
        said.check("grpc: received message after decompression larger than max 4194304")?;
    }
    service
        .get_system_info(timed(GetSystemInfoRequest::default()))
        .await
        .map_err(of("get system info after large messages"))?;
    if waiting.is_finished() {
        return Err(format!(
            "a poll on the same connection ended: {:?}",
            waiting.await.map(|poll| poll.map(|_| ()))
        ));
    }
    waiting.abort();
    Ok(())
}

impl Said {
    fn check(&self, message: &str) -> Result<(), String> {
        let fine = matches!(&self.answer, Err(status)
            if status.code() == Code::ResourceExhausted
                && status.message() == message
                && status.details().is_empty()
                && status.metadata().get("x-resource-exhausted-cause").is_none());
        if fine { Ok(()) } else { Err(self.to_string()) }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} bytes: {:?}", self.what, self.bytes, self.answer)
    }
}

fn zeros(bytes: usize) -> Option<proto::temporal::common::v1::Payloads> {
    payloads(Bytes::from(vec![0; bytes]))
}

async fn start(service: &mut Service, bytes: usize) -> Said {
    let message = StartWorkflowExecutionRequest {
        input: zeros(bytes),
        ..client::start("large", QUEUE, std::time::Duration::from_secs(10))
    };
    Said {
        what: "start",
        bytes: message.encoded_len(),
        answer: service.start_workflow_execution(timed(message)).await.map(drop),
    }
}

async fn signal(service: &mut Service, bytes: usize) -> Said {
    let message = SignalWorkflowExecutionRequest {
        namespace: NAMESPACE.to_owned(),
        workflow_execution: execution("large"),
        signal_name: "large".to_owned(),
        input: zeros(bytes),
        ..Default::default()
    };
    Said {
        what: "signal",
        bytes: message.encoded_len(),
        answer: service.signal_workflow_execution(timed(message)).await.map(drop),
    }
}

async fn query(service: &mut Service, bytes: usize) -> Said {
    let message = QueryWorkflowRequest {
        namespace: NAMESPACE.to_owned(),
        execution: execution("large"),
        query: Some(WorkflowQuery {
            query_type: "large".to_owned(),
            query_args: zeros(bytes),
            ..Default::default()
        }),
        ..Default::default()
    };
    Said {
        what: "query",
        bytes: message.encoded_len(),
        answer: service.query_workflow(timed(message)).await.map(drop),
    }
}

async fn complete_task(service: &mut Service, bytes: usize) -> Said {
    let message = answer(vec![1], vec![complete(zeros(bytes))]);
    Said {
        what: "complete workflow task",
        bytes: message.encoded_len(),
        answer: service
            .respond_workflow_task_completed(timed(message))
            .await
            .map(drop),
    }
}

async fn complete_activity(service: &mut Service, bytes: usize) -> Said {
    let message = RespondActivityTaskCompletedRequest {
        namespace: NAMESPACE.to_owned(),
        task_token: vec![1],
        result: zeros(bytes),
        ..Default::default()
    };
    Said {
        what: "complete activity",
        bytes: message.encoded_len(),
        answer: service
            .respond_activity_task_completed(timed(message))
            .await
            .map(drop),
    }
}

async fn heartbeat(service: &mut Service, bytes: usize) -> Said {
    let message = RecordActivityTaskHeartbeatRequest {
        namespace: NAMESPACE.to_owned(),
        task_token: vec![1],
        details: zeros(bytes),
        ..Default::default()
    };
    Said {
        what: "heartbeat",
        bytes: message.encoded_len(),
        answer: service
            .record_activity_task_heartbeat(timed(message))
            .await
            .map(drop),
    }
}
