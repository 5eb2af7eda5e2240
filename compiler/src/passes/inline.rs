//! Puts the bodies of functions where they are called.
//!
//! In: a program. Out: the same with fewer calls, and without the functions that nobody calls any more. Holds: what is spliced in sum is bounded by
//! `BUDGET` plus a little per call, so a program whose size doubles with every call stays linear; check sites keep the name of the function
//! that they were written in; what is not spliced stays a call and means the same.
//!
//! A callee that returns early is spliced by nesting: in `if c { return a }; rest; return b` the rest moves into the other branch. A `return` inside a
//! loop becomes a `break` first: see `returns`. A callee whose rest would be needed twice stays a call.

use super::copy::{Copier, Map, Sites};
use super::returns::{returns, returns_to_breaks};
use super::{Apply, Pass, Renames, count_ops, take_ops};
use crate::ir::{Func, FuncId, OpCode, OpId, Program, RegionId, Terminator, Value};
use crate::report::Report;

/// The pass.
pub const INLINE: Pass = Pass {
    name: "inline",
    about: "put function bodies where they are called",
    apply: Apply::Program(inline),
};

/// Callees of at most this size are always spliced: a call costs as much.
const SMALL: usize = 16;
/// Larger callees that are called from several places are spliced while the program grows by no more than this many ops.
const BUDGET: usize = 4000;
/// Regions in regions that splicing may build.
const MAX_NESTING: usize = 256;
/// Each `if` that returns nests what follows one level deeper.
const MAX_RETURNING: usize = 16;
/// Splices inside splices.
const MAX_CHAIN: usize = 64;

fn inline(program: &mut Program, _report: &mut Report) {
    if program.funcs.len() == 1 {
        return;
    }
    for func in &mut program.funcs[1..] {
        if !returns_are_branches(func) {
            returns_to_breaks(func);
        }
    }
    let facts = program.funcs.iter().map(Facts::of).collect::<Vec<_>>();
    let chosen = choose(&facts);
    splice_all(program, &facts, chosen);
    drop_uncalled(program);
}

/// What decides about splicing a function.
struct Facts {
    size: usize,
    nesting: usize,
    /// Can its returns be turned into branches?
    is_spliceable: bool,
    calls: Vec<CallSite>,
}

struct CallSite {
    op: OpId,
    callee: FuncId,
    nesting: usize,
}

impl Facts {
    fn of(func: &Func) -> Facts {
        let mut facts = Facts {
            size: count_ops(func, func.body),
            nesting: 0,
            is_spliceable: returns_are_branches(func),
            calls: Vec::new(),
        };
        facts.collect(func, func.body, 0);
        facts.nesting += MAX_RETURNING;
        facts
    }

    fn collect(&mut self, func: &Func, region: RegionId, nesting: usize) {
        self.nesting = self.nesting.max(nesting);
        for &op in &func.region(region).ops {
            if let OpCode::Call(callee) = func.op(op).code {
                self.calls.push(CallSite { op, callee, nesting });
            }
            for &inner in &func.op(op).regions {
                self.collect(func, inner, nesting + 1);
            }
        }
    }
}

/// Per function, its calls that are to be spliced.
fn choose(facts: &[Facts]) -> Vec<Vec<OpId>> {
    let mut callers = vec![0usize; facts.len()];
    facts.iter().flat_map(|facts| &facts.calls).for_each(|call| callers[call.callee.index()] += 1);
    // As they will be when their own calls are spliced.
    let mut size: Vec<usize> = facts.iter().map(|facts| facts.size).collect();
    let mut nesting: Vec<usize> = facts.iter().map(|facts| facts.nesting).collect();
    let mut chain = vec![0usize; facts.len()];
    let mut growth = 0;
    let mut chosen = vec![Vec::new(); facts.len()];
    for caller in callees_first(facts) {
        for call in &facts[caller].calls {
            let callee = call.callee.index();
            let fits = facts[callee].is_spliceable
                && call.nesting + nesting[callee] <= MAX_NESTING
                && chain[callee] < MAX_CHAIN;
            let is_free = size[callee] <= SMALL || callers[callee] == 1;
            if !fits || (!is_free && growth + size[callee] > BUDGET) {
                continue;
            }
            if !is_free {
                growth += size[callee];
            }
            chosen[caller].push(call.op);
            size[caller] += size[callee];
            nesting[caller] = nesting[caller].max(call.nesting + nesting[callee]);
            chain[caller] = chain[caller].max(chain[callee] + 1);
        }
    }
    chosen
}

