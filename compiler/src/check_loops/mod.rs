//! Are the iterations of annotated loops independent?
//!
//! In: a program as lowered. Out: a [`Diagnostic`] for each array of each annotated loop where they are not; else the program with its array
//! reductions set ([`ForData::arrays`](crate::ir::ForData::arrays)) and with checks of entry conditions before the loops that need them.
//! Holds: SEMANTICS section 7. The verdict depends on the program alone, never on a machine; whatever is not proven is an error.

mod access;
mod affine;
mod collide;
mod entry;
mod explain;
mod nest;
mod solve;
#[cfg(test)]
mod tests;
mod witness;

use crate::ir::{Func, OpCode, OpId, Program, Value};
use access::{Access, Accesses, Deed, Place, Summary};
use affine::{Model, Wrap};
use collide::{Clause, Judge, Meeting, Prepared};
use entry::Condition;
use explain::Party;
use kiln_abi::ReduceOp;
use kiln_lang::diag::Diagnostic;
use nest::Nest;
use std::collections::HashSet;
use witness::Witness;

/// Work for one loop; see [`solve::Work`].
const LOOP_WORK: u64 = 12_000_000;
/// Pairs of accesses that are compared in one loop.
const MAX_PAIRS: usize = 1_000_000;
/// Pairs that may meet, after which no better example is looked for.
const MAX_DOUBTS: usize = 8;

/// Decides for every annotated loop whether its iterations are independent. The errors come in the order of the source.
pub fn check_loops(program: &mut Program) -> Vec<Diagnostic> {
    let summaries = access::summaries(program);
    let mut diagnostics: Vec<Diagnostic> = Vec::new();
    for at in 0..program.funcs.len() {
        let nest = Nest::new(&program.funcs[at]);
        let mut verdicts = Vec::new();
        for home in annotated_loops(&program.funcs[at], &nest) {
            let verdict = judge_loop(program, &program.funcs[at], &nest, home, &summaries);
            verdicts.push((home, verdict));
        }
        for (home, verdict) in verdicts {
            for diagnostic in verdict.diagnostics {
                if !diagnostics.contains(&diagnostic) {
                    diagnostics.push(diagnostic);
                }
            }
            let func = &mut program.funcs[at];
            if let OpCode::For(data) = &mut func.ops[home.index()].code {
                data.arrays = verdict.arrays;
            }
            entry::insert(func, &nest, home, &verdict.conditions);
        }
    }
    diagnostics.sort_by_key(|diagnostic| (diagnostic.primary.span.source, diagnostic.primary.span.start));
    diagnostics
}

fn annotated_loops(func: &Func, nest: &Nest) -> Vec<OpId> {
    let ops = (0..func.ops.len() as u32).map(OpId).filter(|&op| nest.region_of(op).is_some());
    ops.filter(|&op| matches!(&func.op(op).code, OpCode::For(data) if data.is_annotated())).collect()
}

#[derive(Default)]
struct Verdict {
    diagnostics: Vec<Diagnostic>,
    arrays: Vec<(Value, ReduceOp)>,
    conditions: Vec<Condition>,
}

