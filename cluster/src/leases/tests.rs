use super::*;

const START: Timestamp = Timestamp::from_seconds(1_000);

fn node(name: &str) -> NodeId {
    NodeId {
        name: name.into(),
        generation: 1,
    }
}

fn shards(numbers: impl IntoIterator<Item = u32>) -> BTreeSet<ShardId> {
    numbers.into_iter().map(ShardId).collect()
}

fn placed(mine: impl IntoIterator<Item = u32>, others: &[&str]) -> Input {
    Input::Placed {
        mine: shards(mine),
        others: others.iter().map(|name| node(name)).collect(),
        may_take: true,
    }
}

fn answered(by: &str, asked: &[u32], kept: &[u32]) -> Input {
    Input::Answered {
        by: node(by),
        shards: asked.iter().copied().map(ShardId).collect(),
        kept: shards(kept.iter().copied()),
    }
}

/// Returns what is to be done but for checks.
fn tell(leases: &mut Leases, input: Input, now: Timestamp) -> Vec<Output> {
    let mut out = tell_all(leases, input, now);
    out.retain(|output| !matches!(output, Output::Check(_)));
    out
}

fn tell_all(leases: &mut Leases, input: Input, now: Timestamp) -> Vec<Output> {
    let mut out = Vec::new();
    leases.handle(input, now, &mut out);
    out
}

/// A node that holds these shards and knows these others.
fn holder(mine: impl IntoIterator<Item = u32> + Copy, others: &[&str]) -> Leases {
    let mut leases = Leases::default();
    tell(&mut leases, placed(mine, &[]), START);
    for shard in mine {
        tell(&mut leases, Input::TakenUp(ShardId(shard)), START);
    }
    tell(&mut leases, placed(mine, others), START);
    assert!(leases.is_settled());
    leases
}

#[test]
fn a_node_alone_takes_its_shards_up_without_asking() {
    let mut leases = Leases::default();
    let out = tell(&mut leases, placed([1, 2], &[]), START);
    assert_eq!(out, [Output::TakeUp(ShardId(1)), Output::TakeUp(ShardId(2))]);
    assert!(!leases.is_settled());
    tell(&mut leases, Input::TakenUp(ShardId(1)), START);
    tell(&mut leases, Input::TakenUp(ShardId(2)), START);
    assert!(leases.is_settled());
    assert_eq!(leases.next_deadline(), Some(START + CHECK_PERIOD));
}

#[test]
fn a_shard_is_taken_up_when_all_others_have_answered() {
    let mut leases = Leases::default();
    let out = tell(&mut leases, placed([1], &["b", "c"]), START);
    let ask = |of| Output::Ask {
        of: node(of),
        shards: vec![ShardId(1)],
    };
    assert_eq!(out, [ask("b"), ask("c")]);
    assert_eq!(tell(&mut leases, answered("b", &[1], &[]), START), []);
    // The same answer twice is one.
    assert_eq!(tell(&mut leases, answered("b", &[1], &[]), START), []);
    let out = tell(&mut leases, answered("c", &[1], &[]), START);
    assert_eq!(out, [Output::TakeUp(ShardId(1))]);
}

#[test]
fn who_keeps_a_shard_is_asked_again_and_fenced_in_the_end() {
    let mut leases = Leases::default();
    tell(&mut leases, placed([1], &["b"]), START);
    let mut now = START;
    let mut asked = 0;
    let out = loop {
        assert!(now < START + ASK_FOR * 2, "it is taken at last");
        assert_eq!(tell(&mut leases, answered("b", &[1], &[1]), now), []);
        now = leases.next_deadline().expect("it goes on");
        let out = tell(&mut leases, Input::Tick, now);
        if !matches!(out[..], [Output::Ask { .. }]) {
            break out;
        }
        asked += 1;
    };
    assert_eq!(out, [Output::TakeUp(ShardId(1))]);
    assert_eq!(now, START + ASK_FOR);
    assert!((40..=50).contains(&asked), "asked {asked} times");
}

