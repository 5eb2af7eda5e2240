//! Medians with intervals.
//!
//! In: numbers of one quantity. Out: their median and a 95 % interval for it by the percentile bootstrap (Efron, "Bootstrap methods", 1979). Holds:
//! equal numbers give equal intervals; the resampling has a seed of its own.

use super::inputs::element;

/// A median and the interval that holds it in 95 of 100 repetitions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The median.
    pub median: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

const RESAMPLES: usize = 4000;

/// The median. Panics if there are no numbers.
pub fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { 0.5 * (sorted[middle - 1] + sorted[middle]) }
}

/// The median with its interval. Panics if there are no numbers.
pub fn interval(numbers: &[f64]) -> Interval {
    let count = numbers.len();
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|resample| {
            let pick = |at: usize| numbers[element(7, resample * count + at, 0.0, count as f64) as usize];
            median(&(0..count).map(pick).collect::<Vec<_>>())
        })
        .collect();
    medians.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| medians[(share * (RESAMPLES - 1) as f64).round() as usize];
    Interval { median: median(numbers), low: at(0.025), high: at(0.975) }
}
