//! Handles: what was looked up once is found again without a lock.

use std::{fmt, sync::OnceLock};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Entries of one table. Past it the caller is given the entry of the empty name.
pub const ENTRIES_MAX: usize = 4_096;
/// Places looked at before an entry counts as one too many.
const PROBES_MAX: usize = 32;

/// Values by a fixed word and a name that clients choose. Entries come and never go.
pub struct Handles<T> {
    entries: Box<[OnceLock<Entry<T>>]>,
}

struct Entry<T> {
    word: &'static str,
    name: Box<str>,
    value: T,
}

impl<T> Handles<T> {
    /// Returns what was made of the word and the name before.
    pub fn find(&self, word: &'static str, name: &str) -> Option<&T> {
        places(word, name)
            .map_while(|place| self.entries[place].get())
            .find(|entry| entry.is(word, name))
            .map(|entry| &entry.value)
    }

    /// Returns what `make` makes of the word and the name, which it is asked once.
    ///
    /// A name that finds no place shares the entry of the empty name; `None` if that finds none either.
    pub fn get(&self, word: &'static str, name: &str, make: impl Fn(&str) -> T) -> Option<&T> {
        self.place(word, name, &make)
            .or_else(|| self.place(word, "", &|_| make(super::OTHER)))
    }

    fn place(&self, word: &'static str, name: &str, make: &impl Fn(&str) -> T) -> Option<&T> {
        let entry = |place: usize| {
            self.entries[place].get_or_init(|| Entry {
                word,
                name: name.into(),
                value: make(name),
            })
        };
        places(word, name)
            .map(entry)
            .find(|entry| entry.is(word, name))
            .map(|entry| &entry.value)
    }
}

impl<T> Entry<T> {
    fn is(&self, word: &'static str, name: &str) -> bool {
        self.word == word && *self.name == *name
    }
}

/// Returns where an entry may be, in the order in which it is looked for.
fn places(word: &'static str, name: &str) -> impl Iterator<Item = usize> {
    // The word's address stands for the word: the same word elsewhere would only have an entry of its own.
    let hash = xxh3_64_with_seed(name.as_bytes(), word.as_ptr().addr() as u64);
    let first = usize::try_from(hash % ENTRIES_MAX as u64).unwrap_or(0);
    (0..PROBES_MAX).map(move |step| (first + step) % ENTRIES_MAX)
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self {
            entries: (0..ENTRIES_MAX).map(|_| OnceLock::new()).collect(),
        }
    }
}

impl<T> fmt::Debug for Handles<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handles").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn each_pair_is_made_once() {
        let handles = Handles::default();
        let made = Cell::new(0);
        for _ in 0..3 {
            for (word, name) in [("a", "x"), ("a", "y"), ("b", "x")] {
                let found = handles.get(word, name, |name| {
                    made.set(made.get() + 1);
                    format!("{word}{name}")
                });
                assert_eq!(found.map(String::as_str), Some(&*format!("{word}{name}")));
                assert_eq!(handles.find(word, name), found);
            }
        }
        assert_eq!(made.get(), 3);
        assert_eq!(handles.find("b", "y"), None);
    }

    #[test]
    fn names_past_the_limit_share_one_entry() {
        let handles = Handles::default();
        let mut shared = 0;
        handles.get("a", "", |_| super::super::OTHER.to_owned());
        for at in 0..10 * ENTRIES_MAX {
            let name = at.to_string();
            let found = handles.get("a", &name, str::to_owned).expect("a place");
            shared += usize::from(found == super::super::OTHER);
        }
        assert!(shared >= 9 * ENTRIES_MAX, "{shared}");
    }
}