#[test]
fn who_does_not_answer_is_waited_for_no_longer_than_that() {
    let mut leases = Leases::default();
    tell(&mut leases, placed([1], &["b"]), START);
    assert_eq!(leases.next_deadline(), Some(START + ASK_FOR));
    let out = tell(&mut leases, Input::Tick, START + ASK_FOR);
    assert_eq!(out, [Output::TakeUp(ShardId(1))]);
}

#[test]
fn a_node_that_is_gone_is_not_waited_for() {
    let mut leases = Leases::default();
    tell(&mut leases, placed([1], &["b", "c"]), START);
    tell(&mut leases, answered("c", &[1], &[]), START);
    let out = tell(&mut leases, placed([1], &["c"]), START);
    assert_eq!(out, [Output::TakeUp(ShardId(1))]);
}

#[test]
fn a_shard_that_belongs_elsewhere_goes_when_it_is_asked_for() {
    let mut leases = holder([1, 2], &[]);
    assert_eq!(tell(&mut leases, placed([1], &["b"]), START), []);
    let asked = Input::Asked {
        token: 7,
        shards: vec![ShardId(1), ShardId(2), ShardId(3)],
    };
    let out = tell(&mut leases, asked, START);
    assert_eq!(out, [Output::GiveUp(ShardId(2))], "answered when it is done");
    let out = tell(&mut leases, Input::Ended(ShardId(2)), START);
    let kept = vec![ShardId(1)];
    assert_eq!(out, [Output::Answer { token: 7, kept }]);
    assert!(leases.is_settled());
}

#[test]
fn two_that_ask_for_the_same_shard_are_both_answered() {
    let mut leases = holder([1], &[]);
    tell(&mut leases, placed([], &["b", "c"]), START);
    for token in [1, 2] {
        let shards = vec![ShardId(1)];
        tell(&mut leases, Input::Asked { token, shards }, START);
    }
    let out = tell(&mut leases, Input::Ended(ShardId(1)), START);
    let answer = |token| Output::Answer { token, kept: vec![] };
    assert_eq!(out, [answer(1), answer(2)]);
}

#[test]
fn a_shard_that_nobody_asks_for_goes_after_a_while() {
    let mut leases = holder([1], &[]);
    tell(&mut leases, placed([], &["b"]), START);
    assert_eq!(leases.next_deadline(), Some(START + UNASKED));
    let out = tell(&mut leases, Input::Tick, START + UNASKED);
    assert_eq!(out, [Output::GiveUp(ShardId(1))]);
    let out = tell(&mut leases, Input::Ended(ShardId(1)), START + UNASKED);
    assert_eq!(out, [Output::Free(ShardId(1))], "its owner may not know");
}

#[test]
fn a_shard_that_comes_back_in_time_stays() {
    let mut leases = holder([1], &[]);
    tell(&mut leases, placed([], &["b"]), START);
    assert_eq!(tell(&mut leases, placed([1], &["b"]), START), []);
    assert!(leases.is_settled());
}

#[test]
fn a_shard_that_comes_back_too_late_is_taken_up_again() {
    let mut leases = holder([1], &[]);
    tell(&mut leases, placed([], &["b"]), START);
    tell(&mut leases, Input::Tick, START + UNASKED);
    assert_eq!(tell(&mut leases, placed([1], &[]), START + UNASKED), []);
    let out = tell(&mut leases, Input::Ended(ShardId(1)), START + UNASKED);
    assert_eq!(out, [Output::TakeUp(ShardId(1))]);
}

#[test]
fn what_comes_too_late_is_given_up_again() {
    let mut leases = Leases::default();
    tell(&mut leases, placed([1], &[]), START);
    assert_eq!(tell(&mut leases, placed([], &["b"]), START), []);
    assert_eq!(tell(&mut leases, Input::TakenUp(ShardId(1)), START), []);
    let shards = vec![ShardId(1)];
    let out = tell(&mut leases, Input::Asked { token: 1, shards }, START);
    assert_eq!(out, [Output::GiveUp(ShardId(1))]);
}