/// Functions reachable from the entry, callees before callers. There is no recursion.
fn callees_first(facts: &[Facts]) -> Vec<usize> {
    let mut order = Vec::with_capacity(facts.len());
    let mut seen = vec![false; facts.len()];
    let mut stack = vec![(0, 0)];
    seen[0] = true;
    while let Some((func, next)) = stack.pop() {
        match facts[func].calls.get(next) {
            Some(call) => {
                stack.push((func, next + 1));
                let callee = call.callee.index();
                if !std::mem::replace(&mut seen[callee], true) {
                    stack.push((callee, 0));
                }
            }
            None => order.push(func),
        }
    }
    order
}

/// Splices what was chosen into the functions that stay.
fn splice_all(program: &mut Program, facts: &[Facts], chosen: Vec<Vec<OpId>>) {
    let is_chosen: Vec<Vec<bool>> = facts
        .iter()
        .zip(&chosen)
        .zip(&program.funcs)
        .map(|((_, chosen), func)| {
            let mut flags = vec![false; if chosen.is_empty() { 0 } else { func.ops.len() }];
            chosen.iter().for_each(|op| flags[op.index()] = true);
            flags
        })
        .collect();
    let mut stays = vec![false; facts.len()];
    let mut work = vec![0];
    stays[0] = true;
    while let Some(func) = work.pop() {
        if chosen[func].is_empty() {
            find_calls(&program.funcs[func], program.funcs[func].body, &mut |callee| {
                if !std::mem::replace(&mut stays[callee.index()], true) {
                    work.push(callee.index());
                }
            });
            continue;
        }
        // The caller is taken out while callees are read. Nobody calls itself.
        let mut caller = std::mem::replace(&mut program.funcs[func], Func::new(""));
        let renames = Renames::new(&caller);
        let flags = is_chosen[func].clone();
        let sites = (0..facts.len()).map(|_| None).collect();
        let mut splicer = Splicer {
            funcs: &program.funcs,
            is_chosen: &is_chosen,
            flags,
            renames,
            sites,
            map: Map::default(),
        };
        let body = caller.body;
        splicer.region(&mut caller, body);
        find_calls(&caller, body, &mut |callee| {
            if !std::mem::replace(&mut stays[callee.index()], true) {
                work.push(callee.index());
            }
        });
        program.funcs[func] = caller;
    }
}

fn find_calls(func: &Func, region: RegionId, found: &mut dyn FnMut(FuncId)) {
    for &op in &func.region(region).ops {
        if let OpCode::Call(callee) = func.op(op).code {
            found(callee);
        }
        for &inner in &func.op(op).regions {
            find_calls(func, inner, found);
        }
    }
}

struct Splicer<'p> {
    funcs: &'p [Func],
    /// Per function and op: is it a call to be spliced?
    is_chosen: &'p [Vec<bool>],
    /// The same for the caller, as it grows.
    flags: Vec<bool>,
    renames: Renames,
    /// Per callee: its sites in the caller.
    sites: Vec<Option<Sites>>,
    map: Map,
}

impl Splicer<'_> {
    fn region(&mut self, caller: &mut Func, region: RegionId) {
        let mut ops = Vec::new();
        self.list(caller, region, &mut ops);
        caller.regions[region.index()].ops = ops;
        self.renames.in_end(caller, region);
    }

    /// Moves the ops of `region` to the end of `out`, calls spliced.
    fn list(&mut self, caller: &mut Func, region: RegionId, out: &mut Vec<OpId>) {
        for op in take_ops(caller, region) {
            self.renames.in_op(caller, op);
            match caller.op(op).code {
                OpCode::Call(callee) if self.flags.get(op.index()).copied().unwrap_or(false) => {
                    self.call(caller, op, callee, out);
                }
                _ => {
                    for position in 0..caller.op(op).regions.len() {
                        let inner = caller.op(op).regions[position];
                        self.region(caller, inner);
                    }
                    out.push(op);
                }
            }
        }
    }

    fn call(&mut self, caller: &mut Func, op: OpId, callee: FuncId, out: &mut Vec<OpId>) {
        let source = &self.funcs[callee.index()];
        let sites = self.sites[callee.index()].take().unwrap_or_default();
        let mut copier = Copier::from(source, sites, std::mem::take(&mut self.map));
        let args = caller.op(op).args.clone();
        let (body, values) = splice(&mut copier, source, caller, &args);
        for &(original, copy) in &copier.calls {
            if self.is_chosen[callee.index()].get(original.index()).copied().unwrap_or(false) {
                self.flags.resize(caller.ops.len(), false);
                self.flags[copy.index()] = true;
            }
        }
        self.sites[callee.index()] = Some(std::mem::take(&mut copier.sites));
        self.map = copier.into_map();
        // Calls in the copy first: their results are among the values that are handed on.
        self.list(caller, body, out);
        for (position, value) in values.into_iter().enumerate() {
            let result = caller.op(op).results[position];
            self.renames.set(result, value);
        }
    }
}

