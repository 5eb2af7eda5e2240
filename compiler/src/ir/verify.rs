//! Checks that the IR keeps its promises; a program that does not is a bug of ours, never the user's.
//!
//! In: a program from `lower`, `parse` or a pass. Out: nothing, or the first broken promise with the op that breaks it.
//! Holds: what passes here can be printed, evaluated and compiled without a panic. The rules are those of the module's types and of the table.

use super::print::{quote_end, quote_op};
use super::table::{Class, Rule};
use super::{CheckKind, Def, ForData, Func, FuncId, Op, OpCode, OpId, PrintPart, Program, RegionId};
use super::{Terminator, Type, Value, const_scalar, scalar_of};
use kiln_abi::ReduceOp;
use kiln_lang::types::{Layout, MAX_RANK, Scalar};

/// Lanes that a value may have: a power of two of at most the 32 lanes of an ordered reduction.
const LANES: [u8; 5] = [2, 4, 8, 16, 32];

/// Does the program keep every promise of the IR?
///
/// # Errors
/// The first broken promise: function, op, reason.
pub fn verify(program: &Program) -> Result<(), String> {
    if program.funcs.is_empty() {
        return Err("the program has no function".into());
    }
    for number in 0..program.funcs.len() {
        verify_func(program, FuncId(number as u32))?;
    }
    verify_loops(program)?;
    verify_no_recursion(program)
}

/// Does one function keep the promises, given the signatures of the others?
///
/// # Errors
/// As [`verify`].
pub fn verify_func(program: &Program, id: FuncId) -> Result<(), String> {
    let func = &program.funcs[id.0 as usize];
    let in_func = |message| format!("in @{}: {message}", func.name);
    verify_arenas(func).map_err(in_func)?;
    let mut verifier =
        Verifier { program, id, func, defined: vec![false; func.values.len()], nest: Vec::new() };
    verifier.func()
}

/// Arena numbers are in range, each listed op and region has one place, each value's definition is where it says.
fn verify_arenas(func: &Func) -> Result<(), String> {
    let mut ops = vec![false; func.ops.len()];
    let mut regions = vec![false; func.regions.len()];
    let mut waiting = vec![func.body];
    while let Some(region) = waiting.pop() {
        match regions.get_mut(region.index()) {
            None => return Err(format!("region {} does not exist", region.0)),
            Some(true) => return Err(format!("region {} has two places", region.0)),
            Some(seen) => *seen = true,
        }
        let data = func.region(region);
        for (position, &param) in data.params.iter().enumerate() {
            verify_def(func, param, Def::Param(region, position as u32))?;
        }
        for &op in &data.ops {
            match ops.get_mut(op.index()) {
                None => return Err(format!("op {} does not exist", op.0)),
                Some(true) => return Err(format!("op {} is listed twice", op.0)),
                Some(seen) => *seen = true,
            }
            let data = func.op(op);
            for (position, &result) in data.results.iter().enumerate() {
                verify_def(func, result, Def::Op(op, position as u32))?;
            }
            waiting.extend(&data.regions);
        }
    }
    Ok(())
}

fn verify_def(func: &Func, value: Value, def: Def) -> Result<(), String> {
    match func.values.get(value.index()) {
        None => Err(format!("value {} does not exist", value.0)),
        Some(data) if data.def != def => {
            Err(format!("value {} says it is defined by {:?}, but it is by {def:?}", value.0, data.def))
        }
        Some(data) => verify_type(data.ty),
    }
}

fn verify_type(ty: Type) -> Result<(), String> {
    let is_valid = match ty {
        Type::Scalar(_) => true,
        Type::Lanes(scalar, lanes) => scalar != Scalar::Bool && LANES.contains(&lanes),
        Type::Mask(lanes) => LANES.contains(&lanes),
        Type::Array { rank, .. } => (1..=MAX_RANK).contains(&(rank as usize)),
    };
    if is_valid { Ok(()) } else { Err(format!("{ty} is no type")) }
}

