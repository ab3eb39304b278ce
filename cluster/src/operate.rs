//! Operate: what one node is asked by another on an operator's behalf. Its words are the server's; here they are bytes.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use proto::ids::NodeId;

use crate::{router::Router, rpc::Call};

/// Answers an operator's question about this node.
pub type Answerer = Arc<dyn Fn(Bytes) -> BoxFuture<'static, Bytes> + Send + Sync>;

impl Router {
    /// Sets who answers for this node; the first one stays.
    pub fn set_operator(&self, answerer: Answerer) {
        // One server has one.
        drop(self.0.operator.set(answerer));
    }

    /// Asks another node. The reason why there is no answer is a sentence for people.
    ///
    /// # Errors
    ///
    /// The node is not in the cluster, does not answer, or has nobody to answer.
    pub async fn ask_operator(&self, node: &NodeId, question: Bytes) -> Result<Bytes, String> {
        let placement = self.placement();
        let Some(member) = placement.node(node) else {
            return Err("it is not in the cluster".to_owned());
        };
        let peer = self.0.peers.get(member);
        let answer: Bytes = peer
            .call(&Call::Operate { question })
            .await
            .map_err(|error| error.to_string())?;
        if answer.is_empty() {
            return Err("it is still starting".to_owned());
        }
        Ok(answer)
    }

    /// Returns nothing while nobody answers yet.
    pub(crate) async fn operate_here(&self, question: Bytes) -> Bytes {
        match self.0.operator.get() {
            Some(answerer) => answerer(question).await,
            None => Bytes::new(),
        }
    }
}