fn judge_loop(
    program: &Program,
    func: &Func,
    nest: &Nest,
    home: OpId,
    summaries: &[Vec<Summary>],
) -> Verdict {
    let accesses = access::collect(func, nest, home, summaries);
    let written = written_arrays(&accesses);
    let mut verdict = Verdict::default();
    if written.is_empty() {
        return verdict;
    }
    let touched: HashSet<Value> =
        all_roots(&accesses).into_iter().filter(|&root| may_be_any(func, nest, root, &written)).collect();
    let model = Model::new(func, nest, home, touched);
    let around = access::facts_around(func, nest, home);
    let mut judge = Judge::new(model, &around, solve::Work(LOOP_WORK));
    for &array in &written {
        let is_meant =
            |access: &&Access| access.roots.iter().any(|&root| nest.may_be_same(func, root, array));
        let parties: Vec<&Access> = accesses.list.iter().filter(is_meant).collect();
        let prepared: Vec<Prepared> =
            parties.iter().map(|access| judge.prepare(access, accesses.facts_of(access))).collect();
        let operator = reduction(array, &parties);
        match compare(&mut judge, &parties, &prepared, operator.is_some()) {
            Comparison { clauses, race: None, wraps } if operator.is_none() || clauses.is_empty() => {
                let name = explain::array_name(func, parties[0]);
                for condition in entry::conditions(&judge, &clauses, &wraps, &name) {
                    if !verdict.conditions.contains(&condition) {
                        verdict.conditions.push(condition);
                    }
                }
            }
            Comparison { race, .. } => match (operator, race) {
                (Some(operator), _) => verdict.arrays.push((array, operator)),
                (None, Some((a, b, witness))) => {
                    let party = |at: usize| Party { access: parties[at], prepared: &prepared[at] };
                    let race = explain::race(program, judge.model(), party(a), party(b), witness.as_deref());
                    verdict.diagnostics.push(race);
                }
                (None, None) => {}
            },
        }
    }
    verdict
}

fn all_roots(accesses: &Accesses) -> HashSet<Value> {
    accesses.list.iter().flat_map(|access| access.roots.iter().copied()).collect()
}

/// Arrays outside the loop that it writes, in the order of the first write.
fn written_arrays(accesses: &Accesses) -> Vec<Value> {
    let mut written = Vec::new();
    for access in accesses.list.iter().filter(|access| access.deed.writes()) {
        for &root in &access.roots {
            if !written.contains(&root) {
                written.push(root);
            }
        }
    }
    written
}

fn may_be_any(func: &Func, nest: &Nest, root: Value, written: &[Value]) -> bool {
    written.iter().any(|&written| nest.may_be_same(func, root, written))
}

/// The operator, if all that the loop does to the array is to update it by one.
fn reduction(array: Value, parties: &[&Access]) -> Option<ReduceOp> {
    let operator = |access: &Access| match (&access.place, access.deed) {
        (Place::Element(_), Deed::Update(operator)) if access.array == array && access.roots == [array] => {
            Some(operator)
        }
        _ => None,
    };
    let first = operator(parties.first()?)?;
    parties.iter().all(|access| operator(access) == Some(first)).then_some(first)
}

/// What comes of comparing all accesses to one array.
struct Comparison {
    clauses: Vec<Clause>,
    wraps: Vec<Wrap>,
    /// Positions of two accesses that meet, or that are not known not to.
    race: Option<(usize, usize, Option<Box<Witness>>)>,
}

/// `is_reduction`: any race will do, none need be shown.
fn compare(judge: &mut Judge, parties: &[&Access], prepared: &[Prepared], is_reduction: bool) -> Comparison {
    let mut comparison = Comparison { clauses: Vec::new(), wraps: Vec::new(), race: None };
    let mut pairs = 0;
    let mut doubts = 0;
    for (a, _) in parties.iter().enumerate().filter(|(_, access)| access.deed.writes()) {
        for (b, second) in parties.iter().enumerate() {
            // each pair of writes once
            if second.deed.writes() && b < a {
                continue;
            }
            pairs += 1;
            if pairs > MAX_PAIRS {
                comparison.race.get_or_insert((a, b, None));
                return comparison;
            }
            match judge.meet(&prepared[a], &prepared[b], a == b) {
                Meeting::Never(wraps) => comparison.wraps.extend(wraps),
                Meeting::Unless(clauses, wraps) => {
                    comparison.wraps.extend(wraps);
                    for clause in clauses {
                        if !comparison.clauses.contains(&clause) {
                            comparison.clauses.push(clause);
                        }
                    }
                    if is_reduction {
                        return comparison;
                    }
                }
                Meeting::Shown(witness) => {
                    comparison.race = Some((a, b, Some(witness)));
                    return comparison;
                }
                Meeting::Unknown => {
                    comparison.race.get_or_insert((a, b, None));
                    doubts += 1;
                    if is_reduction || doubts == MAX_DOUBTS || judge.is_exhausted() {
                        return comparison;
                    }
                }
            }
        }
    }
    comparison
}
