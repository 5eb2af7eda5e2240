//! Which loops cannot be widened.
//!
//! In: a loop that is marked `@vectorize`, or a generator. Out: nothing, or why its lanes cannot run together. Holds: dependences between iterations are settled by `check_loops`, before any
//! pass; what is refused here stays scalar with the same results, and is reported. No reason depends on the machine.

use super::forms::Forms;
use crate::ir::{CheckKind, Func, OpCode, OpId, Program, RegionId, Terminator, Value, kind_of};
use crate::report::NotWide;
use kiln_lang::tree::Const;

/// Reductions inside lanes that are added left to right: see SEMANTICS section 5.
const FEW: i64 = 32;

/// What can be said before lanes are looked at.
pub(super) fn why_not(program: &Program, func: &Func, home: OpId) -> Option<NotWide> {
    let OpCode::For(data) = &func.op(home).code else { return None };
    let is_ordered = data.reductions.iter().any(|reduction| reduction.op.is_ordered(kind_of(reduction.ty)));
    if data.rank > 1 && is_ordered {
        return Some(NotWide::RectangularSum);
    }
    let mut look = Look { program, func, ordered_updates: Vec::new(), loops: 0 };
    for &(array, op) in &data.arrays {
        if op.is_ordered(kind_of(func.ty(array).scalar())) {
            look.ordered_updates.push((array, 0));
        }
    }
    look.region(func.op(home).regions[0])
}

struct Look<'l> {
    program: &'l Program,
    func: &'l Func,
    /// Arrays whose updates have an order, and the updates seen so far.
    ordered_updates: Vec<(Value, u32)>,
    /// Loops around the op, inside the one at hand.
    loops: u32,
}

impl Look<'_> {
    fn region(&mut self, region: RegionId) -> Option<NotWide> {
        let func = self.func;
        func.region(region).ops.iter().find_map(|&op| self.op(op))
    }

    fn op(&mut self, id: OpId) -> Option<NotWide> {
        let func = self.func;
        let op = func.op(id);
        match &op.code {
            OpCode::Call(callee) => {
                return Some(NotWide::Calls(self.program.funcs[callee.0 as usize].name.clone()));
            }
            OpCode::Print(_) => return Some(NotWide::Calls("print".into())),
            OpCode::RunLoop { .. } => return Some(NotWide::LoopInPieces(op.span)),
            OpCode::Alloc | OpCode::AllocUninit | OpCode::Free => return Some(NotWide::MakesArray(op.span)),
            OpCode::Check(site) => {
                let site = &func.sites[site.index()];
                if matches!(site.kind, CheckKind::Unique { .. }) {
                    return Some(NotWide::CheckAfterStore(Box::new(site.clone())));
                }
            }
            OpCode::For(data) => {
                let mut ordered =
                    data.reductions.iter().filter(|reduction| reduction.op.is_ordered(kind_of(reduction.ty)));
                let trips = op.args[..data.rank as usize].iter().try_fold(1i64, |trips, &extent| match func
                    .as_const(extent)
                {
                    Some(Const::I64(extent)) => trips.checked_mul(extent),
                    _ => None,
                });
                if ordered.next().is_some() && trips.is_none_or(|trips| trips > FEW) {
                    return Some(NotWide::InnerSum(data.span));
                }
            }
            OpCode::Update(_) | OpCode::UpdateFma => {
                let found = self.ordered_updates.iter_mut().find(|(array, _)| *array == op.args[0]);
                if let Some((_, seen)) = found {
                    *seen += 1;
                    if *seen > 1 || self.loops > 0 {
                        return Some(NotWide::FloatUpdates(op.span));
                    }
                }
            }
            _ => {}
        }
        let is_loop = crate::passes::is_loop(&op.code);
        self.loops += u32::from(is_loop);
        let inside = op.regions.iter().find_map(|&region| self.region(region));
        self.loops -= u32::from(is_loop);
        inside
    }
}

/// What can be said when it is known where lanes part.
pub(super) fn why_not_in_lanes(func: &Func, home: OpId, forms: &Forms) -> Option<NotWide> {
    let body = func.op(home).regions[0];
    find(func, body, &mut |op| parted(func, forms, op)).or_else(|| {
        let mut order = Order { func, loaded: Vec::new() };
        order.loads(body);
        order.region(body).err()
    })
}

