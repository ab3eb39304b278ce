//! Carriers: what makes a change in the simulation, one step at a time and in any order.

use super::*;

impl World {
    /// Somebody who serves the parents, or believes so, begins.
    pub(super) fn begin(&mut self) {
        let map = self.map();
        let Some(change) = &map.map.change else { return };
        if self.carrier.is_some() {
            return;
        }
        let parents: Vec<_> = change.parents.iter().copied().map(ShardId).collect();
        let mut owners = Vec::new();
        for parent in &parents {
            let those: Vec<_> = (0..self.owners.len())
                .filter(|owner| self.owners[*owner].lease.shard == *parent && !self.owners[*owner].drains)
                .collect();
            if those.is_empty() {
                return;
            }
            owners.push(those[self.random.below(those.len())]);
        }
        let (start, last) = map.map.range(parents[0]).expect("a parent");
        let Ok(begun) = map.map.begin(start + (last - start) / 3 + 1) else {
            return;
        };
        let map = self.change(&map, begun).expect("nobody else writes");
        let children: Vec<_> = map.map.change.as_ref().expect("a change").children.clone();
        let children: Vec<_> = children.into_iter().map(ShardId).collect();
        let done = map.map.finish().expect("can be finished");
        let ranges: Vec<_> = children.iter().filter_map(|child| done.range(*child)).collect();
        self.carriers += 1;
        let id = self.carriers;
        let mut heard = VecDeque::new();
        for (parent, owner) in owners.into_iter().enumerate() {
            let owner = &mut self.owners[owner];
            owner.follower = Some((id, parent));
            heard.push_back(Input::Began {
                parent,
                lease: owner.lease.clone(),
                batch: owner.batch,
            });
        }
        self.carrier = Some(Carrier {
            id,
            map,
            leases: vec![None; children.len()],
            copy: Copy::new(parents.len(), &ranges, self.store.limits()),
            parents,
            children,
            todo: Vec::new(),
            answers: Vec::new(),
            heard,
        });
    }

    /// The carrier hears something.
    pub(super) fn hear(&mut self) {
        let Some(mut carrier) = self.carrier.take() else {
            return;
        };
        let answers = carrier.answers.len();
        let input = if answers == 0 || self.random.one_in(2) {
            carrier.heard.pop_front()
        } else {
            let place = self.random.below(answers);
            if matches!(carrier.answers[place], Input::Drained { .. }) && !carrier.heard.is_empty() {
                // What was committed was told before.
                carrier.heard.pop_front()
            } else {
                Some(carrier.answers.swap_remove(place))
            }
        };
        if let Some(input) = input {
            carrier.copy.handle(input, &mut carrier.todo);
        }
        self.carrier = Some(carrier);
    }

    /// The carrier does something, or hears something.
    pub(super) fn carry(&mut self) {
        let Some(mut carrier) = self.carrier.take() else {
            return;
        };
        if carrier.todo.is_empty() {
            self.carrier = Some(carrier);
            return self.hear();
        }
        let place = self.random.below(carrier.todo.len());
        let output = carrier.todo.swap_remove(place);
        if self.perform(&mut carrier, output) {
            self.carrier = Some(carrier);
        }
    }

    /// Tells whether the carrier goes on.
    fn perform(&mut self, carrier: &mut Carrier, output: Output) -> bool {
        let answer = match output {
            Output::Detach { parent, lease } => {
                now(self.store.detach_histories(&lease)).expect("detached");
                Input::Detached { parent }
            }
            Output::Lease { child, above } => {
                let shard = carrier.children[child];
                let lease = now(self.store.acquire_above(shard, &somebody(), above)).expect("lease");
                carrier.leases[child] = Some(lease.clone());
                Input::Leased { child, lease }
            }
            Output::Read { parent, from, .. } => {
                let limit = 1 + self.random.below(12);
                let read = moving::read(&self.store, carrier.parents[parent], &from, limit);
                let rows = now(read).expect("rows");
                Input::Read { parent, rows }
            }
            Output::Put { child, batch } => {
                let lease = carrier.leases[child].as_ref().expect("a lease");
                match now(self.store.commit(lease, batch)) {
                    Ok(()) => Input::Put { child },
                    // It was given up unseen, and is swept.
                    Err(CommitError::Fenced) => return false,
                    Err(error @ CommitError::GaveUp(_)) => panic!("{error}"),
                }
            }
            Output::Drain { parent } => {
                let follower = Some((carrier.id, parent));
                let place = self.owners.iter().position(|owner| owner.follower == follower);
                let Some(place) = place else { return false };
                self.owners[place].drains = true;
                Input::Drained { parent }
            }
            Output::Retake { parent } => {
                let lease = now(self.store.acquire(carrier.parents[parent], &somebody())).expect("lease");
                Input::Retaken { parent, lease }
            }
            Output::Switch => {
                let map = self.map();
                let change = map.map.change.as_ref();
                let ours = carrier.map.map.change.as_ref().expect("a change");
                if change.is_some_and(|change| change.children == ours.children) {
                    self.change(&map, map.map.finish().expect("finished"))
                        .expect("nobody else writes");
                    let done = if ours.is_merge() {
                        &mut self.done.1
                    } else {
                        &mut self.done.0
                    };
                    *done += 1;
                }
                return false;
            }
            Output::GiveUp(_) => return false,
        };
        carrier.answers.push(answer);
        true
    }
}
