//! How often a loop runs.
//!
//! In: `lo`, `hi`, `step`. Out: max(0, ceil((hi-lo)/step)) as a value, saturated at `i64::MAX`, which no loop reaches. Holds: exact for
//! every i64, extremes included; where bounds are simple the result has the plain form that the dependence solver reads (see [`super`]).

use super::Lower;
use crate::ir::{self, OpCode};
use kiln_lang::span::Span;
use kiln_lang::tree::Const;
use kiln_lang::types::Scalar;

const LEAST: i128 = i64::MIN as i128;
const GREATEST: i128 = i64::MAX as i128;
/// No loop runs that many iterations.
const FAR: i128 = 1 << 62;

impl Lower<'_> {
    /// The number of iterations of `lo..hi step step` (`lo..=hi` if inclusive); `step` is not 0.
    pub(super) fn extent(
        &mut self,
        lo: ir::Value,
        hi: ir::Value,
        step: Option<ir::Value>,
        inclusive: bool,
        span: Span,
    ) -> ir::Value {
        let known_step = step.map_or(Some(1), |step| self.known(step));
        if let (Some(lo), Some(hi), Some(step)) = (self.known(lo), self.known(hi), known_step) {
            return self.int(constant_extent(lo, hi, step, inclusive), span);
        }
        let simple = match known_step {
            Some(step @ 1..) => self.rising(lo, hi, step as i64, inclusive, span),
            Some(step) if step < 0 && step > LEAST => self.falling(lo, hi, -step as i64, inclusive, span),
            _ => None,
        };
        simple.unwrap_or_else(|| {
            let step = step.unwrap_or_else(|| self.int(1, span));
            self.general_extent(lo, hi, step, inclusive, span)
        })
    }

    /// d = max(hi, lo) - lo, then (d - 1) // step + 1.
    fn rising(
        &mut self,
        lo: ir::Value,
        hi: ir::Value,
        step: i64,
        inclusive: bool,
        span: Span,
    ) -> Option<ir::Value> {
        let mut end = hi;
        if inclusive {
            // hi + 1 must not wrap. For a lo far below, no loop gets as far as the iteration that hi = i64::MAX loses here.
            if self.bounds(hi).1 == GREATEST {
                if step != 1 || self.bounds(lo).1 > FAR {
                    return None;
                }
                let last = self.int(i64::MAX - 1, span);
                end = self.fold(OpCode::Min, hi, last, span);
            }
            let one = self.int(1, span);
            end = self.fold(OpCode::Add, end, one, span);
        }
        let (first, last) = (self.bounds(lo), self.bounds(end));
        let reaches = if last.0 >= first.1 { end } else { self.fold(OpCode::Max, end, lo, span) };
        self.counted(reaches, lo, last.1 - first.0, step, span)
    }

    /// d = lo - min(hi, lo), then (d - 1) // step + 1.
    fn falling(
        &mut self,
        lo: ir::Value,
        hi: ir::Value,
        step: i64,
        inclusive: bool,
        span: Span,
    ) -> Option<ir::Value> {
        let mut end = hi;
        if inclusive {
            if self.bounds(hi).0 == LEAST {
                if step != 1 || self.bounds(lo).0 < -FAR {
                    return None;
                }
                let last = self.int(i64::MIN + 1, span);
                end = self.fold(OpCode::Max, hi, last, span);
            }
            let one = self.int(1, span);
            end = self.fold(OpCode::Sub, end, one, span);
        }
        let (first, last) = (self.bounds(lo), self.bounds(end));
        let reaches = if last.1 <= first.0 { end } else { self.fold(OpCode::Min, end, lo, span) };
        self.counted(lo, reaches, first.1 - last.0, step, span)
    }

    /// The number of steps from `low` up to `high`, not below it; their difference is at most `widest`.
    fn counted(
        &mut self,
        high: ir::Value,
        low: ir::Value,
        widest: i128,
        step: i64,
        span: Span,
    ) -> Option<ir::Value> {
        if widest > GREATEST && step != 1 {
            return None;
        }
        let distance = self.fold(OpCode::Sub, high, low, span);
        if widest > GREATEST {
            let zero = self.int(0, span);
            let wrapped = self.op(OpCode::Lt, vec![distance, zero], Scalar::Bool, span);
            let most = self.int(i64::MAX, span);
            return Some(self.op(OpCode::Select, vec![wrapped, most, distance], Scalar::I64, span));
        }
        if step == 1 {
            return Some(distance);
        }
        let one = self.int(1, span);
        let step = self.int(step, span);
        let before_last = self.fold(OpCode::Sub, distance, one, span);
        let steps = self.fold(OpCode::FloorDiv, before_last, step, span);
        Some(self.fold(OpCode::Add, steps, one, span))
    }

    /// For any step: the distance as u64, divided by the step's magnitude as u64.
    fn general_extent(
        &mut self,
        lo: ir::Value,
        hi: ir::Value,
        step: ir::Value,
        inclusive: bool,
        span: Span,
    ) -> ir::Value {
        let zero = self.int(0, span);
        let rises = self.op(OpCode::Gt, vec![step, zero], Scalar::Bool, span);
        let low = self.op(OpCode::Select, vec![rises, lo, hi], Scalar::I64, span);
        let high = self.op(OpCode::Select, vec![rises, hi, lo], Scalar::I64, span);
        let compare = if inclusive { OpCode::Le } else { OpCode::Lt };
        let runs = self.op(compare, vec![low, high], Scalar::Bool, span);
        let distance = self.op(OpCode::Sub, vec![high, low], Scalar::I64, span);
        let mut distance = self.convert(distance, Scalar::U64, span);
        if !inclusive {
            let one = self.word(1, span);
            distance = self.op(OpCode::Sub, vec![distance, one], Scalar::U64, span);
        }
        // |i64::MIN| wraps to itself, which is 2^63 as u64.
        let magnitude = self.op(OpCode::Abs, vec![step], Scalar::I64, span);
        let magnitude = self.convert(magnitude, Scalar::U64, span);
        let steps = self.op(OpCode::FloorDiv, vec![distance, magnitude], Scalar::U64, span);
        let most = self.constant(Const::U64(i64::MAX as u64 - 1), span);
        let steps = self.op(OpCode::Min, vec![steps, most], Scalar::U64, span);
        let one = self.word(1, span);
        let count = self.op(OpCode::Add, vec![steps, one], Scalar::U64, span);
        let count = self.convert(count, Scalar::I64, span);
        self.op(OpCode::Select, vec![runs, count, zero], Scalar::I64, span)
    }
}

fn constant_extent(lo: i128, hi: i128, step: i128, inclusive: bool) -> i64 {
    let (distance, step) = if step > 0 { (hi - lo, step) } else { (lo - hi, -step) };
    let distance = distance + i128::from(inclusive);
    if distance <= 0 || step == 0 {
        return 0;
    }
    ((distance - 1) / step + 1).min(GREATEST) as i64
}

#[cfg(test)]
mod tests {
    use super::constant_extent;

    #[test]
    fn extents_are_exact_at_the_ends_of_i64() {
        let (least, greatest) = (i64::MIN.into(), i64::MAX.into());
        assert_eq!(constant_extent(0, 10, 3, false), 4);
        assert_eq!(constant_extent(0, 9, 3, true), 4);
        assert_eq!(constant_extent(10, 0, -3, false), 4);
        assert_eq!(constant_extent(9, 0, -3, true), 4);
        assert_eq!(constant_extent(3, 3, 1, false), 0);
        assert_eq!(constant_extent(greatest, greatest, 1, true), 1);
        assert_eq!(constant_extent(least, greatest, greatest, false), 3);
        assert_eq!(constant_extent(greatest, least, least, false), 2);
        assert_eq!(constant_extent(least, greatest, 1, true), i64::MAX);
    }
}
