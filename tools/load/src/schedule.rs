//! When the open loop means to start each workflow, whatever the server does meanwhile.
//!
//! Pure: `drive` waits for these times. Latency counts from them, so a stall of the server cannot hide by
//! slowing the load down.

use std::time::Duration;

use clap::ValueEnum;

/// How starts are spread over a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arrivals {
    /// One every 1/rate seconds.
    Even,
    /// As independent callers would: exponential gaps with that mean.
    Poisson,
}

/// The intended start times, as offsets from the beginning; endless.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    rate: f64,
    arrivals: Arrivals,
    next_index: u64,
    poisson_at: f64,
    random: u64,
}

impl Schedule {
    /// `rate` is starts per second, above zero.
    pub(crate) fn new(rate: f64, arrivals: Arrivals, seed: u64) -> Self {
        Self {
            rate,
            arrivals,
            next_index: 0,
            poisson_at: 0.0,
            random: seed,
        }
    }

    fn uniform(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        // 53 bits make a double in [0, 1).
        (mix(self.random) >> 11) as f64 / (1u64 << 53) as f64
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let at = match self.arrivals {
            // From the index, not by adding up: no drift over a long run.
            Arrivals::Even => self.next_index as f64 / self.rate,
            Arrivals::Poisson => {
                let gap = -(1.0 - self.uniform()).ln() / self.rate;
                self.poisson_at += gap;
                self.poisson_at
            }
        };
        self.next_index += 1;
        Some(Duration::from_secs_f64(at))
    }
}

/// Spreads the bits of a counter; equal inputs give equal outputs.
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_starts_keep_their_grid() {
        let times: Vec<_> = Schedule::new(4.0, Arrivals::Even, 1).take(5).collect();
        assert_eq!(times, [0, 250, 500, 750, 1000].map(Duration::from_millis));
        let late = Schedule::new(3.0, Arrivals::Even, 1).nth(3_000_000);
        assert_eq!(late, Some(Duration::from_secs(1_000_000)));
    }

    #[test]
    fn poisson_starts_have_the_rate_and_never_go_back() {
        let times: Vec<_> = Schedule::new(100.0, Arrivals::Poisson, 7).take(20_000).collect();
        assert!(times.is_sorted());
        let mean_rate = 20_000.0 / times[19_999].as_secs_f64();
        assert!((95.0..105.0).contains(&mean_rate), "{mean_rate}");
        let again: Vec<_> = Schedule::new(100.0, Arrivals::Poisson, 7).take(20_000).collect();
        assert_eq!(times, again);
    }
}
