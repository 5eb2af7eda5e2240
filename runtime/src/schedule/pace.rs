//! How far a task goes before it looks up.
//!
//! In: the number of units (iterations, blocks) and the compiler's guess of what one costs; then, how long steps took. Out: how many units the next step
//! has, and whether to split. Holds: steps become long enough for their overhead (a call, two readings of the clock, a look at flags:
//! about 100 ns) to stay below a hundredth, and short enough to stop and to balance in a tenth of a millisecond or two.

use std::time::Duration;

/// Operations below which a loop is not worth waking a thread.
const SMALL: u64 = 20_000;
/// The guess may be wrong by orders where iterations have loops of unknown length in them; so many operations hint at one.
const DOUBTFUL: u64 = 64;
/// What a serial loop does between two looks at the stop flag.
const SERIAL_STEP: u64 = 100_000;

/// What a step aims at.
const AIM: Duration = Duration::from_micros(100);
/// What a step aims at while splitting is undecided.
const FIRST_AIM: Duration = Duration::from_micros(10);
/// A loop that has taken so long is worth waking threads for, which takes as long again: at worst, a loop of this length takes twice what
/// it could, and no loop takes more.
const WORTH_WAKING: Duration = Duration::from_micros(20);

/// When to split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Splits {
    /// One thread only, or too little to do.
    Never,
    /// When there is seen to be enough to do.
    WhenSlow,
    /// Whenever somebody has nothing to do.
    Now,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Units of the next step; at least 1.
    pub(super) step: i64,
    pub(super) splits: Splits,
    /// How long all steps took that were measured.
    spent: Duration,
}

/// How much there is to do, as far as the compiler knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    /// Threads that may do it.
    pub(super) threads: usize,
    /// Units in all.
    pub(super) units: i64,
    /// Operations of a unit.
    pub(super) cost: u64,
    /// The cost may be wrong by orders, because loops of unknown length are in it.
    pub(super) doubtful: bool,
}

impl Work {
    /// Iterations of this cost each, `each` of them to a unit.
    pub(super) fn new(threads: usize, units: i64, cost: u64, each: i64) -> Work {
        Work { threads, units, cost: cost.max(1).saturating_mul(each as u64), doubtful: cost >= DOUBTFUL }
    }

    fn operations(&self) -> u64 {
        (self.units.max(0) as u64).saturating_mul(self.cost)
    }

    /// Is it worth copies of arrays?
    pub(super) fn is_large(&self) -> bool {
        self.threads > 1 && self.operations() >= if self.doubtful { SMALL } else { 8 * SMALL }
    }
}

impl Pace {
    pub(super) fn new(work: Work) -> Pace {
        let Work { threads, units, cost, doubtful } = work;
        let within = |operations: u64| (operations / cost).max(1) as i64;
        let spent = Duration::ZERO;
        if threads > 1 && units > 1 {
            let share = (units / (32 * threads as i64)).max(1);
            if work.operations() >= SMALL {
                // Sure to be large, or else cheap enough to look closer first.
                let splits = if doubtful { Splits::Now } else { Splits::WhenSlow };
                return Pace { step: within(SMALL).min(share), splits, spent };
            }
            if doubtful {
                return Pace { step: (units / 8).max(1), splits: Splits::WhenSlow, spent };
            }
        }
        let step = if work.operations() < 2 * SERIAL_STEP { units.max(1) } else { within(SERIAL_STEP) };
        Pace { step, splits: Splits::Never, spent }
    }

    /// The pace of units known to be heavy.
    pub(super) fn eager() -> Pace {
        Pace { step: 1, splits: Splits::Now, spent: Duration::ZERO }
    }

    pub(super) fn is_one_step(&self, units: i64) -> bool {
        self.splits == Splits::Never && self.step >= units
    }

    pub(super) fn adapt(&mut self, took: Duration) {
        self.spent += took;
        let aim = if self.splits == Splits::WhenSlow { FIRST_AIM } else { AIM };
        if self.splits == Splits::WhenSlow && self.spent > WORTH_WAKING {
            self.splits = Splits::Now;
        }
        if took < aim / 2 || took > 2 * aim {
            let factor = (aim.as_secs_f64() / took.as_secs_f64().max(1e-9)).min(8.0);
            self.step = ((self.step as f64 * factor) as i64).max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(threads: usize, units: i64, cost: u64) -> Pace {
        Pace::new(Work::new(threads, units, cost, 1))
    }

    #[test]
    fn small_loops_stay_and_misjudged_ones_are_found_out() {
        assert!(pace(8, 100, 10).is_one_step(100));
        assert_eq!(pace(1, 1 << 40, 10).splits, Splits::Never);
        assert_eq!(pace(8, 1 << 20, 100).splits, Splits::Now);
        for (units, cost, step) in [(16, 500, 2), (1 << 20, 10, 2000)] {
            let mut pace = pace(8, units, cost);
            assert_eq!((pace.step, pace.splits), (step, Splits::WhenSlow));
            pace.adapt(Duration::from_micros(1));
            assert_eq!(pace.splits, Splits::WhenSlow);
            pace.adapt(Duration::from_millis(100));
            assert_eq!((pace.step, pace.splits), (1, Splits::Now));
        }
    }

    #[test]
    fn steps_approach_a_tenth_of_a_millisecond() {
        for nanoseconds in [1, 100, 10_000, 1_000_000] {
            let mut pace = pace(2, 1 << 50, 1);
            let took = |step: i64| Duration::from_nanos(nanoseconds * step as u64);
            for _ in 0..40 {
                pace.adapt(took(pace.step));
            }
            let last = took(pace.step);
            assert!(last >= AIM / 2 && (last <= 2 * AIM || pace.step == 1), "{nanoseconds} ns: {last:?}");
        }
    }
}