/// Outlined loops name chunk functions that say the same of themselves.
fn verify_loops(program: &Program) -> Result<(), String> {
    for (number, info) in program.loops.iter().enumerate() {
        let func = program.funcs.get(info.func as usize);
        let chunk =
            func.ok_or_else(|| format!("loop {number} runs function {}, which does not exist", info.func))?;
        if chunk.chunk_of != Some(number as u32) {
            return Err(format!("loop {number} runs @{}, which is not its chunk function", chunk.name));
        }
        let data = chunk_loop(chunk).ok_or_else(|| format!("@{} has no loop of its own", chunk.name))?.1;
        let same = data.reductions.len() == info.scalars.len()
            && data
                .reductions
                .iter()
                .zip(&info.scalars)
                .all(|(have, info)| have.op == info.op && have.ty == scalar_of(info.ty));
        if !same {
            return Err(format!("the reductions of loop {number} and of @{} differ", chunk.name));
        }
    }
    for func in &program.funcs {
        if let Some(number) = func.chunk_of
            && number as usize >= program.loops.len()
        {
            return Err(format!("@{} is the chunk of loop {number}, which does not exist", func.name));
        }
    }
    Ok(())
}

/// The loop of a chunk function: the only `for` in its body.
pub(crate) fn chunk_loop(func: &Func) -> Option<(OpId, &ForData)> {
    let mut loops = func.region(func.body).ops.iter().filter_map(|&op| match &func.op(op).code {
        OpCode::For(data) => Some((op, &**data)),
        _ => None,
    });
    let found = loops.next()?;
    loops.next().is_none().then_some(found)
}

fn verify_no_recursion(program: &Program) -> Result<(), String> {
    let callees: Vec<Vec<usize>> = program.funcs.iter().map(|func| listed_callees(program, func)).collect();
    // Depth-first with an explicit stack: 0 not seen, 1 being followed, 2 done.
    let mut state = vec![0u8; callees.len()];
    for root in 0..callees.len() {
        let mut stack = vec![(root, 0)];
        if state[root] != 0 {
            continue;
        }
        state[root] = 1;
        while let Some((func, position)) = stack.last_mut() {
            match callees[*func].get(*position) {
                None => {
                    state[*func] = 2;
                    stack.pop();
                }
                Some(&callee) => {
                    *position += 1;
                    match state[callee] {
                        0 => {
                            state[callee] = 1;
                            stack.push((callee, 0));
                        }
                        1 => return Err(format!("@{} calls itself", program.funcs[callee].name)),
                        _ => {}
                    }
                }
            }
        }
    }
    Ok(())
}

/// Functions that the listed ops of `func` call, in any way.
fn listed_callees(program: &Program, func: &Func) -> Vec<usize> {
    let listed = func.regions.iter().flat_map(|region| &region.ops);
    let callee = |&op: &OpId| match func.op(op).code {
        OpCode::Call(callee) => Some(callee.0 as usize),
        OpCode::RunLoop { number } => program.loops.get(number as usize).map(|info| info.func as usize),
        _ => None,
    };
    let mut callees: Vec<usize> = listed.filter_map(callee).collect();
    callees.sort_unstable();
    callees.dedup();
    callees
}

/// What encloses the op at hand.
struct Loop<'p> {
    op: &'p Op,
    /// The op's data, if it is a `for`.
    data: Option<&'p ForData>,
    /// Ordinals that the region at hand takes at a time.
    lanes: u8,
}

impl Loop<'_> {
    /// Types of the carried values, as `break` and `continue` hand them over.
    fn carried(&self) -> &[Value] {
        match self.data {
            Some(data) => self.op.args.get(data.rank as usize..).unwrap_or_default(),
            None => &self.op.args,
        }
    }
}

struct Verifier<'p> {
    program: &'p Program,
    id: FuncId,
    func: &'p Func,
    /// Values that the current op may use.
    defined: Vec<bool>,
    /// Enclosing loops, outermost first.
    nest: Vec<Loop<'p>>,
}

