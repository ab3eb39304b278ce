//! Service: what a node answers other nodes. It asks only what is here; where that is not the case it says so.

use engine::outcome::Reply;
use matching::{
    error::{AskError as QueueError, QueryError},
    handle::Polled,
    output::Given,
};
use proto::node::{
    Frame,
    node_server::{Node, NodeServer},
};
use shard::input::Input;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

use crate::{
    keeper::Notice,
    queue::poll_here,
    router::{AskError, Router, now},
    rpc::{
        Call, Hint, VERSION,
        peer::{CONNECTION_WINDOW, MESSAGE_BYTES_MAX, STREAM_WINDOW},
    },
    wire::{Wire, encode},
};

/// Streams that one node may have open here: its long polls.
const STREAMS_MAX: u32 = 120_000;

/// Answers other nodes until its future is dropped.
pub(crate) async fn serve(listener: TcpListener, router: Router) {
    let node = NodeServer::new(NodeService(router))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let served = tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS_MAX)
        .add_service(node)
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "service for other nodes failed");
    }
}

struct NodeService(Router);

#[tonic::async_trait]
impl Node for NodeService {
    async fn call(&self, request: Request<Frame>) -> Result<Response<Frame>, Status> {
        let frame = request.into_inner();
        let call = Call::take(frame.body).map_err(|error| {
            tracing::error!(%error, version = frame.version, "call of another node");
            Status::invalid_argument(error.to_string())
        })?;
        let body = answer(&self.0, call).await;
        Ok(Response::new(Frame {
            version: VERSION,
            body,
        }))
    }
}

async fn answer(router: &Router, call: Call) -> bytes::Bytes {
    match call {
        Call::Ask { target, request, map } => {
            router.heard_of_map(map).await;
            let reply: Result<Reply, AskError> = router.ask_here(target, request).await;
            encode(&reply)
        }
        Call::Poll { queue, poller, wait } => {
            let polled: Result<Polled, QueueError> = match router.queue_here(&queue) {
                Some(handle) => poll_here(router, &handle, poller, now() + wait).await,
                None => Err(QueueError::Gone),
            };
            if let Ok(Polled::Task(give)) = &polled
                && let Given::Ticket(ticket) = &give.task
            {
                router.0.lent.put(queue, ticket.clone(), now());
            }
            encode(&polled)
        }
        Call::Query { queue, task, wait } => encode(&match router.queue_here(&queue) {
            Some(handle) => handle.query(task, now() + wait).await,
            None => Err(QueryError::Moved),
        }),
        Call::AnswerQuery { queue, id, answer } => encode(&match router.queue_here(&queue) {
            Some(handle) => handle.answer(id, answer).await,
            None => Err(matching::error::AnswerError::Gone),
        }),
        Call::View { queue } => encode(&match router.queue_here(&queue) {
            Some(handle) => handle.view().await,
            None => Err(QueueError::Gone),
        }),
        Call::WorkerShutdown { queue, worker } => encode(&match router.queue_here(&queue) {
            Some(handle) => handle.worker_shutdown(worker.into()),
            None => Err(QueueError::Gone),
        }),
        Call::Hints { hints } => {
            for hint in hints {
                take_hint(router, hint);
            }
            encode(&())
        }
        Call::HandOver { shards, to } => encode(&router.hand_over(shards, to).await),
        Call::Operate { question } => encode(&router.operate_here(question).await),
        Call::Workers { question } => router.answer_of_workers(question),
    }
}

/// Does what another node said; what is not here any more goes back to whom it concerns.
pub(crate) fn take_hint(router: &Router, hint: Hint) {
    match hint {
        Hint::Announce { queue, ticket } => router.announce_here(queue, ticket),
        Hint::HeldBack {
            queue,
            shard,
            count,
            oldest,
        } => {
            if let Some(handle) = router.queue_here(&queue) {
                // Said again with the next ticket that is held back.
                let _ = handle.held_back(shard, count, oldest);
            }
        }
        Hint::Took { ticket, .. } => router.0.lent.took(&ticket),
        Hint::Refused {
            shard,
            queue,
            run,
            task,
            why,
        } => router.tell_here(
            shard,
            Input::Refused {
                queue,
                run,
                task,
                why,
            },
        ),
        Hint::Credit { shard, queue, free } => router.tell_here(shard, Input::Credit { queue, free }),
        // A full mailbox loses it: the shard is asked for again by itself.
        Hint::Freed { shard } => drop(router.0.keeper.try_send(Notice::Freed(shard))),
        // Nobody may listen yet: whoever begins to reads everything.
        Hint::News(news) => drop(router.0.news.send(news)),
    }
}
