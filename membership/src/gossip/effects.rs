//! What foca wants done while it is called: collected, then carried out by the core.

use std::{net::SocketAddr, time::Duration};

use foca::{Notification, OwnedNotification, Timer};

use crate::identity::Identity;

/// Collects what foca wants done.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) sends: Vec<(SocketAddr, Vec<u8>)>,
    pub(super) timers: Vec<(Duration, Timer<Identity>)>,
    pub(super) notes: Vec<OwnedNotification<Identity>>,
}

impl Effects {
    pub(super) fn rejoined(&self) -> bool {
        self.notes
            .iter()
            .any(|note| matches!(note, OwnedNotification::Rejoin(_)))
    }
}

impl foca::Runtime<Identity> for Effects {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        self.notes.push(notification.to_owned());
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        self.sends.push((to.gossip, data.to_vec()));
    }

    fn submit_after(&mut self, event: Timer<Identity>, after: Duration) {
        self.timers.push((after, event));
    }
}
