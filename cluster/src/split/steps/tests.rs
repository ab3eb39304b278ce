use bytes::Bytes;
use shard::moving::Rows;
use storage::{batch::Write, shard::Lease};

use super::*;

fn wanted() -> ShardMap {
    ShardMap::even(1)
        .want_split(ShardId(0), Some(99))
        .expect("wanted")
}

fn lease(shard: u32, epoch: u64, batch: u64) -> Lease {
    Lease {
        shard: ShardId(shard),
        epoch,
        batch,
    }
}

/// Steps, what they have said last, and what was written of the map.
struct Test {
    steps: Steps,
    out: Vec<Output>,
    map: ShardMap,
}

impl Test {
    fn new() -> Self {
        let (map, mut out) = (wanted(), Vec::new());
        let change = map.change.clone().expect("a change");
        let steps = Steps::new(&change, None, BatchLimits::default(), &mut out);
        let test = Self { steps, out, map };
        assert_eq!(test.out, [Output::ReadMap]);
        test
    }

    fn tell(&mut self, input: Input<'_>) -> &[Output] {
        self.out.clear();
        self.steps.handle(input, &mut self.out);
        &self.out
    }

    fn read(&mut self) -> &[Output] {
        let map = Arc::new(self.map.clone());
        self.tell(Input::Map(map))
    }

    /// Reads the map and writes what is wanted.
    fn write(&mut self) -> Vec<Output> {
        self.read();
        let [Output::WriteMap(map)] = &self.out[..] else {
            panic!("the map is to be written: {:?}", self.out);
        };
        self.map = map.clone();
        self.tell(Input::Written).to_vec()
    }

    fn copied(&mut self, input: copy::Input) -> &[Output] {
        self.tell(Input::Copied(input))
    }

    /// Goes on until the map is to be written.
    fn copy(&mut self) {
        self.copy_until(5, 7);
    }

    /// Goes on until the parent is leased once more: under this epoch, behind this batch.
    fn copy_until(&mut self, epoch: u64, batch: u64) {
        let served = lease(0, 4, 7);
        let began = copy::Input::Began {
            parent: 0,
            lease: served,
            batch: 7,
        };
        self.copied(began);
        self.copied(copy::Input::Detached { parent: 0 });
        for child in 0..2 {
            let lease = lease(self.map.next_shard - 2, 1, 1 << 40);
            self.copied(copy::Input::Leased { child, lease });
        }
        assert!(matches!(self.out[..], [Output::Copy(copy::Output::Read { .. })]));
        let (writes, next) = (Vec::<Write>::new(), None);
        let rows = Rows { writes, next };
        self.copied(copy::Input::Read { parent: 0, rows });
        assert_eq!(self.out, [Output::Copy(copy::Output::Drain { parent: 0 })]);
        assert_eq!(self.tell(Input::Ended), [], "it is drained for this");
        self.copied(copy::Input::Drained { parent: 0 });
        let lease = lease(0, epoch, batch);
        self.copied(copy::Input::Retaken { parent: 0, lease });
    }
}

fn children(first: u32) -> Output {
    let children = vec![ShardId(first), ShardId(first + 1)];
    Output::Follow { children }
}

#[test]
fn a_split_goes_from_one_write_of_the_map_to_the_other() {
    let mut test = Test::new();
    assert_eq!(test.write(), [children(1)]);
    test.copy();
    assert_eq!(test.out, [Output::ReadMap]);
    assert_eq!(test.write(), [Output::Done]);
    let shards: Vec<_> = test.map.shards().map(|shard| shard.0).collect();
    assert_eq!((shards, &test.map.garbage[..]), (vec![1, 2], &[0][..]));
}

#[test]
fn a_map_that_has_changed_is_read_again() {
    let mut test = Test::new();
    test.read();
    assert_eq!(test.tell(Input::Refused), [Output::ReadMap]);
    // Somebody else has begun, and died.
    test.map = test.map.begin(0).expect("begun");
    assert_eq!(test.write(), [children(3)]);
    test.copy();
    test.read();
    assert_eq!(test.tell(Input::Refused), [Output::ReadMap]);
    // Rows of another shard were deleted meanwhile.
    test.map = test.map.cleaned(ShardId(1));
    assert_eq!(test.write(), [Output::Done]);
}

#[test]
fn nothing_begins_that_is_not_wanted_any_more() {
    let mut test = Test::new();
    test.map = test.map.cancel();
    assert!(matches!(test.read(), [Output::Failed(Why::Said(_))]));
}

#[test]
fn who_is_struck_off_stops() {
    let mut test = Test::new();
    let old = test.map.clone();
    test.write();
    assert_eq!(test.tell(Input::Heard(&old)), [], "of before it began");
    let begun = test.map.clone();
    assert_eq!(test.tell(Input::Heard(&begun)), []);
    test.map = begun.withdraw();
    let struck_off = test.map.clone();
    assert_eq!(
        test.tell(Input::Heard(&struck_off)),
        [Output::Stop, Output::ReadMap]
    );
    assert_eq!(test.read(), [Output::Failed(Why::Said(TAKEN_BACK))]);
}

#[test]
fn who_is_struck_off_unheard_does_not_switch() {
    let mut test = Test::new();
    test.write();
    test.copy();
    test.map = test.map.withdraw();
    assert_eq!(test.read(), [Output::Failed(Why::Said(TAKEN_BACK))]);
}

#[test]
fn another_owner_between_or_a_batch_that_was_not_heard_makes_the_copy_void() {
    for (epoch, batch) in [(6, 7), (5, 8), (6, 8)] {
        let mut test = Test::new();
        test.write();
        test.copy_until(epoch, batch);
        assert_eq!(test.out, [Output::Stop, Output::ReadMap], "{epoch} {batch}");
        let failed = test.write();
        assert_eq!(failed, [Output::Failed(Why::Said("another owner was between"))]);
        let change = test.map.change.clone().expect("still wanted");
        assert_eq!((change.children, &test.map.garbage[..]), (vec![], &[1, 2][..]));
    }
}

#[test]
fn a_write_whose_outcome_is_not_known_may_have_landed() {
    let mut test = Test::new();
    test.write();
    test.copy();
    test.read();
    let done = test.map.finish().expect("done");
    assert_eq!(test.tell(Input::Failed), [Output::Stop, Output::ReadMap]);
    test.map = done;
    assert_eq!(test.read(), [Output::Done]);
}

#[test]
fn a_write_that_has_not_landed_cannot_any_more() {
    let mut test = Test::new();
    test.write();
    test.copy();
    test.read();
    let late = test.map.finish().expect("done");
    test.tell(Input::Failed);
    assert_eq!(test.write(), [Output::Failed(Why::Step)]);
    assert_eq!(test.map.version, late.version, "one of both is refused");
}

#[test]
fn a_parent_that_goes_elsewhere_ends_the_copy() {
    let mut test = Test::new();
    test.write();
    assert_eq!(test.tell(Input::Ended), [Output::Stop, Output::ReadMap]);
    // What was on its way is not wanted any more.
    let rows = Rows {
        writes: vec![Write {
            table: storage::batch::Table::Run,
            key: Bytes::from_static(b"key"),
            value: None,
        }],
        next: None,
    };
    assert_eq!(test.copied(copy::Input::Read { parent: 0, rows }), []);
    // The store is away: whoever takes a parent up does it.
    assert!(matches!(test.tell(Input::Failed), [Output::Failed(Why::Said(_))]));
}
