//! RecordMarker.

use prost::Message;
use proto::temporal::{
    command::v1::RecordMarkerCommandAttributes,
    enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::{MarkerRecordedEventAttributes, history_event::Attributes},
};

use super::{Invalid, Origin, check_blob};
use crate::{
    nesting,
    trigger::Context,
    tx::{Draft, Tx},
};

pub(super) fn check(ctx: &Context<'_>, a: &RecordMarkerCommandAttributes) -> Result<(), Invalid> {
    let bad = |message: &str| Invalid::new(Cause::BadRecordMarkerAttributes, message);
    if a.marker_name.is_empty() {
        return Err(bad("MarkerName is not set on RecordMarkerCommand."));
    }
    let (name, length, most) = (&a.marker_name, a.marker_name.len(), ctx.limits.id_bytes);
    if length > most {
        return Err(bad(&format!(
            "MarkerName on RecordMarkerCommand exceeds length limit. MarkerName={name} Length={length} Limit={most}"
        )));
    }
    let size = a.details.values().map(Message::encoded_len).sum();
    check_blob(
        ctx,
        size,
        Cause::BadRecordMarkerAttributes,
        "RecordMarkerCommandAttributes.Details exceeds size limit.",
    )
}

pub(super) fn record(tx: &mut Tx<'_>, a: RecordMarkerCommandAttributes, origin: Origin) {
    let event = Attributes::MarkerRecordedEventAttributes(Box::new(MarkerRecordedEventAttributes {
        marker_name: a.marker_name,
        details: a.details,
        workflow_task_completed_event_id: origin.completed_event_id,
        header: a.header,
        failure: a.failure.map(nesting::bounded),
    }));
    tx.emit(Draft {
        user_metadata: origin.metadata,
        ..Draft::from(event)
    });
}
