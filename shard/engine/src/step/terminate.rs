//! Terminate and Delete.

use super::{cancel::check_chain, closed, signal::is_from_parent};
use crate::{
    outcome::{Rejection, Reply, Step},
    trigger::Terminate,
    tx::Tx,
};

pub(super) fn terminate(mut tx: Tx<'_>, request: Terminate) -> Result<Step, Rejection> {
    check_chain(tx.run, &request.first_run_id)?;
    if request.child_only && !is_from_parent(tx.run, request.from.as_ref()) {
        return Err(Rejection::NotFound(
            "workflow execution is not a child of the sender".to_owned(),
        ));
    }
    if !tx.run.is_open() {
        return Err(closed());
    }
    tx.terminate(request);
    Ok(tx.finish(Reply::Done))
}

/// Marks the run to go away once it owes nothing; an open one is terminated first.
pub(super) fn delete(mut tx: Tx<'_>) -> Result<Step, Rejection> {
    if tx.run.is_open() {
        tx.terminate(Terminate {
            reason: "Delete workflow execution".to_owned(),
            identity: crate::close::SERVER_IDENTITY.to_owned(),
            ..Default::default()
        });
    }
    if !tx.state().deleting {
        tx.note(|state| state.deleting = true);
        tx.index();
    }
    Ok(tx.finish(Reply::Done))
}