#[test]
fn a_shard_that_falls_again_and_again_waits_longer_each_time() {
    let mut leases = holder([1], &[]);
    let mut now = START;
    let mut waits = Vec::new();
    for _ in 0..9 {
        let mut out = tell(&mut leases, Input::Fell(ShardId(1)), now);
        let fell = now;
        while out.is_empty() {
            now = leases.next_deadline().expect("it is tried again");
            out = tell(&mut leases, Input::Tick, now);
        }
        assert_eq!(out, [Output::TakeUp(ShardId(1))]);
        waits.push(now.since(fell).as_millis());
        tell(&mut leases, Input::TakenUp(ShardId(1)), now);
    }
    assert_eq!(waits, [0, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    now = now + FALLS_FORGOTTEN + Duration::from_secs(1);
    let out = tell(&mut leases, Input::Fell(ShardId(1)), now);
    assert_eq!(
        out,
        [Output::TakeUp(ShardId(1))],
        "what stood long has not fallen before"
    );
}

#[test]
fn a_shard_whose_store_is_away_is_tried_again_soon_however_long_that_lasts() {
    let mut leases = Leases::default();
    tell(&mut leases, placed([1], &[]), START);
    let mut now = START;
    for _ in 0..50 {
        tell(&mut leases, Input::NotTakenUp(ShardId(1)), now);
        now = now + RETRY_TAKE_UP;
        assert_eq!(leases.next_deadline().map(|at| at.min(now)), Some(now));
        let out = tell(&mut leases, Input::Tick, now);
        assert_eq!(out, [Output::TakeUp(ShardId(1))]);
    }
    tell(&mut leases, Input::TakenUp(ShardId(1)), now);
    let out = tell(&mut leases, Input::Fell(ShardId(1)), now);
    assert_eq!(out, [Output::TakeUp(ShardId(1))], "it never fell before");
}

#[test]
fn a_shard_that_falls_before_it_is_said_to_be_here_is_taken_up_again() {
    let mut leases = Leases::default();
    tell(&mut leases, placed([1], &[]), START);
    assert_eq!(tell(&mut leases, Input::Fell(ShardId(1)), START), []);
    let out = tell(&mut leases, Input::TakenUp(ShardId(1)), START);
    assert_eq!(out, [Output::TakeUp(ShardId(1))]);
}

#[test]
fn a_node_that_may_be_cut_off_keeps_what_it_has_and_takes_nothing() {
    let mut leases = holder([1], &["b"]);
    tell(&mut leases, placed([1, 2], &["b"]), START);
    let cut_off = |mine: &[u32]| Input::Placed {
        mine: shards(mine.iter().copied()),
        others: BTreeSet::new(),
        may_take: false,
    };
    assert_eq!(tell(&mut leases, cut_off(&[1, 2, 3]), START), []);
    assert_eq!(
        tell(&mut leases, Input::Fell(ShardId(1)), START),
        [],
        "another node may have it"
    );
    assert_eq!(leases.next_deadline(), Some(START + CHECK_PERIOD));
    assert_eq!(leases.waiting().count(), 3);
    let out = tell(&mut leases, placed([1, 2, 3], &[]), START);
    assert_eq!(out, [1, 2, 3].map(|shard| Output::TakeUp(ShardId(shard))));
}

#[test]
fn a_shard_that_is_released_comes_back_at_once_however_often() {
    let mut leases = holder([1], &[]);
    for _ in 0..9 {
        let out = tell(&mut leases, Input::Release(ShardId(1)), START);
        assert_eq!(out, [Output::GiveUp(ShardId(1))]);
        let out = tell(&mut leases, Input::Ended(ShardId(1)), START);
        assert_eq!(out, [Output::TakeUp(ShardId(1))]);
        assert_eq!(tell(&mut leases, Input::Release(ShardId(1)), START), []);
        tell(&mut leases, Input::TakenUp(ShardId(1)), START);
    }
}

#[test]
fn shards_are_checked_when_nodes_come_or_go() {
    let mut leases = holder([1, 2], &["b"]);
    let out = tell_all(&mut leases, placed([1, 2], &[]), START);
    assert_eq!(out, [Output::Check(ShardId(1)), Output::Check(ShardId(2))]);
    assert_eq!(tell_all(&mut leases, Input::Tick, START), [], "once");
}

#[test]
fn a_shard_that_another_node_had_is_checked() {
    let mut leases = holder([1], &["b"]);
    let out = tell_all(&mut leases, Input::Freed(ShardId(1)), START);
    assert_eq!(out, [Output::Check(ShardId(1))]);
}

#[test]
fn a_shard_that_another_node_wants_is_checked_when_it_may_have_taken_it() {
    let mut leases = holder([1], &["b"]);
    let shards = vec![ShardId(1)];
    tell(&mut leases, Input::Asked { token: 1, shards }, START);
    let at = START + ASK_FOR + CHECK_AFTER;
    assert_eq!(leases.next_deadline(), Some(at));
    let out = tell_all(&mut leases, Input::Tick, at);
    assert_eq!(out, [Output::Check(ShardId(1))]);
}

#[test]
fn one_shard_is_checked_in_each_period_and_all_in_turn() {
    let mut leases = holder([1, 2, 3], &[]);
    let mut checked = Vec::new();
    for _ in 0..6 {
        let at = leases.next_deadline().expect("there is always a next one");
        checked.extend(tell_all(&mut leases, Input::Tick, at));
    }
    let checked: Vec<_> = checked
        .iter()
        .map(|output| match output {
            Output::Check(shard) => shard.0,
            _ => panic!("{output:?}"),
        })
        .collect();
    assert_eq!(checked, [1, 2, 3, 1, 2, 3]);
}

#[test]
fn who_waits_for_a_shard_that_was_kept_asks_again_when_it_is_free() {
    let mut leases = Leases::default();
    tell(&mut leases, placed([1], &["b"]), START);
    tell(&mut leases, answered("b", &[1], &[1]), START);
    let out = tell(&mut leases, Input::Freed(ShardId(1)), START);
    assert!(matches!(out[..], [Output::Ask { .. }]));
}

#[test]
fn only_so_many_are_under_way_at_once() {
    let mut leases = Leases::default();
    let count = u32::try_from(SHARDS_AT_A_TIME).expect("small") * 3;
    let mut under_way: Vec<ShardId> = Vec::new();
    let mut all = BTreeSet::new();
    let mut out = tell(&mut leases, placed(0..count, &[]), START);
    loop {
        for output in std::mem::take(&mut out) {
            let Output::TakeUp(shard) = output else {
                panic!("nobody is there to ask");
            };
            under_way.push(shard);
            assert!(all.insert(shard), "each is taken up once");
        }
        assert!(under_way.len() <= SHARDS_AT_A_TIME);
        let Some(shard) = under_way.pop() else { break };
        out = tell(&mut leases, Input::TakenUp(shard), START);
    }
    assert_eq!(all.len(), count as usize);
    assert!(leases.is_settled());
}

/// Nodes with different views, answers that get lost, shards that fall: when all see the same, each shard is at its
/// place, and nothing is waited for.
#[test]
fn whatever_happened_all_is_settled_in_the_end() {
    for seed in 0..1_000 {
        Nodes::new(seed).run();
    }
}

struct Nodes {
    state: u64,
    now: Timestamp,
    leases: Vec<Leases>,
    /// What is still to be done, and by which node.
    todo: Vec<(usize, Output)>,
    /// Who is to hear the answer to a token, of which shards.
    tokens: BTreeMap<u64, (usize, Vec<ShardId>)>,
    tokens_given: u64,
}

const NODES: usize = 3;
const SHARDS: u32 = 20;

impl Nodes {
    fn new(seed: u64) -> Self {
        Self {
            state: seed,
            now: START,
            leases: (0..NODES).map(|_| Leases::default()).collect(),
            todo: Vec::new(),
            tokens: BTreeMap::new(),
            tokens_given: 0,
        }
    }

    fn below(&mut self, end: usize) -> usize {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.state >> 33).expect("fits") % end
    }

    fn tell(&mut self, at: usize, input: Input) {
        let mut out = Vec::new();
        self.leases[at].handle(input, self.now, &mut out);
        self.todo.extend(out.into_iter().map(|output| (at, output)));
    }

    /// Places the shards as node `at` sees it if the nodes of the set own them.
    fn place(&mut self, at: usize, owners: &[usize]) {
        let mine = (0..SHARDS).filter(|shard| owners.get(*shard as usize % owners.len().max(1)) == Some(&at));
        let others = (0..NODES)
            .filter(|other| *other != at)
            .map(|other| node(&other.to_string()));
        let input = Input::Placed {
            mine: shards(mine),
            others: others.collect(),
            may_take: true,
        };
        self.tell(at, input);
    }

    fn run(mut self) {
        for _ in 0..120 {
            let at = self.below(NODES);
            match self.below(5) {
                0 => {
                    let owners: Vec<usize> = (0..NODES).filter(|_| self.below(2) == 0).collect();
                    self.place(at, &owners);
                }
                1 => self.pass_time(),
                2 => {
                    let held: Vec<ShardId> = self.leases[at].held().collect();
                    if !held.is_empty() && self.below(4) == 0 {
                        let shard = held[self.below(held.len())];
                        self.todo.retain(|todo| *todo != (at, Output::GiveUp(shard)));
                        self.tell(at, Input::Fell(shard));
                    }
                }
                _ => self.work(true),
            }
        }
        for at in 0..NODES {
            self.place(at, &[0, 1, 2]);
        }
        for _ in 0..2_000 {
            if self.todo.is_empty() {
                if self.leases.iter().all(Leases::is_settled) {
                    return assert!(self.leases.iter().all(|leases| leases.askers.is_empty()));
                }
                self.pass_time();
            }
            self.work(false);
        }
        panic!("stuck: {:?}", self.leases);
    }

    fn pass_time(&mut self) {
        let next = self.leases.iter().filter_map(Leases::next_deadline).min();
        self.now = next.map_or(self.now, |next| next.max(self.now));
        for at in 0..NODES {
            self.tell(at, Input::Tick);
        }
    }

    fn work(&mut self, faulty: bool) {
        if self.todo.is_empty() {
            return;
        }
        let chosen = self.below(self.todo.len());
        let (at, output) = self.todo.remove(chosen);
        let fails = faulty && self.below(5) == 0;
        match output {
            Output::Ask { of, shards } if fails => {
                let kept = BTreeSet::new();
                self.tell(at, Input::Answered { by: of, shards, kept });
            }
            Output::Ask { of, shards } => {
                self.tokens_given += 1;
                let token = self.tokens_given;
                self.tokens.insert(token, (at, shards.clone()));
                let of: usize = of.name.parse().expect("a number");
                self.tell(of, Input::Asked { token, shards });
            }
            Output::Answer { token, kept } => {
                let (asker, shards) = self.tokens.remove(&token).expect("answered once");
                let by = node(&at.to_string());
                let kept = kept.into_iter().collect();
                self.tell(asker, Input::Answered { by, shards, kept });
            }
            Output::TakeUp(shard) if fails => self.tell(at, Input::NotTakenUp(shard)),
            Output::TakeUp(shard) => self.tell(at, Input::TakenUp(shard)),
            Output::GiveUp(shard) => self.tell(at, Input::Ended(shard)),
            Output::Free(shard) => (0..NODES).for_each(|node| self.tell(node, Input::Freed(shard))),
            Output::Check(_) => {}
        }
    }
}
