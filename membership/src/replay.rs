//! Tells a datagram that came before from a new one: a window over the counters of each sender's session.

use std::collections::HashMap;

use crate::{envelope::Session, limits};

/// How far a datagram may be overtaken by later ones of the same sender.
const WIDTH: u64 = 128;

#[derive(Default)]
pub(crate) struct Windows {
    by_session: HashMap<Session, Window>,
    /// Counts what was taken, to find who was silent longest.
    clock: u64,
}

struct Window {
    highest: u64,
    /// Bit n stands for `highest - n`.
    seen: u128,
    taken_at: u64,
}

impl Windows {
    /// Tells whether the datagram is new, and remembers it.
    pub(crate) fn take(&mut self, session: Session, counter: u64) -> bool {
        self.clock += 1;
        if let Some(window) = self.by_session.get_mut(&session) {
            window.taken_at = self.clock;
            return window.take(counter);
        }
        if self.by_session.len() >= limits::SESSIONS_MAX {
            self.forget_one();
        }
        let window = Window {
            highest: counter,
            seen: 1,
            taken_at: self.clock,
        };
        self.by_session.insert(session, window);
        true
    }

    fn forget_one(&mut self) {
        let silent = self
            .by_session
            .iter()
            .min_by_key(|(_, window)| window.taken_at)
            .map(|(session, _)| *session);
        if let Some(session) = silent {
            self.by_session.remove(&session);
        }
    }
}

impl Window {
    fn take(&mut self, counter: u64) -> bool {
        if counter > self.highest {
            let shift = counter - self.highest;
            self.seen = u32::try_from(shift)
                .ok()
                .and_then(|shift| self.seen.checked_shl(shift))
                .unwrap_or(0)
                | 1;
            self.highest = counter;
            return true;
        }
        let age = self.highest - counter;
        if age >= WIDTH {
            return false;
        }
        let bit = 1 << age;
        let new = self.seen & bit == 0;
        self.seen |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_counter_counts_once() {
        let mut windows = Windows::default();
        let one = [1; 16];
        for (counter, new) in [
            (5, true),
            (5, false),
            (4, true),
            (4, false),
            (300, true),
            (5, false),
            (172, false),
            (173, true),
            (u64::MAX, true),
            (0, false),
        ] {
            assert_eq!(windows.take(one, counter), new, "{counter}");
        }
        assert!(windows.take([2; 16], 5), "sessions do not know each other");
    }

    #[test]
    fn the_most_silent_session_is_forgotten_first() {
        let mut windows = Windows::default();
        let session = |n: usize| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&n.to_le_bytes());
            bytes
        };
        for n in 0..limits::SESSIONS_MAX {
            assert!(windows.take(session(n), 0));
        }
        assert!(windows.take(session(0), 1));
        assert!(windows.take(session(limits::SESSIONS_MAX), 0));
        assert_eq!(windows.by_session.len(), limits::SESSIONS_MAX);
        assert!(!windows.take(session(0), 1), "kept");
        assert!(windows.take(session(1), 0), "forgotten");
    }

    proptest! {
        #[test]
        fn nothing_is_taken_twice_and_nothing_young_refused(counters in prop::collection::vec(0_u64..400, 1..300)) {
            let mut windows = Windows::default();
            let mut seen = BTreeSet::new();
            for counter in counters {
                let young = seen.last().is_none_or(|last| counter + WIDTH > *last);
                let new = windows.take([0; 16], counter);
                prop_assert_eq!(new, young && !seen.contains(&counter));
                seen.insert(counter);
            }
        }
    }
}
