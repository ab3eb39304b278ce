//! The files that the process may open, of which each connection is one.

use std::num::NonZeroU32;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The part of the files that is not for connections: the store's own, other listeners.
const SHARE: u64 = 2;

/// As many connections as are wanted and as the process has files for. Asks the system first for as many files as it
/// gives without asking anybody.
pub(crate) fn connections_max(wanted: NonZeroU32) -> NonZeroU32 {
    let now = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: now.maximum,
        maximum: now.maximum,
    };
    let files = match setrlimit(Resource::Nofile, most) {
        Ok(()) => most.current,
        Err(error) => {
            tracing::warn!(%error, "limit of open files cannot be raised");
            now.current
        }
    };
    let max = bounded(wanted, files);
    if max < wanted {
        tracing::info!(?files, connections = max.get(), "open files bound connections");
    }
    max
}

/// No bound of the system's is none.
fn bounded(wanted: NonZeroU32, files: Option<u64>) -> NonZeroU32 {
    let room = files.map_or(u32::MAX, |files| u32::try_from(files / SHARE).unwrap_or(u32::MAX));
    wanted.min(NonZeroU32::new(room).unwrap_or(NonZeroU32::MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_bound_connections() {
        let of = |wanted, files| bounded(NonZeroU32::new(wanted).expect("number"), files).get();
        assert_eq!(of(50_000, None), 50_000);
        assert_eq!(of(50_000, Some(1 << 40)), 50_000);
        assert_eq!(of(50_000, Some(256)), 128);
        assert_eq!(of(100, Some(256)), 100);
        assert_eq!(of(100, Some(1)), 1);
    }

    #[test]
    fn the_process_gets_all_files_that_it_may_have() {
        let wanted = NonZeroU32::new(10).expect("number");
        assert!(connections_max(wanted) <= wanted);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