fn find(func: &Func, region: RegionId, ask: &mut impl FnMut(OpId) -> Option<NotWide>) -> Option<NotWide> {
    func.region(region).ops.iter().find_map(|&op| {
        ask(op).or_else(|| func.op(op).regions.iter().find_map(|&inner| find(func, inner, ask)))
    })
}

fn parted(func: &Func, forms: &Forms, id: OpId) -> Option<NotWide> {
    let op = func.op(id);
    let has_array = op.results.iter().any(|&result| func.ty(result).is_array());
    match &op.code {
        OpCode::If if forms.is_varying(op.args[0]) && has_array => Some(NotWide::ArraysPart(op.span)),
        OpCode::For(data) => {
            let rank = data.rank as usize;
            let is_even = op.args[..rank].iter().all(|&extent| forms.is_uniform(extent));
            if forms.facts(id).diverges && has_array {
                Some(NotWide::ArraysPart(op.span))
            } else if rank > 1 && !is_even {
                Some(NotWide::UnevenRectangle(data.span))
            } else {
                None
            }
        }
        OpCode::While => {
            let is_left = |region: RegionId| {
                !matches!(func.region(region).end, Terminator::Yield(_)) || leaves(func, region, 0)
            };
            if forms.facts(id).diverges && has_array {
                Some(NotWide::ArraysPart(op.span))
            } else if is_left(op.regions[0]) {
                Some(NotWide::LeftFromTest(op.span))
            } else {
                None
            }
        }
        _ => None,
    }
}

/// Does something in the region leave or continue a loop further out than `loops` inside it?
fn leaves(func: &Func, region: RegionId, loops: u32) -> bool {
    let is_exit = match func.region(region).end {
        Terminator::Break(depth, _) | Terminator::Continue(depth, _) => depth >= loops,
        Terminator::Open | Terminator::Yield(_) | Terminator::Return(_) => false,
    };
    is_exit
        || func.region(region).ops.iter().any(|&id| {
            let op = func.op(id);
            let inside = loops + u32::from(crate::passes::is_loop(&op.code));
            op.regions.iter().any(|&inner| leaves(func, inner, inside))
        })
}

/// Looks for a check behind something that would make the group's second, scalar run differ from the first: an update, or a store to an array that the body loads from.
struct Order<'o> {
    func: &'o Func,
    /// Arrays that the body loads from.
    loaded: Vec<Value>,
}

/// What a region has.
#[derive(Clone, Copy, Default)]
struct Has {
    check: Option<OpId>,
    change: bool,
}

impl Order<'_> {
    fn loads(&mut self, region: RegionId) {
        let func = self.func;
        for &id in &func.region(region).ops {
            let op = func.op(id);
            if matches!(op.code, OpCode::Load) {
                self.loaded.push(op.args[0]);
            }
            op.regions.iter().for_each(|&inner| self.loads(inner));
        }
    }

    fn region(&mut self, region: RegionId) -> Result<Has, NotWide> {
        let func = self.func;
        let mut all = Has::default();
        for &id in &func.region(region).ops {
            let op = func.op(id);
            let mut has = Has::default();
            match &op.code {
                OpCode::Check(_) => has.check = Some(id),
                OpCode::Update(_) | OpCode::UpdateFma => has.change = true,
                OpCode::Store => has.change = self.loaded.contains(&op.args[0]),
                _ => {}
            }
            let mut sides = [Has::default(); 2];
            for (side, &inner) in op.regions.iter().enumerate() {
                sides[side] = self.region(inner)?;
                has.check = has.check.or(sides[side].check);
                has.change |= sides[side].change;
            }
            // Lanes of one side run before those of the other, and an iteration before the next.
            let repeats = crate::passes::is_loop(&op.code);
            let parts =
                sides[0].change && sides[1].check.is_some() || sides[1].change && sides[0].check.is_some();
            if let Some(check) = has.check
                && (all.change || has.change && (repeats || parts))
            {
                return Err(self.refuse(check));
            }
            all.check = all.check.or(has.check);
            all.change |= has.change;
        }
        Ok(all)
    }

    fn refuse(&self, check: OpId) -> NotWide {
        match self.func.op(check).code {
            OpCode::Check(site) => NotWide::CheckAfterStore(Box::new(self.func.sites[site.index()].clone())),
            _ => panic!("bug: a check is no check"),
        }
    }
}