/// Copies the body of `source` into a region of `target` that nothing holds yet; gives it, and the values that `source` returns.
/// `source` must pass [`returns_are_branches`].
pub(super) fn splice(
    copier: &mut Copier,
    source: &Func,
    target: &mut Func,
    args: &[Value],
) -> (RegionId, Vec<Value>) {
    for (&param, &arg) in source.params().iter().zip(args) {
        copier.set(param, arg);
    }
    let into = target.add_region();
    let values = Body { copier, source, target }.rest(source.body, 0, None, into);
    (into, values)
}

/// What comes after an `if` that returns: the ops of `region` from `next` on, then what comes after the op that holds `region`.
#[derive(Clone, Copy)]
struct Rest<'r> {
    region: RegionId,
    next: usize,
    op: OpId,
    outer: Option<&'r Rest<'r>>,
}

struct Body<'b, 's> {
    copier: &'b mut Copier<'s>,
    source: &'b Func,
    target: &'b mut Func,
}

impl Body<'_, '_> {
    /// Copies the ops of `region` from `next` on, and what comes after, to `into`; gives what the function returns then.
    fn rest(&mut self, region: RegionId, next: usize, after: Option<&Rest>, into: RegionId) -> Vec<Value> {
        let source = self.source;
        for (position, &op) in source.region(region).ops.iter().enumerate().skip(next) {
            if !returns(source, op) {
                self.copier.op(self.target, op, into);
                continue;
            }
            // The value of the whole function is the value of this `if` with the rest in the branch that goes on.
            let span = source.op(op).span;
            let cond = self.copier.get(source.op(op).args[0]);
            let copy = self.target.push_op(into, OpCode::If, vec![cond], &source.results, span);
            let rest = Rest { region, next: position + 1, op, outer: after };
            for &inner in &source.op(op).regions {
                let branch = self.target.add_region();
                let values = self.rest(inner, 0, Some(&rest), branch);
                self.target.regions[branch.index()].end = Terminator::Yield(values);
                self.target.ops[copy.index()].regions.push(branch);
            }
            return self.target.op(copy).results.clone();
        }
        match &source.region(region).end {
            Terminator::Return(values) => self.copier.get_all(values),
            end => {
                let Some(rest) = after else { panic!("bug: the body of `{}` does not return", source.name) };
                for (&result, &value) in source.op(rest.op).results.iter().zip(end.args()) {
                    let value = self.copier.get(value);
                    self.copier.set(result, value);
                }
                self.rest(rest.region, rest.next, rest.outer, into)
            }
        }
    }
}

/// Can the function be spliced: does every return stand in branches only, and is the rest behind them needed once?
pub(super) fn returns_are_branches(func: &Func) -> bool {
    let mut branches = 0;
    paths(func, func.body, &mut branches) == Some(0) && branches <= MAX_RETURNING
}

/// How many ways lead from the region to its yield; `None` if a return stands where it cannot be a branch.
fn paths(func: &Func, region: RegionId, branches: &mut usize) -> Option<u32> {
    for &op in &func.region(region).ops {
        if func.op(op).regions.is_empty() || !returns(func, op) {
            continue;
        }
        if func.op(op).code != OpCode::If {
            return None;
        }
        *branches += 1;
        let mut ways = 0;
        for &inner in &func.op(op).regions {
            ways += paths(func, inner, branches)?;
        }
        match ways {
            // What follows is never reached.
            0 => return Some(0),
            1 => {}
            _ => return None,
        }
    }
    match func.region(region).end {
        Terminator::Yield(_) => Some(1),
        Terminator::Return(_) => Some(0),
        // Leaves a loop that returns from inside: refused above, the loop holds the return.
        Terminator::Break(..) | Terminator::Continue(..) | Terminator::Open => None,
    }
}

/// Removes functions that nobody calls, and renumbers the rest.
fn drop_uncalled(program: &mut Program) {
    let mut reached = vec![false; program.funcs.len()];
    let mut work = vec![0];
    reached[0] = true;
    while let Some(func) = work.pop() {
        let func = &program.funcs[func];
        find_calls(func, func.body, &mut |callee| {
            if !std::mem::replace(&mut reached[callee.index()], true) {
                work.push(callee.index());
            }
        });
    }
    let mut numbers = vec![FuncId(0); program.funcs.len()];
    let kept = (0..reached.len()).filter(|&number| reached[number]);
    for (next, number) in kept.enumerate() {
        numbers[number] = FuncId(next as u32);
    }
    let mut keep = reached.iter();
    program.funcs.retain(|_| *keep.next().expect("bug: one flag per function"));
    for op in program.funcs.iter_mut().flat_map(|func| &mut func.ops) {
        if let OpCode::Call(callee) = &mut op.code {
            *callee = numbers[callee.index()];
        }
    }
}
