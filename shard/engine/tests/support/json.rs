//! Messages with their field names: histories as the JSON that SDKs replay, and events to print.

use std::{path::Path, sync::OnceLock};

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use proto::temporal::history::v1::{History, HistoryEvent};

fn pool() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(proto::DESCRIPTORS).expect("the API's descriptors are sound"))
}

/// Returns the message with its descriptor.
pub fn dynamic<M: Message + prost::Name>(message: &M) -> DynamicMessage {
    let descriptor = pool()
        .get_message_by_name(&M::full_name())
        .expect("the message is the API's");
    DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).expect("what was encoded decodes")
}

/// Writes the history as JSON, as the CLI shows it and SDKs replay it.
pub fn write_history(path: &Path, events: &[HistoryEvent]) -> std::io::Result<()> {
    let history = dynamic(&History {
        events: events.to_vec(),
    });
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::pretty(&mut bytes);
    history
        .serialize_with_options(&mut serializer, &SerializeOptions::new())
        .map_err(std::io::Error::other)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, bytes)
}
