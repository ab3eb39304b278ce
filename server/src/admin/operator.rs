//! Operator: answers questions about this node, and puts together what several nodes say.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use cluster::router::{Router, RunTarget};
use frontend::frontend::Frontend;
use futures::future::join_all;
use membership::view::View;
use proto::ids::WorkflowKey;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    changes,
    question::{NodeReport, Question},
};

/// How long another node may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Why there is no answer, in a sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperatorError {
    #[error("there is no node {name}; there are {known}")]
    NoNode { name: String, known: String },
    #[error("node {0} does not answer: {1}")]
    Silent(String, String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0} is no id of a run")]
    RunId(String),
    #[error("read from the store: {0}")]
    Store(String),
    #[error("{0}")]
    Refused(String),
}

/// Answers for this node and, through it, for the others. Clones share all.
#[derive(Clone)]
pub struct Operator {
    frontend: Arc<Frontend>,
    pub(super) router: Router,
    drain: watch::Sender<bool>,
}

impl Operator {
    #[must_use]
    pub fn new(frontend: Arc<Frontend>, router: Router) -> Self {
        Self {
            frontend,
            router,
            drain: watch::Sender::new(false),
        }
    }

    /// Ends when an operator has asked this node to drain.
    pub async fn drain_wanted(&self) {
        // The sender lives as long as `self`: the wait cannot fail.
        drop(self.drain.subscribe().wait_for(|wanted| *wanted).await);
    }

    /// Answers another node, on an operator's behalf. Both sides are this program: what they say is JSON.
    pub async fn answer(&self, question: Bytes) -> Bytes {
        let answer = match serde_json::from_slice(&question) {
            Ok(question) => self.tell(question).await,
            Err(error) => json!({ "error": format!("this release does not know the question: {error}") }),
        };
        Bytes::from(answer.to_string())
    }

    async fn tell(&self, question: Question) -> Value {
        match question {
            Question::Queues => json!(self.router.queue_views().await),
            Question::Node => json!(self.node().await),
            Question::Drain => {
                if !self.drain.send_replace(true) {
                    tracing::info!("an operator asks this node to drain");
                }
                json!(self.node().await)
            }
        }
    }

    async fn node(&self) -> NodeReport {
        let view = self.view();
        let generation = view.member(view.me()).map_or(0, |me| me.profile.id.generation);
        NodeReport {
            node: view.me().to_string(),
            generation,
            stage: self.frontend.stage().name(),
            shards: self.router.shard_views().await,
            change: self.router.change_view(),
        }
    }

    /// Who is in the cluster, as this node sees it.
    fn view(&self) -> Arc<View> {
        Arc::clone(self.router.placement().view())
    }

    pub(crate) fn members(&self) -> Value {
        let view = self.view();
        json!({ "asked": **view.me(), "members": view.members(), "lost": view.lost() })
    }

    /// Asks one node by its name.
    pub(crate) async fn ask(&self, name: &str, question: Question) -> Result<Value, OperatorError> {
        let view = self.view();
        if **view.me() == *name {
            return Ok(self.tell(question).await);
        }
        let Some(member) = view.member(name) else {
            let known: Vec<&str> = view.members().iter().map(|member| &**member.name()).collect();
            return Err(OperatorError::NoNode {
                name: name.to_owned(),
                known: known.join(", "),
            });
        };
        let silent = |why: String| OperatorError::Silent(name.to_owned(), why);
        let body = Bytes::from(json!(question).to_string());
        let asked = self.router.ask_operator(&member.profile.id, body);
        let answer = tokio::time::timeout(ANSWER_MAX, asked)
            .await
            .map_err(|_| silent(format!("nothing for {ANSWER_MAX:?}")))?
            .map_err(silent)?;
        serde_json::from_slice(&answer).map_err(|error| silent(error.to_string()))
    }

    /// Asks all nodes; those that do not answer are named with the reason.
    async fn ask_all(&self, question: Question) -> (Vec<(String, Value)>, Vec<Value>) {
        let view = self.view();
        let names = view.members().iter().map(|member| member.name().to_string());
        let answers = join_all(names.map(|name| async move {
            let answer = self.ask(&name, question).await;
            (name, answer)
        }))
        .await;
        let (mut said, mut silent) = (Vec::new(), Vec::new());
        for (name, answer) in answers {
            match answer {
                Ok(answer) => said.push((name, answer)),
                Err(error) => silent.push(json!({ "node": name, "error": error.to_string() })),
            }
        }
        (said, silent)
    }

    /// Each shard: its range, whose it is by this node's view, and on which nodes it runs.
    pub(crate) async fn shards(&self) -> Value {
        let (said, silent) = self.ask_all(Question::Node).await;
        let map = self.router.map();
        let placement = self.router.placement();
        let mut shards = Vec::new();
        for (at, range) in map.ranges.iter().enumerate() {
            let end = map.ranges.get(at + 1).map_or(u64::MAX, |next| next.start - 1);
            let running: Vec<Value> = said
                .iter()
                .filter_map(|(node, report)| {
                    let shards = report["shards"].as_array()?;
                    let view = shards.iter().find(|view| view["shard"] == range.shard)?;
                    Some(json!({ "node": node, "view": view }))
                })
                .collect();
            shards.push(json!({
                "shard": range.shard,
                "from": format!("{:016x}", range.start),
                "to": format!("{end:016x}"),
                "belongs_to": **placement.shard_owner(proto::ids::ShardId(range.shard)),
                "runs_on": running,
            }));
        }
        let change = map.change.as_ref().map(|change| changes::show(change, &said));
        json!({
            "map": map.version,
            "shards": shards,
            "change": change,
            "garbage": map.garbage,
            "silent": silent,
        })
    }

    /// All queues, each with the node that holds it.
    pub(crate) async fn queues(&self) -> Value {
        let (said, silent) = self.ask_all(Question::Queues).await;
        let mut queues = Vec::new();
        for (node, views) in said {
            for mut view in views.as_array().cloned().unwrap_or_default() {
                view["node"] = json!(node);
                queues.push(view);
            }
        }
        json!({ "queues": queues, "silent": silent })
    }

    /// A run as it is stored: reads need no lease, so it is shown even if its shard runs nowhere.
    pub(crate) async fn run(
        &self,
        namespace: &str,
        workflow_id: &str,
        run_id: &str,
    ) -> Result<Value, OperatorError> {
        let Some(namespace_id) = self.router.namespaces().id_of(namespace) else {
            return Err(OperatorError::NotFound(format!(
                "there is no namespace {namespace}"
            )));
        };
        let run_id = match run_id {
            "" => None,
            text => Some(text.parse().map_err(|_| OperatorError::RunId(text.to_owned()))?),
        };
        let target = RunTarget {
            workflow: WorkflowKey {
                namespace_id,
                workflow_id: workflow_id.into(),
            },
            run_id,
        };
        let shard = self.router.map().shard(target.workflow.position());
        let report = shard::report::report(&**self.router.store(), shard, &target)
            .await
            .map_err(|error| OperatorError::Store(error.to_string()))?;
        report.map(|report| json!(report)).ok_or_else(|| {
            OperatorError::NotFound(format!(
                "workflow {workflow_id} has no such run in namespace {namespace}"
            ))
        })
    }
}
