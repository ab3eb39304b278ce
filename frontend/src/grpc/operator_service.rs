//! OperatorService: which function answers which RPC. What is not listed under `answered` is not there yet.

use std::sync::Arc;

use proto::temporal::operatorservice::v1::{self as api, operator_service_server::OperatorService};

use super::answer::{Operation, answer, not_supported};
use crate::{call::Call, frontend::Frontend, operator};

/// The service that operators talk to.
#[derive(Clone)]
pub(super) struct Operators(pub(super) Arc<Frontend>);

super::answer::service! {
    OperatorService for Operators;
    answered {
        add_search_attributes(AddSearchAttributesRequest) -> AddSearchAttributesResponse = operator::add_search_attributes::handle, OperatorAddSearchAttributes;
        remove_search_attributes(RemoveSearchAttributesRequest) -> RemoveSearchAttributesResponse = operator::remove_search_attributes::handle, OperatorRemoveSearchAttributes;
        list_search_attributes(ListSearchAttributesRequest) -> ListSearchAttributesResponse = operator::list_search_attributes::handle, OperatorListSearchAttributes;
        delete_namespace(DeleteNamespaceRequest) -> DeleteNamespaceResponse = operator::delete_namespace::handle, OperatorDeleteNamespace;
        list_clusters(ListClustersRequest) -> ListClustersResponse = operator::list_clusters::handle, OperatorListClusters of cluster;
    }
    absent {
        add_or_update_remote_cluster(AddOrUpdateRemoteClusterRequest) -> AddOrUpdateRemoteClusterResponse, AddOrUpdateRemoteCluster;
        remove_remote_cluster(RemoveRemoteClusterRequest) -> RemoveRemoteClusterResponse, RemoveRemoteCluster;
        get_nexus_endpoint(GetNexusEndpointRequest) -> GetNexusEndpointResponse, GetNexusEndpoint;
        create_nexus_endpoint(CreateNexusEndpointRequest) -> CreateNexusEndpointResponse, CreateNexusEndpoint;
        update_nexus_endpoint(UpdateNexusEndpointRequest) -> UpdateNexusEndpointResponse, UpdateNexusEndpoint;
        delete_nexus_endpoint(DeleteNexusEndpointRequest) -> DeleteNexusEndpointResponse, DeleteNexusEndpoint;
        list_nexus_endpoints(ListNexusEndpointsRequest) -> ListNexusEndpointsResponse, ListNexusEndpoints;
    }
}
