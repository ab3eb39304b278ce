//! Routing: sends every conditional batch of a shard to the same replica first.
//!
//! Two coordinators that decide about one partition at a time contend in Paxos. The driver orders replicas for
//! statements that Scylla calls conditional; Cassandra never says so, and a batch is never asked. This policy
//! says it for all statements that are run under it, and lets the driver's own policy choose.

use std::{sync::Arc, time::Duration};

use scylla::{
    cluster::{ClusterState, NodeRef},
    errors::RequestAttemptError,
    policies::load_balancing::{FallbackPlan, LoadBalancingPolicy, RoutingInfo},
    routing::Shard,
};

/// The driver's policy, with the replicas of a partition always in the same order.
#[derive(Debug)]
pub(super) struct OneReplicaFirst(pub(super) Arc<dyn LoadBalancingPolicy>);

/// Returns the request, marked as conditional.
fn conditional<'a>(request: &RoutingInfo<'a>) -> RoutingInfo<'a> {
    let mut request = request.clone();
    request.is_confirmed_lwt = true;
    request
}

impl LoadBalancingPolicy for OneReplicaFirst {
    fn pick<'a>(
        &'a self,
        request: &'a RoutingInfo<'_>,
        cluster: &'a ClusterState,
    ) -> Option<(NodeRef<'a>, Option<Shard>)> {
        let request = conditional(request);
        let (node, shard) = self.0.pick(&request, cluster)?;
        // What was picked lives as long as the marked request; the cluster's own node lives long enough.
        let node = cluster.get_node_by_host_id(node.host_id)?;
        Some((node, shard))
    }

    fn fallback<'a>(&'a self, request: &'a RoutingInfo<'_>, cluster: &'a ClusterState) -> FallbackPlan<'a> {
        let request = conditional(request);
        let nodes: Vec<_> = self
            .0
            .fallback(&request, cluster)
            .filter_map(|(node, shard)| Some((cluster.get_node_by_host_id(node.host_id)?, shard)))
            .collect();
        Box::new(nodes.into_iter())
    }

    fn on_request_success(&self, request: &RoutingInfo<'_>, latency: Duration, node: NodeRef<'_>) {
        self.0.on_request_success(&conditional(request), latency, node);
    }

    fn on_request_failure(
        &self,
        request: &RoutingInfo<'_>,
        latency: Duration,
        node: NodeRef<'_>,
        error: &RequestAttemptError,
    ) {
        self.0
            .on_request_failure(&conditional(request), latency, node, error);
    }

    fn name(&self) -> String {
        "OneReplicaFirst".to_owned()
    }
}