type Verdict = Result<(), String>;

impl<'p> Verifier<'p> {
    fn func(&mut self) -> Verdict {
        for &ty in &self.func.results {
            verify_type(ty).map_err(|message| self.at_func(&message))?;
            if matches!(ty, Type::Array { layout: Layout::Strided, .. }) {
                return Err(self.at_func("a result is a strided array"));
            }
        }
        if self.func.chunk_of.is_some() && chunk_loop(self.func).is_none() {
            return Err(self.at_func("a chunk function has exactly one loop in its body"));
        }
        self.region(self.func.body, &[])
    }

    fn at_func(&self, message: &str) -> String {
        format!("in @{}: {message}", self.func.name)
    }

    fn at_op(&self, op: OpId, message: &str) -> String {
        self.at_func(&format!("`{}`: {message}", quote_op(self.program, self.id, op)))
    }

    fn at_end(&self, end: &Terminator, message: &str) -> String {
        self.at_func(&format!("`{}`: {message}", quote_end(self.program, self.id, end)))
    }

    /// `yields`: what a `yield` at its end must hand over; nothing may yield out of the body.
    fn region(&mut self, region: RegionId, yields: &[Type]) -> Verdict {
        let data = self.func.region(region);
        self.set_defined(&data.params, true);
        for &op in &data.ops {
            let op_data = self.func.op(op);
            if !self.are_defined(&op_data.args) {
                return Err(self.at_op(op, "an operand is not defined before"));
            }
            let is_invalid = |problem: String| self.at_op(op, &problem);
            self.types(op_data).map_err(is_invalid)?;
            self.regions(op)?;
            self.set_defined(&op_data.results, true);
        }
        if !self.are_defined(data.end.args()) {
            return Err(self.at_end(&data.end, "an operand is not defined before"));
        }
        self.end(region, yields).map_err(|message| self.at_end(&data.end, &message))?;
        for &op in &data.ops {
            self.set_defined(&self.func.op(op).results, false);
        }
        self.set_defined(&data.params, false);
        Ok(())
    }

    fn set_defined(&mut self, values: &[Value], is_defined: bool) {
        for value in values {
            self.defined[value.index()] = is_defined;
        }
    }

    fn are_defined(&self, values: &[Value]) -> bool {
        values.iter().all(|value| self.defined.get(value.index()) == Some(&true))
    }

    fn end(&self, region: RegionId, yields: &[Type]) -> Verdict {
        let end = &self.func.region(region).end;
        let given = self.type_list(end.args());
        match end {
            Terminator::Open => Err("the region has no end".into()),
            Terminator::Yield(_) if region == self.func.body => Err("a function ends with `return`".into()),
            Terminator::Yield(_) => expect_types(&given, yields),
            Terminator::Break(depth, _) | Terminator::Continue(depth, _) => {
                let depth = *depth as usize;
                if depth >= self.nest.len() {
                    return Err(format!("{} loops enclose it", self.nest.len()));
                }
                let target = self.nest.len() - 1 - depth;
                let left = target + usize::from(matches!(end, Terminator::Continue(..)));
                self.may_leave(left)?;
                expect_types(&given, &self.type_list(self.nest[target].carried()))
            }
            Terminator::Return(_) => {
                self.may_leave(0)?;
                expect_types(&given, &self.func.results)
            }
        }
    }

    /// No annotated loop is left, from the outermost `first` inwards. A chunk's own loop counts as annotated.
    fn may_leave(&self, first: usize) -> Verdict {
        let is_annotated = |(depth, nested): (usize, &Loop)| {
            nested.data.is_some_and(|data| data.is_annotated() || data.lanes > 1)
                || depth + first == 0 && nested.data.is_some() && self.func.chunk_of.is_some()
        };
        if self.nest[first..].iter().enumerate().any(is_annotated) {
            return Err("it leaves an annotated loop".into());
        }
        Ok(())
    }

