//! DeleteNamespace (reference 6.2): the name is free at once, the runs go away after that.

use proto::temporal::{
    enums::v1::NamespaceState,
    operatorservice::v1::{DeleteNamespaceRequest, DeleteNamespaceResponse},
};

use crate::{
    call::Call,
    error::Error,
    frontend::Frontend,
    namespace::{SYSTEM_ID, registry::Stored},
    validate,
};

/// How much of the id the new name of a deleted namespace has at least.
const SUFFIX_LENGTH: usize = 5;

pub(crate) async fn handle(
    frontend: &Frontend,
    _: &Call,
    request: DeleteNamespaceRequest,
) -> Result<DeleteNamespaceResponse, Error> {
    let stored = find(frontend, &request).await?;
    let record = stored.record;
    if record.id == SYSTEM_ID {
        return Err(Error::FailedPrecondition(
            "unable to delete system namespace".to_owned(),
        ));
    }
    let id = record
        .namespace_id()
        .map_err(|error| Error::Internal(error.to_string()))?;
    if record.reclaiming {
        frontend.reclaims.add(id);
        return Ok(DeleteNamespaceResponse {
            deleted_namespace: record.name,
        });
    }
    for length in SUFFIX_LENGTH..=record.id.len() {
        let name = format!("{}-deleted-{}", record.name, &record.id[..length]);
        if frontend.namespaces.is_taken(&name).await? {
            continue;
        }
        let rename = |record: &mut crate::namespace::record::Record| {
            record.set_state(NamespaceState::Deleted);
            record.reclaiming = true;
            record.name.clone_from(&name);
            Ok(())
        };
        frontend.namespaces.change(id, &record.name, rename).await?;
        frontend.reclaims.add(id);
        return Ok(DeleteNamespaceResponse {
            deleted_namespace: name,
        });
    }
    Err(Error::FailedPrecondition(
        "no free name for the deleted namespace".to_owned(),
    ))
}

async fn find(frontend: &Frontend, request: &DeleteNamespaceRequest) -> Result<Stored, Error> {
    let (name, id) = (&request.namespace, &request.namespace_id);
    validate::short(frontend.sizes(), name, "Namespace length exceeds limit.")?;
    let namespaces = &frontend.namespaces;
    let (stored, asked) = match (name.is_empty(), id.is_empty()) {
        (true, true) => return Err(Error::invalid("Namespace not set on request.")),
        (false, false) => {
            return Err(Error::invalid(
                "Only one of namespace name or Id should be set on request.",
            ));
        }
        (false, true) => (namespaces.stored_by_name(name).await?, name),
        (true, false) => match id.parse() {
            Ok(parsed) => (namespaces.stored_by_id(parsed).await?, id),
            Err(_) => (None, id),
        },
    };
    stored.ok_or_else(|| Error::NamespaceNotFound(asked.clone()))
}
