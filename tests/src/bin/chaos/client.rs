//! Calls to a server that comes and goes: made again until it answers, and any odd answer is a violation.

use std::{
    error::Error as _,
    future::Future,
    io,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use proto::temporal::{
    common::v1::{Payload, Payloads, WorkflowExecution},
    enums::v1::HistoryEventFilterType,
    history::v1::HistoryEvent,
    workflowservice::v1::{
        GetSystemInfoRequest, GetWorkflowExecutionHistoryRequest, GetWorkflowExecutionHistoryResponse,
        workflow_service_client::WorkflowServiceClient,
    },
};
use tokio::sync::mpsc::Sender;
use tonic::{
    Code, Request, Response, Status,
    transport::{Channel, Endpoint},
};

use crate::ledger::Ledger;

pub(crate) type Service = WorkflowServiceClient<Channel>;

pub(crate) const NAMESPACE: &str = "default";
pub(crate) const QUEUE: &str = "chaos";

/// Connections to each node.
const CONNECTIONS: usize = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A call that takes longer is made again; long polls end before.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
/// Between attempts while the server is down; short, so that clients are there the moment it listens.
const RETRY_PAUSE: Duration = Duration::from_millis(25);
const HISTORY_PAGE_EVENTS: i32 = 1000;

/// Connections to all nodes, which take calls in turn.
pub(crate) struct Api {
    targets: RwLock<Vec<Target>>,
    next: AtomicUsize,
    violations: Sender<String>,
    pub(crate) ledger: Ledger,
}

struct Target {
    address: String,
    services: Vec<Service>,
    /// It has not said that it does not serve, or nobody listens to that.
    serves: bool,
}

impl Api {
    pub(crate) fn new(addresses: &[String], violations: Sender<String>) -> Result<Self, String> {
        let api = Self {
            targets: RwLock::default(),
            next: AtomicUsize::new(0),
            violations,
            ledger: Ledger::new(),
        };
        for address in addresses {
            api.add(address)?;
        }
        Ok(api)
    }

    /// Takes a node among those that are called.
    pub(crate) fn add(&self, address: &str) -> Result<(), String> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| format!("read address {address}: {error}"))?
            .connect_timeout(CONNECT_TIMEOUT);
        let services = (0..CONNECTIONS).map(|_| WorkflowServiceClient::new(endpoint.connect_lazy()));
        self.targets
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Target {
                address: address.to_owned(),
                services: services.collect(),
                serves: true,
            });
        Ok(())
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        let targets = self.targets.read().unwrap_or_else(PoisonError::into_inner);
        targets.iter().map(|target| target.address.clone()).collect()
    }

    /// A node has said whether it serves: calls go elsewhere while it does not.
    pub(crate) fn set_serving(&self, address: &str, serves: bool) {
        let mut targets = self.targets.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = targets.iter_mut().find(|target| target.address == address) {
            target.serves = serves;
        }
    }

    pub(crate) fn remove(&self, address: &str) {
        let mut targets = self.targets.write().unwrap_or_else(PoisonError::into_inner);
        targets.retain(|target| target.address != address);
    }

    /// Reports what must never happen; the first report ends the program.
    pub(crate) fn violation(&self, text: String) {
        // A full channel already holds the first one.
        let _ = self.violations.try_send(text);
    }

    /// Makes a call until the server has answered it; `Err` is such an answer. What became of each attempt is
    /// counted, however it goes on.
    pub(crate) async fn call<Q, A, F>(
        &self,
        message: &Q,
        rpc: impl Fn(Service, Request<Q>) -> F,
    ) -> Result<A, Status>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let name = call_name::<Q>();
        let mut unsent = 0;
        loop {
            let mut request = Request::new(message.clone());
            request.set_timeout(CALL_TIMEOUT);
            let began = Instant::now();
            match rpc(self.service(), request).await {
                Ok(response) => {
                    self.ledger.answered(name, began.elapsed());
                    return Ok(response.into_inner());
                }
                // Nobody was there: another node is asked at once, and after a round of all there is a pause.
                Err(status) if never_left(&status) => {
                    self.ledger.unsent();
                    unsent += 1;
                    if unsent % self.nodes() == 0 {
                        tokio::time::sleep(RETRY_PAUSE).await;
                    }
                }
                Err(status) if passing(&status) => {
                    self.ledger.failed(name, code_of(&status), || why(&status));
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(status) => {
                    self.ledger.refused(name, status.code(), began.elapsed());
                    return Err(status);
                }
            }
        }
    }

    /// A worker was told that what it was given to do is not known.
    pub(crate) fn lost<Q>(&self, _request: &Q, status: &Status) {
        self.ledger.lost(call_name::<Q>(), status.code());
    }

    /// Whether the server answers a call.
    pub(crate) async fn answers(&self) -> bool {
        let mut service = self.service();
        let probe = service.get_system_info(GetSystemInfoRequest::default());
        let answered = matches!(tokio::time::timeout(PROBE_TIMEOUT, probe).await, Ok(Ok(_)));
        if !answered {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        answered
    }

    /// All events of a run; of the newest run when the run id is empty.
    pub(crate) async fn history(&self, workflow_id: &str, run_id: &str) -> Result<Vec<HistoryEvent>, Status> {
        let mut events = Vec::new();
        let mut page = Vec::new();
        loop {
            let answer = self
                .history_page(&GetWorkflowExecutionHistoryRequest {
                    maximum_page_size: HISTORY_PAGE_EVENTS,
                    next_page_token: page,
                    ..history_request(workflow_id, run_id)
                })
                .await?;
            events.extend(answer.history.unwrap_or_default().events);
            page = answer.next_page_token;
            if page.is_empty() {
                return Ok(events);
            }
        }
    }

    /// Waits until the run has ended and gives its last event.
    pub(crate) async fn end_of(&self, workflow_id: &str, run_id: &str) -> Result<HistoryEvent, Status> {
        let mut page = Vec::new();
        loop {
            let answer = self
                .history_page(&GetWorkflowExecutionHistoryRequest {
                    wait_new_event: true,
                    history_event_filter_type: HistoryEventFilterType::CloseEvent.into(),
                    next_page_token: page,
                    ..history_request(workflow_id, run_id)
                })
                .await?;
            if let Some(event) = answer.history.unwrap_or_default().events.pop() {
                return Ok(event);
            }
            page = answer.next_page_token;
        }
    }

    async fn history_page(
        &self,
        request: &GetWorkflowExecutionHistoryRequest,
    ) -> Result<GetWorkflowExecutionHistoryResponse, Status> {
        self.call(request, |mut service, request| async move {
            service.get_workflow_execution_history(request).await
        })
        .await
    }

    fn nodes(&self) -> usize {
        self.targets
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
            .max(1)
    }

    /// The next connection of the next node that serves; of the next one if none does.
    fn service(&self) -> Service {
        let targets = self.targets.read().unwrap_or_else(PoisonError::into_inner);
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        let in_turn = (0..targets.len()).map(|step| &targets[(at + step) % targets.len()]);
        let target = in_turn.clone().find(|target| target.serves);
        let target = target.unwrap_or(&targets[at % targets.len()]);
        target.services[(at / targets.len()) % CONNECTIONS].clone()
    }
}

