//! UpsertWorkflowSearchAttributes and ModifyWorkflowProperties.

use prost::Message;
use proto::temporal::{
    command::v1::{
        ModifyWorkflowPropertiesCommandAttributes, UpsertWorkflowSearchAttributesCommandAttributes,
    },
    enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::{
        UpsertWorkflowSearchAttributesEventAttributes, WorkflowPropertiesModifiedEventAttributes,
        history_event::Attributes,
    },
};

use super::{Invalid, Origin};
use crate::{
    run::Run,
    trigger::Context,
    tx::{Draft, Tx},
};

/// The names and types of search attributes are checked before the step: the engine does not know them.
pub(super) fn check_search(a: &UpsertWorkflowSearchAttributesCommandAttributes) -> Result<(), Invalid> {
    let missing = match &a.search_attributes {
        None => "SearchAttributes",
        Some(attributes) if attributes.indexed_fields.is_empty() => "IndexedFields",
        Some(_) => return Ok(()),
    };
    let message = format!("{missing} is not set on UpsertWorkflowSearchAttributesCommand.");
    Err(Invalid::new(Cause::BadSearchAttributes, message))
}

pub(super) fn check_memo(
    run: &Run,
    ctx: &Context<'_>,
    a: &ModifyWorkflowPropertiesCommandAttributes,
) -> Result<(), Invalid> {
    let bad = |message| {
        Err(Invalid::new(
            Cause::BadModifyWorkflowPropertiesAttributes,
            message,
        ))
    };
    let Some(upserts) = &a.upserted_memo else {
        return bad("UpsertedMemo is not set on ModifyWorkflowPropertiesCommand.");
    };
    if upserts.fields.is_empty() {
        return bad("UpsertedMemo.Fields is not set on ModifyWorkflowPropertiesCommand.");
    }
    let kept = run.state.memo.as_ref().map_or(0, Message::encoded_len);
    if kept + upserts.encoded_len() > ctx.limits.memo_bytes {
        return Err(Invalid {
            cause: Cause::BadModifyWorkflowPropertiesAttributes,
            message: "ModifyWorkflowPropertiesCommandAttributes exceeds size limit.".to_owned(),
            terminate: true,
        });
    }
    Ok(())
}

pub(super) fn upsert_search(
    tx: &mut Tx<'_>,
    a: UpsertWorkflowSearchAttributesCommandAttributes,
    origin: Origin,
) {
    let event = Attributes::UpsertWorkflowSearchAttributesEventAttributes(Box::new(
        UpsertWorkflowSearchAttributesEventAttributes {
            workflow_task_completed_event_id: origin.completed_event_id,
            search_attributes: a.search_attributes,
        },
    ));
    tx.emit(Draft {
        user_metadata: origin.metadata,
        ..Draft::from(event)
    });
    tx.index();
}

pub(super) fn modify_memo(tx: &mut Tx<'_>, a: ModifyWorkflowPropertiesCommandAttributes, origin: Origin) {
    let event = Attributes::WorkflowPropertiesModifiedEventAttributes(Box::new(
        WorkflowPropertiesModifiedEventAttributes {
            workflow_task_completed_event_id: origin.completed_event_id,
            upserted_memo: a.upserted_memo,
        },
    ));
    tx.emit(Draft {
        user_metadata: origin.metadata,
        ..Draft::from(event)
    });
    tx.index();
}
