//! The stored form: what is read is what was written, and what was written stays readable.

use std::time::Duration;

use bytes::Bytes;
use expect_test::expect;
use proptest::prelude::*;
use proto::{
    ids::{NamespaceId, RunId},
    temporal::enums::v1::WorkflowExecutionStatus,
    time::Timestamp,
};

use super::{BrokenRecord, Close, Execution, Record};
use crate::visibility::{
    arbitrary::record,
    attributes::{Datetime, SearchAttributes, SearchValue},
};

proptest! {
    #[test]
    fn records_read_what_they_write(record in record()) {
        prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        drop(Record::decode(&bytes));
    }
}

#[test]
fn other_formats_are_refused() {
    assert_eq!(Record::decode(b""), Err(BrokenRecord("unknown format")));
    assert_eq!(Record::decode(b"\x08\x02"), Err(BrokenRecord("unknown format")));
    assert_eq!(Record::decode(b"\xff"), Err(BrokenRecord("not protobuf")));
    assert_eq!(Record::decode(b"\x08\x01"), Err(BrokenRecord("id")));
}

/// A record with every part.
fn sample() -> Record {
    let run_id = RunId::from_bytes([2; 16]);
    let other = |number: u8| Execution {
        workflow_id: format!("w{number}").into(),
        run_id: RunId::from_bytes([number; 16]),
    };
    let mut search_attributes = SearchAttributes::default();
    for (name, value) in [
        ("Bo", SearchValue::Bool(true)),
        ("Db", SearchValue::Double(-1.5)),
        (
            "Dt",
            SearchValue::Datetime(Datetime::parse("9999-01-01T00:00:00+01:00").expect("valid")),
        ),
        (
            "Kl",
            SearchValue::KeywordList(vec!["a".to_owned(), String::new()]),
        ),
        ("Kw", SearchValue::Keyword("ü".to_owned())),
        ("Nt", SearchValue::Int(-1)),
        ("Tx", SearchValue::Text("words".to_owned())),
    ] {
        search_attributes.insert(name, value);
    }
    Record {
        namespace_id: NamespaceId::from_bytes([1; 16]),
        workflow_id: "w2".into(),
        run_id,
        version: 7,
        workflow_type: "order".to_owned(),
        task_queue: "queue".to_owned(),
        status: WorkflowExecutionStatus::Completed,
        start_time: Timestamp::from_nanos(1),
        execution_time: Timestamp::from_nanos(2),
        close: Some(Close {
            time: Timestamp::from_nanos(3),
            history_length: 4,
            history_size_bytes: 5,
            state_transition_count: 6,
            execution_duration: Duration::from_nanos(1),
        }),
        parent: Some(other(3)),
        root: other(4),
        memo: Bytes::from_static(b"memo"),
        search_attributes,
    }
}

/// Bytes of format 1, which every release that knows the format must read.
#[test]
fn format_1_is_kept() {
    let bytes = sample().encode();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    expect!["08011210010101010101010101010101010101011a027732221002020202020202020202020202020202280732056f726465723a05717565756540024901000000000000005102000000000000005a11090300000000000000100418052006280162160a0277331210030303030303030303030303030303036a160a02773412100404040404040404040404040404040472046d656d6f7a060a02426f30017a0d0a02446229000000000000f8bf7a2a0a0244743a2409ffffffffffffff7f1219393939392d30312d30315430303a30303a30302b30313a30307a0b0a024b6c42050a01610a007a080a024b771a02c3bc7a060a024e7420017a0b0a0254781205776f726473"].assert_eq(&hex);
}