/// The call's name, from its request's.
fn call_name<Q>() -> &'static str {
    let path = std::any::type_name::<Q>();
    let name = path.rsplit("::").next().unwrap_or(path);
    name.strip_suffix("Request").unwrap_or(name)
}

/// Whether the call was never sent: nobody listened, or the connection ended before it was written. Clients of gRPC
/// send it elsewhere by themselves.
fn never_left(status: &Status) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = status.source();
    while let Some(error) = cause {
        let refused = error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        // hyper says so only of a request that it gives back.
        let given_back = error
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_canceled);
        if refused || given_back {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The code that a client of gRPC would show; a broken connection is one that is unavailable.
fn code_of(status: &Status) -> String {
    // What this client says once the time is over that it gave the call; others say so by the code.
    if status.message() == tonic::TimeoutExpired(()).to_string() {
        "DeadlineExceeded".to_owned()
    } else if status.source().is_some() {
        "Unavailable (connection broke)".to_owned()
    } else {
        format!("{:?}", status.code())
    }
}

/// The message with what caused it.
fn why(status: &Status) -> String {
    let mut why = status.message().to_owned();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = status.source();
    while let Some(error) = cause {
        why.push_str(&format!(": {error}"));
        cause = error.source();
    }
    why
}

/// Whether a failure says nothing about the call: the connection broke, or the server asks for patience.
fn passing(status: &Status) -> bool {
    let transport = status.source().is_some();
    transport
        || matches!(
            status.code(),
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted
        )
}

fn history_request(workflow_id: &str, run_id: &str) -> GetWorkflowExecutionHistoryRequest {
    GetWorkflowExecutionHistoryRequest {
        namespace: NAMESPACE.to_owned(),
        execution: Some(execution(workflow_id, run_id)),
        ..Default::default()
    }
}

pub(crate) fn execution(workflow_id: &str, run_id: &str) -> WorkflowExecution {
    WorkflowExecution {
        workflow_id: workflow_id.to_owned(),
        run_id: run_id.to_owned(),
    }
}

pub(crate) fn payloads(text: &str) -> Payloads {
    let mut payload = Payload {
        data: text.to_owned().into(),
        ..Default::default()
    };
    payload
        .metadata
        .insert("encoding".to_owned(), "binary/plain".into());
    Payloads {
        payloads: vec![payload],
    }
}

/// The text that `payloads` was given.
pub(crate) fn text(payloads: Option<&Payloads>) -> String {
    payloads
        .and_then(|payloads| payloads.payloads.first())
        .map(|payload| String::from_utf8_lossy(&payload.data).into_owned())
        .unwrap_or_default()
}
