//! Where others may be found: the configured seeds, their names resolved again and again.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    config::{Config, Seed},
    limits,
    metrics::Metrics,
};

pub(super) struct Seeds {
    seeds: Vec<Seed>,
    period: Duration,
    /// None if nothing has to be resolved any more.
    next: Option<Instant>,
    /// The resolution under way; there is never a second one.
    under_way: Option<JoinHandle<Resolved>>,
    /// What the seeds resolved to when they last did.
    addresses: Vec<SocketAddr>,
}

struct Resolved {
    addresses: Vec<SocketAddr>,
    failures: u64,
}

impl Seeds {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            seeds: config.seeds.clone(),
            period: config.timing.resolve_period,
            next: Some(Instant::now()),
            under_way: None,
            addresses: Vec::new(),
        }
    }

    /// Looks at more places; those beyond the limit are left out.
    pub(super) fn add(&mut self, more: Vec<Seed>) {
        for seed in more {
            if self.seeds.len() >= limits::SEEDS_MAX {
                tracing::warn!(%seed, "too many seeds: left out");
            } else if !self.seeds.contains(&seed) {
                self.seeds.push(seed);
            }
        }
        self.next = Some(Instant::now());
    }

    /// Waits until the seeds have been resolved once more. May be dropped and called again.
    pub(super) async fn resolved(&mut self, metrics: &Arc<Metrics>) -> Vec<SocketAddr> {
        loop {
            if let Some(task) = &mut self.under_way {
                let resolved = task.await;
                self.under_way = None;
                if let Ok(resolved) = resolved {
                    metrics.errors.with(&["resolve"]).add(resolved.failures);
                    self.keep(resolved);
                    return self.addresses.clone();
                }
            }
            match self.next {
                Some(next) => sleep_until(next).await,
                None => std::future::pending().await,
            }
            let names = self.seeds.iter().any(|seed| matches!(seed, Seed::Name { .. }));
            self.next = names.then(|| Instant::now() + self.period);
            self.under_way = Some(tokio::spawn(resolve(self.seeds.clone())));
        }
    }

    /// A name that fails to resolve for a while does not take away what it stood for.
    fn keep(&mut self, resolved: Resolved) {
        if resolved.failures == 0 {
            self.addresses.clear();
        }
        for address in resolved.addresses {
            if !self.addresses.contains(&address) && self.addresses.len() < limits::SEED_ADDRESSES_MAX {
                self.addresses.push(address);
            }
        }
    }
}

async fn resolve(seeds: Vec<Seed>) -> Resolved {
    let mut resolved = Resolved {
        addresses: Vec::new(),
        failures: 0,
    };
    let until = Instant::now() + limits::RESOLVE_TIMEOUT;
    for seed in seeds {
        match seed {
            Seed::Address(address) => resolved.addresses.push(address),
            Seed::Name { host, port } => {
                let left = until.saturating_duration_since(Instant::now());
                match timeout(left, tokio::net::lookup_host((host.as_str(), port))).await {
                    Ok(Ok(addresses)) => resolved.addresses.extend(addresses),
                    Ok(Err(_)) | Err(_) => resolved.failures += 1,
                }
            }
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds(texts: &[&str]) -> Seeds {
        Seeds::new(&Config {
            seeds: texts.iter().map(|text| text.parse().expect("a seed")).collect(),
            ..Config::default()
        })
    }

    #[tokio::test]
    async fn names_and_addresses_resolve_and_what_failed_is_counted() {
        let metrics = Arc::<Metrics>::default();
        let mut seeds = seeds(&["10.0.0.1:7000", "localhost:7001", "no-such-host.invalid:7002"]);
        let found = seeds.resolved(&metrics).await;
        assert!(found.contains(&([10, 0, 0, 1], 7_000).into()), "{found:?}");
        assert!(
            found.iter().any(|at| at.ip().is_loopback() && at.port() == 7_001),
            "{found:?}"
        );
        assert_eq!(metrics.errors.value(), 1);
        assert!(seeds.next.is_some(), "names are resolved again");
    }

    #[tokio::test]
    async fn addresses_alone_are_taken_once_until_more_come() {
        let metrics = Arc::<Metrics>::default();
        let mut seeds = seeds(&["10.0.0.1:7000"]);
        assert_eq!(seeds.resolved(&metrics).await, [([10, 0, 0, 1], 7_000).into()]);
        assert!(seeds.next.is_none());
        seeds.add(vec!["10.0.0.2:7000".parse().expect("a seed")]);
        assert_eq!(seeds.resolved(&metrics).await.len(), 2);
    }

    #[test]
    fn a_name_that_fails_keeps_what_it_stood_for() {
        let address = |port| SocketAddr::from(([10, 0, 0, 1], port));
        let mut seeds = seeds(&[]);
        let resolved = |ports: &[u16], failures| Resolved {
            addresses: ports.iter().copied().map(address).collect(),
            failures,
        };
        seeds.keep(resolved(&[1, 2], 0));
        seeds.keep(resolved(&[3], 1));
        assert_eq!(seeds.addresses, [address(1), address(2), address(3)]);
        seeds.keep(resolved(&[3], 0));
        assert_eq!(seeds.addresses, [address(3)]);
        let many: Vec<u16> = (0..1_000).collect();
        seeds.keep(resolved(&many, 0));
        assert_eq!(seeds.addresses.len(), limits::SEED_ADDRESSES_MAX);
    }
}