    fn ty(&self, value: Value) -> Type {
        self.func.ty(value)
    }

    fn type_list(&self, values: &[Value]) -> Vec<Type> {
        values.iter().map(|&value| self.ty(value)).collect()
    }

    /// Regions of an op, with what they are given and must hand over.
    fn regions(&mut self, id: OpId) -> Verdict {
        let op = self.func.op(id);
        let results = self.type_list(&op.results);
        let params = |position: usize| {
            let region: RegionId = op.regions[position];
            self.type_list(&self.func.region(region).params)
        };
        let count = match op.code.row().rule {
            Rule::If | Rule::While => 2,
            Rule::For if matches!(&op.code, OpCode::For(data) if data.lanes > 1) => 2,
            Rule::For => 1,
            _ => 0,
        };
        if op.regions.len() != count {
            return Err(self.at_op(id, &format!("it has {} regions instead of {count}", op.regions.len())));
        }
        let wrong_params = |message: String| self.at_op(id, &format!("parameters of a region: {message}"));
        match &op.code {
            OpCode::If => {
                expect_types(&params(0), &[]).map_err(wrong_params)?;
                expect_types(&params(1), &[]).map_err(wrong_params)?;
                self.region(op.regions[0], &results)?;
                self.region(op.regions[1], &results)
            }
            OpCode::For(data) => {
                let mut carried = vec![Type::I64; data.rank as usize];
                carried.extend(self.type_list(&op.args[data.rank as usize..]));
                expect_types(&params(0), &carried).map_err(wrong_params)?;
                if data.lanes > 1 {
                    let mut masked = carried.clone();
                    masked.push(Type::Mask(data.tail));
                    expect_types(&params(1), &masked).map_err(wrong_params)?;
                }
                self.nest.push(Loop { op, data: Some(data), lanes: data.lanes });
                self.region(op.regions[0], &carried[data.rank as usize..])?;
                self.nest.pop();
                if data.lanes == 1 {
                    return Ok(());
                }
                self.nest.push(Loop { op, data: Some(data), lanes: data.tail });
                self.region(op.regions[1], &[])?;
                self.nest.pop();
                Ok(())
            }
            OpCode::While => {
                let carried = self.type_list(&op.args);
                let mut tested = vec![Type::BOOL];
                tested.extend(&carried);
                expect_types(&params(0), &carried).map_err(wrong_params)?;
                expect_types(&params(1), &carried).map_err(wrong_params)?;
                self.nest.push(Loop { op, data: None, lanes: 1 });
                self.region(op.regions[0], &tested)?;
                self.region(op.regions[1], &carried)?;
                self.nest.pop();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Operands and results keep the op's rule.
    fn types(&self, op: &Op) -> Verdict {
        let args = self.type_list(&op.args);
        let results = self.type_list(&op.results);
        let wanted = self.result_types(op, &args, &results)?;
        expect_types(&results, &wanted).map_err(|message| format!("results: {message}"))
    }

    /// The results that an op must have; `declared` are those it has, where only they say.
    fn result_types(&self, op: &Op, args: &[Type], declared: &[Type]) -> Result<Vec<Type>, String> {
        let rule = op.code.row().rule;
        Ok(match rule {
            Rule::Const => {
                let OpCode::Const(constant) = &op.code else { return Err("a rule of constants".into()) };
                expect_count(args, 0)?;
                vec![Type::Scalar(const_scalar(*constant))]
            }
            Rule::Seed => {
                expect_count(args, 0)?;
                vec![Type::U64]
            }
            Rule::Same(count, class) => vec![expect_same(args, count, class)?],
            Rule::MulHi => {
                let ty = expect_same(args, 2, Class::Ints)?;
                expect_that(ty.scalar() == Scalar::U64, "its operands are u64")?;
                vec![ty]
            }
            Rule::Math => {
                let OpCode::Math(function) = &op.code else { return Err("a rule of functions".into()) };
                let first = *args.first().ok_or("it has operands")?;
                expect_that(!first.is_array() && first.scalar().is_float(), "the first operand is a float")?;
                let (params, result) = function.signature(first.scalar());
                let params: Vec<Type> = params.iter().map(|&scalar| first.with_scalar(scalar)).collect();
                expect_types(args, &params)?;
                vec![first.with_scalar(result)]
            }
            Rule::Compare => vec![expect_same(args, 2, Class::Any)?.with_scalar(Scalar::Bool)],
            Rule::Select => {
                expect_count(args, 3)?;
                let ty = expect_same(&args[1..], 2, Class::Any)?;
                let chooses = args[0] == Type::BOOL || args[0] == Type::Mask(ty.lanes());
                expect_that(chooses, "the first operand is a bool, or a mask of as many lanes")?;
                vec![ty]
            }
            Rule::Convert => {
                let from = expect_same(args, 1, Class::Any)?;
                expect_count(declared, 1)?;
                expect_that(!declared[0].is_array(), "the result is no array")?;
                vec![from.with_scalar(declared[0].scalar())]
            }
            Rule::Bitcast => {
                let from = expect_same(args, 1, Class::Numbers)?;
                expect_count(declared, 1)?;
                let to = declared[0].scalar();
                expect_that(to != Scalar::Bool && to.bits() == from.scalar().bits(), "the widths are equal")?;
                vec![from.with_scalar(to)]
            }
            Rule::Draw => {
                let ty = expect_same(args, 3, Class::Ints)?;
                expect_that(ty.scalar() == Scalar::U64, "its operands are u64")?;
                expect_that(matches!(op.code, OpCode::Draw { kind: 0..=3, .. }), "kinds are 0 to 3")?;
                vec![ty, ty]
            }
            Rule::Splat | Rule::Iota => {
                let class = if rule == Rule::Splat { Class::Any } else { Class::Ints };
                let ty = expect_same(args, 1, class)?;
                expect_that(ty.lanes() == 0, "its operand is a scalar")?;
                expect_count(declared, 1)?;
                expect_that(declared[0].lanes() > 0, "the result has lanes")?;
                vec![declared[0].with_scalar(ty.scalar())]
            }
            Rule::Extract => {
                let ty = expect_same(args, 1, Class::Any)?;
                let OpCode::Extract { lane } = op.code else { return Err("a rule of `extract`".into()) };
                expect_that(lane < ty.lanes(), "there is no such lane")?;
                vec![Type::Scalar(ty.scalar())]
            }
            Rule::MaskTest => {
                expect_count(args, 1)?;
                expect_that(matches!(args[0], Type::Mask(_)), "its operand is a mask")?;
                vec![Type::BOOL]
            }
            Rule::Dim => {
                expect_count(args, 1)?;
                let (_, rank) = expect_array(args[0])?;
                let OpCode::Dim { axis } = op.code else { return Err("a rule of `dim`".into()) };
                expect_that((axis as usize) < rank, "there is no such axis")?;
                vec![Type::I64]
            }
            Rule::Load => {
                let element = expect_element(args, 1, 0)?;
                vec![element]
            }
            Rule::Store | Rule::Update => {
                let element = expect_element(args, 1, 1)?;
                expect_types(&args[args.len() - 1..], &[element])?;
                if let OpCode::Update(reduce) = op.code {
                    expect_operator(reduce, element.scalar())?;
                }
                vec![]
            }
            Rule::UpdateFma => {
                let element = expect_element(args, 1, 2)?;
                expect_that(element.scalar().is_float(), "elements are floats")?;
                expect_types(&args[args.len() - 2..], &[element, element])?;
                vec![]
            }
            Rule::LoadMasked => vec![expect_element(args, 2, 0)?],
            Rule::StoreMasked | Rule::UpdateMasked => {
                let element = expect_element(args, 2, 1)?;
                expect_types(&args[args.len() - 1..], &[element])?;
                if let OpCode::UpdateMasked(reduce) = op.code {
                    expect_operator(reduce, element.scalar())?;
                }
                vec![]
            }
            Rule::UpdateFmaMasked => {
                let element = expect_element(args, 2, 2)?;
                expect_that(element.scalar().is_float(), "elements are floats")?;
                expect_types(&args[args.len() - 2..], &[element, element])?;
                vec![]
            }
            Rule::Alloc => {
                expect_that(args.iter().all(|&ty| ty == Type::I64), "sizes are i64")?;
                expect_count(declared, 1)?;
                let (elem, rank) = expect_array(declared[0])?;
                expect_that(rank == args.len(), "one size per dimension")?;
                vec![Type::Array { elem, rank: rank as u8, layout: Layout::Contiguous }]
            }
            Rule::Free => {
                expect_count(args, 1)?;
                expect_array(args[0])?;
                vec![]
            }
            Rule::Check => self.check_types(op, args)?,
            Rule::Send | Rule::SendFma | Rule::SendMasked => self.send_types(op, args)?,
            Rule::If => {
                expect_types(args, &[Type::BOOL])?;
                declared.to_vec()
            }
            Rule::For => self.for_types(op, args)?,
            Rule::While => args.to_vec(),
            Rule::Call => self.call_types(op, args)?,
            Rule::Print => {
                let OpCode::Print(site) = op.code else { return Err("a rule of `print`".into()) };
                let site = self.func.prints.get(site.index()).ok_or("its site does not exist")?;
                let values = site.parts.iter().filter(|part| matches!(part, PrintPart::Value)).count();
                expect_count(args, values)?;
                expect_that(args.iter().all(|ty| ty.lanes() == 0), "lanes cannot be printed")?;
                vec![]
            }
            Rule::RunLoop => self.run_loop_types(op, args)?,
        })
    }

    fn check_types(&self, op: &Op, args: &[Type]) -> Result<Vec<Type>, String> {
        let OpCode::Check(site) = op.code else { return Err("a rule of `check`".into()) };
        let site = self.func.sites.get(site.index()).ok_or("its site does not exist")?;
        let tested = site.kind.tested();
        expect_count(args, tested + site.indices.len())?;
        let (tested, indices) = args.split_at(tested);
        expect_that(indices.iter().all(|&ty| ty == Type::I64), "loop indices are i64")?;
        let is_int = |ty: Type| matches!(ty, Type::Scalar(scalar) if scalar.is_int());
        let fits = match &site.kind {
            CheckKind::Bounds { .. } | CheckKind::DrawRange | CheckKind::SameSize { .. } => {
                tested == [Type::I64, Type::I64]
            }
            CheckKind::Step | CheckKind::NotEmpty { .. } | CheckKind::Size => tested == [Type::I64],
            CheckKind::NonZero { .. } | CheckKind::Exponent => is_int(tested[0]),
            CheckKind::Entry { .. } => tested == [Type::BOOL],
            CheckKind::Domain { .. } => {
                tested[0] == Type::BOOL && (tested[1] == Type::I64 || tested[1] == Type::F64)
            }
            CheckKind::Unique { .. } => {
                matches!(tested[0], Type::Array { elem, rank: 1, .. } if elem.is_int())
                    && tested[1..] == [Type::I64, Type::I64]
            }
        };
        expect_that(fits, "the tested operands have other types than the site wants")?;
        Ok(vec![])
    }

    fn send_types(&self, op: &Op, args: &[Type]) -> Result<Vec<Type>, String> {
        let (OpCode::Send { reduction } | OpCode::SendFma { reduction } | OpCode::SendMasked { reduction }) =
            op.code
        else {
            return Err("a rule of sends".into());
        };
        let inner = self.nest.last().ok_or("it does not stand in a `for` directly")?;
        let data = inner.data.ok_or("it does not stand in a `for` directly")?;
        let sink = data.reductions.get(reduction as usize).ok_or("the loop has no such reduction")?;
        let term = match inner.lanes {
            1 => Type::Scalar(sink.ty),
            lanes => Type::Lanes(Scalar::I64, lanes).with_scalar(sink.ty),
        };
        if matches!(op.code, OpCode::Send { .. }) {
            expect_types(args, &[term])?;
        } else if matches!(op.code, OpCode::SendFma { .. }) {
            expect_that(sink.op == ReduceOp::Sum && sink.ty.is_float(), "only float sums take products")?;
            expect_types(args, &[term, term])?;
        } else {
            expect_that(inner.lanes > 1, "the loop is not widened")?;
            expect_types(args, &[Type::Mask(inner.lanes), term])?;
        }
        Ok(vec![])
    }

    fn for_types(&self, op: &Op, args: &[Type]) -> Result<Vec<Type>, String> {
        let OpCode::For(data) = &op.code else { return Err("a rule of `for`".into()) };
        let rank = data.rank as usize;
        expect_that(rank > 0 && rank <= args.len(), "it has no extent")?;
        expect_that(args[..rank].iter().all(|&ty| ty == Type::I64), "extents are i64")?;
        if data.lanes == 1 {
            expect_that(data.tail == 0, "only a widened loop has a tail")?;
        } else {
            expect_that(LANES.contains(&data.lanes), "lanes are 1, 2, 4, 8, 16 or 32")?;
            let fits = LANES.contains(&data.tail) && data.tail <= data.lanes;
            expect_that(fits, "the tail has 2, 4, 8, 16 or 32 lanes, at most as many as the loop")?;
            expect_that(args.len() == rank, "a widened loop carries nothing")?;
        }
        let is_chunk = self.func.chunk_of.is_some() && self.nest.is_empty();
        let may_reduce = data.is_annotated() || is_chunk;
        expect_that(may_reduce || data.reductions.is_empty(), "a plain loop has no reductions")?;
        expect_that(may_reduce || data.arrays.is_empty(), "a plain loop has no array reductions")?;
        for reduction in &data.reductions {
            expect_operator(reduction.op, reduction.ty)?;
        }
        expect_that(self.are_defined(&data.unique), "an array in unique(…) is not defined before")?;
        for &value in &data.unique {
            expect_array(self.ty(value))?;
        }
        for &(array, reduce) in &data.arrays {
            expect_that(self.are_defined(&[array]), "an array reduction is not defined before")?;
            expect_operator(reduce, expect_array(self.ty(array))?.0)?;
            let twice = data.arrays.iter().filter(|(other, _)| *other == array).count() > 1;
            expect_that(!twice, "an array is reduced twice")?;
        }
        let totals = data.reductions.iter().map(|reduction| Type::Scalar(reduction.ty));
        Ok(args[rank..].iter().copied().chain(totals).collect())
    }

    fn call_types(&self, op: &Op, args: &[Type]) -> Result<Vec<Type>, String> {
        let OpCode::Call(callee) = op.code else { return Err("a rule of `call`".into()) };
        let callee = self.program.funcs.get(callee.0 as usize).ok_or("the callee does not exist")?;
        expect_that(callee.chunk_of.is_none(), "a chunk function is not called")?;
        expect_arguments(args, callee, callee.params())?;
        Ok(callee.results.clone())
    }

    fn run_loop_types(&self, op: &Op, args: &[Type]) -> Result<Vec<Type>, String> {
        let OpCode::RunLoop { number } = op.code else { return Err("a rule of `run_loop`".into()) };
        let info = self.program.loops.get(number as usize).ok_or("the loop does not exist")?;
        let chunk = self.program.funcs.get(info.func as usize).ok_or("its chunk function does not exist")?;
        expect_that(args.first() == Some(&Type::I64), "the first operand is the count")?;
        expect_arguments(&args[1..], chunk, chunk.params())?;
        Ok(info.scalars.iter().map(|scalar| Type::Scalar(scalar_of(scalar.ty))).collect())
    }
}

fn expect_that(holds: bool, message: &str) -> Verdict {
    if holds { Ok(()) } else { Err(format!("it does not hold that {message}")) }
}

fn expect_count(found: &[Type], wanted: usize) -> Verdict {
    if found.len() == wanted {
        return Ok(());
    }
    Err(format!("{} instead of {wanted} operands or results", found.len()))
}

fn expect_types(found: &[Type], wanted: &[Type]) -> Verdict {
    if found == wanted {
        return Ok(());
    }
    Err(format!("found ({}), wanted ({})", list(found), list(wanted)))
}

fn list(types: &[Type]) -> String {
    types.iter().map(Type::to_string).collect::<Vec<_>>().join(", ")
}

/// `count` operands of one type of the class.
fn expect_same(args: &[Type], count: usize, class: Class) -> Result<Type, String> {
    expect_count(args, count)?;
    let ty = args[0];
    if args.iter().any(|&other| other != ty) {
        return Err(format!("operands of different types ({})", list(args)));
    }
    let scalar = ty.scalar();
    let fits = match class {
        Class::Ints => scalar.is_int(),
        Class::Floats => scalar.is_float(),
        Class::Numbers => scalar != Scalar::Bool,
        Class::Bits => !scalar.is_float(),
        Class::Any => true,
    };
    if fits && !ty.is_array() { Ok(ty) } else { Err(format!("operands of type {ty}")) }
}

fn expect_array(ty: Type) -> Result<(Scalar, usize), String> {
    match ty {
        Type::Array { elem, rank, .. } => Ok((elem, rank as usize)),
        other => Err(format!("{other} is no array")),
    }
}

/// `array, [mask,] indices, rest`: the type of the element that is loaded or stored. `first` is the position of the first index.
fn expect_element(args: &[Type], first: usize, rest: usize) -> Result<Type, String> {
    let (elem, rank) = expect_array(*args.first().ok_or("it has no operands")?)?;
    expect_count(args, first + rank + rest)?;
    let mut lanes = if first == 2 {
        match args[1] {
            Type::Mask(lanes) => lanes,
            other => return Err(format!("{other} is no mask")),
        }
    } else {
        0
    };
    for &index in &args[first..first + rank] {
        let fits = match index {
            Type::Scalar(Scalar::I64) => true,
            Type::Lanes(Scalar::I64, count) if lanes == 0 || lanes == count => {
                lanes = count;
                true
            }
            Type::Scalar(_) | Type::Lanes(..) | Type::Mask(_) | Type::Array { .. } => false,
        };
        expect_that(fits, "indices are i64, or lanes of it, all of one width")?;
    }
    Ok(match lanes {
        0 => Type::Scalar(elem),
        lanes => Type::Lanes(Scalar::I64, lanes).with_scalar(elem),
    })
}

/// A reduction's operator takes its type.
fn expect_operator(op: ReduceOp, ty: Scalar) -> Verdict {
    let fits = match op {
        ReduceOp::Sum | ReduceOp::Prod => ty != Scalar::Bool,
        ReduceOp::Min | ReduceOp::Max => true,
        ReduceOp::And | ReduceOp::Or | ReduceOp::Xor => !ty.is_float(),
    };
    expect_that(fits, "the operator takes elements of that type")
}

/// Arguments have the types of the parameters; a contiguous array may be passed for a strided one.
fn expect_arguments(args: &[Type], callee: &Func, params: &[Value]) -> Verdict {
    let wanted: Vec<Type> = params.iter().map(|&param| callee.ty(param)).collect();
    let passes = |(&arg, &param): (&Type, &Type)| match (arg, param) {
        (Type::Array { elem, rank, .. }, Type::Array { elem: e, rank: r, layout: Layout::Strided }) => {
            (elem, rank) == (e, r)
        }
        (arg, param) => arg == param,
    };
    if args.len() == wanted.len() && args.iter().zip(&wanted).all(passes) {
        return Ok(());
    }
    Err(format!("@{} takes ({}), found ({})", callee.name, list(&wanted), list(args)))
}
