//! How far a task goes before it looks up.
//!
//! In: the number of units (iterations, blocks) and the compiler's guess of what one costs; then, how long steps took. Out: how many units the next step
//! has, and whether to split. Holds: steps become long enough for their overhead (a call, two readings of the clock, a look at flags:
//! about 100 ns) to stay below a hundredth, and short enough to stop and to balance in a fifth of a millisecond.

use std::time::Duration;

/// Operations below which a loop is not worth waking a thread.
const SMALL: u64 = 20_000;
/// The guess may be wrong by orders where iterations have loops of unknown length in them; so many operations hint at one.
const DOUBTFUL: u64 = 64;
/// What a serial loop does between two looks at the stop flag.
const SERIAL_STEP: u64 = 100_000;

const HASTY: Duration = Duration::from_micros(5);
const SHORT: Duration = Duration::from_micros(50);
const LONG: Duration = Duration::from_micros(200);
const AIM: Duration = Duration::from_micros(100);
/// A step of a small loop that takes longer was misjudged.
const SLOW: Duration = Duration::from_micros(20);

/// When to split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Splits {
    /// One thread only, or too little to do.
    Never,
    /// When a step shows that there is more to do than it seemed.
    WhenSlow,
    /// Whenever somebody has nothing to do.
    Now,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Units of the next step; at least 1.
    pub(super) step: i64,
    pub(super) splits: Splits,
}

impl Pace {
    pub(super) fn new(threads: usize, units: i64, cost: u64) -> Pace {
        let work = (units.max(0) as u64).saturating_mul(cost);
        let within = |operations: u64| (operations / cost.max(1)).max(1) as i64;
        if threads > 1 && units > 1 {
            if work >= SMALL {
                let shares = units / (32 * threads as i64);
                return Pace { step: within(SMALL).min(shares).max(1), splits: Splits::Now };
            }
            if cost >= DOUBTFUL {
                return Pace { step: (units / 8).max(1), splits: Splits::WhenSlow };
            }
        }
        let step = if work < 2 * SERIAL_STEP { units.max(1) } else { within(SERIAL_STEP) };
        Pace { step, splits: Splits::Never }
    }

    /// The pace of units known to be heavy.
    pub(super) fn eager(self, units: i64) -> Pace {
        match self.splits {
            Splits::Never | Splits::WhenSlow if units > 1 => Pace { step: 1, splits: Splits::Now },
            Splits::Never | Splits::WhenSlow | Splits::Now => self,
        }
    }

    pub(super) fn is_one_step(&self, units: i64) -> bool {
        self.splits == Splits::Never && self.step >= units
    }

    pub(super) fn adapt(&mut self, took: Duration) {
        if self.splits == Splits::WhenSlow && took > SLOW {
            self.splits = Splits::Now;
        }
        self.step = if took < HASTY {
            self.step.saturating_mul(8)
        } else if took < SHORT {
            self.step.saturating_mul(2)
        } else if took > LONG {
            (self.step as f64 * (AIM.as_secs_f64() / took.as_secs_f64())) as i64
        } else {
            self.step
        }
        .max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_loops_stay_and_misjudged_ones_are_found_out() {
        assert!(Pace::new(8, 100, 10).is_one_step(100));
        assert_eq!(Pace::new(1, 1 << 40, 10).splits, Splits::Never);
        assert_eq!(Pace::new(8, 1 << 20, 10).splits, Splits::Now);
        let mut pace = Pace::new(8, 16, 500);
        assert_eq!((pace.step, pace.splits), (2, Splits::WhenSlow));
        pace.adapt(Duration::from_millis(10));
        assert_eq!((pace.step, pace.splits), (1, Splits::Now));
    }

    #[test]
    fn steps_approach_a_tenth_of_a_millisecond() {
        for nanoseconds in [1, 100, 10_000, 1_000_000] {
            let mut pace = Pace::new(2, 1 << 50, 1);
            let took = |step: i64| Duration::from_nanos(nanoseconds * step as u64);
            for _ in 0..40 {
                pace.adapt(took(pace.step));
            }
            let last = took(pace.step);
            assert!(last >= SHORT && (last <= LONG || pace.step == 1), "{nanoseconds} ns: {last:?}");
        }
    }
}
