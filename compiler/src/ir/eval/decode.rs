//! Makes a program quick to interpret: registers for values, functions for ops.
//!
//! In: a verified program. Out: per function, one block of steps per region. Holds: nothing is rewritten; a step is an op with its
//! operands' registers looked up, so that the loop of the oracle touches no maps and no types.

use super::scalar::{Function, conversion, function, reduce_function};
use crate::ir::{ForData, Func, FuncId, Op, OpCode, Program, RegionId, Terminator, Type, Value, const_bits};
use kiln_lang::math;
use kiln_lang::types::{Generator, Scalar};

/// A program, and the bodies of the math functions that it uses behind its own functions.
pub struct Code<'p> {
    pub funcs: Vec<Body<'p>>,
}

/// A function.
pub struct Body<'p> {
    pub func: &'p Func,
    /// Registers of a frame.
    pub registers: usize,
    pub params: Vec<u32>,
    /// By region number.
    pub blocks: Vec<Block<'p>>,
}

/// A region.
pub struct Block<'p> {
    pub params: Vec<u32>,
    pub steps: Vec<Step<'p>>,
    pub end: End,
    /// Registers that the end hands over.
    pub passed: Vec<u32>,
}

#[derive(Clone, Copy)]
pub enum End {
    Yield,
    Break(u32),
    Continue(u32),
    Return,
}

/// Where a value is: its first register, and how many lanes it has (0: a scalar or an array).
#[derive(Clone, Copy)]
pub struct Place {
    pub at: u32,
    pub lanes: u8,
}

/// An op.
pub struct Step<'p> {
    pub kind: Kind<'p>,
    pub op: &'p Op,
    /// First register of the first result.
    pub dst: u32,
    /// Lanes to compute, at least 1.
    pub lanes: u8,
    pub args: Box<[Place]>,
    /// All registers of the results; only of ops that copy values there.
    pub results: Box<[u32]>,
}

pub enum Kind<'p> {
    /// Elementwise; an operand with stride 0 is the same for all lanes.
    Apply {
        function: Function,
        args: [u32; 3],
        strides: [u8; 3],
    },
    Const(u64),
    Seed,
    Draw(Generator, u8),
    /// A math function: its body's number.
    Math(usize),
    Iota(Function),
    Any,
    All,
    Dim(u8),
    Load,
    Store,
    LoadMasked,
    StoreMasked,
    Update(Function),
    UpdateFma(Function),
    UpdateMasked(Function),
    UpdateFmaMasked(Function),
    Alloc(Fill),
    Free,
    Check,
    Send(u32),
    SendFma(u32),
    SendMasked(u32),
    If,
    /// With the arrays that it reduces.
    For {
        data: &'p ForData,
        arrays: Box<[Place]>,
    },
    While,
    Call(usize),
    Print,
    RunLoop {
        func: usize,
        totals: Box<[u32]>,
    },
}

/// What a fresh array holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    Zeros,
    Junk,
}

/// Gives the body of a math op.
pub type MathBody = dyn Fn(math::Function, Scalar) -> &'static Func + Sync;

/// Decodes all functions, and the math functions that they use.
pub fn decode<'p>(program: &'p Program, math: &MathBody) -> Result<Code<'p>, String> {
    let mut decoder = Decoder { program, math, bodies: Vec::new() };
    let mut funcs = Vec::new();
    for func in &program.funcs {
        funcs.push(decoder.func(func)?);
    }
    // Bodies may use further math functions, which then join the list.
    let mut next = 0;
    while next < decoder.bodies.len() {
        let func = decoder.bodies[next].2;
        funcs.push(decoder.func(func)?);
        next += 1;
    }
    Ok(Code { funcs })
}

struct Decoder<'p, 'm> {
    program: &'p Program,
    math: &'m MathBody,
    bodies: Vec<(math::Function, Scalar, &'static Func)>,
}

impl<'p> Decoder<'p, '_> {
    fn func(&mut self, func: &'p Func) -> Result<Body<'p>, String> {
        let (places, registers) = places(func);
        let mut blocks = Vec::with_capacity(func.regions.len());
        let listed = listed_regions(func);
        for (number, region) in func.regions.iter().enumerate() {
            let is_listed = listed[number];
            let mut block = Block {
                params: registers_of(func, &places, &region.params),
                steps: Vec::new(),
                end: match region.end {
                    Terminator::Open if is_listed => return Err("a region has no end".into()),
                    Terminator::Open | Terminator::Yield(_) => End::Yield,
                    Terminator::Break(depth, _) => End::Break(depth),
                    Terminator::Continue(depth, _) => End::Continue(depth),
                    Terminator::Return(_) => End::Return,
                },
                passed: registers_of(func, &places, region.end.args()),
            };
            if is_listed {
                for &op in &region.ops {
                    block.steps.push(self.step(func, &places, func.op(op))?);
                }
            }
            blocks.push(block);
        }
        let params = registers_of(func, &places, func.params());
        Ok(Body { func, registers, params, blocks })
    }

    fn step(&mut self, func: &'p Func, places: &[Place], op: &'p Op) -> Result<Step<'p>, String> {
        let place = |&value: &Value| places[value.index()];
        let args: Box<[Place]> = op.args.iter().map(place).collect();
        let first = op.results.first().map(place);
        let scalar = op.args.last().map_or(Scalar::Bool, |&value| func.ty(value).scalar());
        let wrong = || format!("`{}` on {scalar}", op.code.name());
        let apply = |function: Function| {
            let mut kind = ([0; 3], [0; 3]);
            for (position, arg) in args.iter().take(3).enumerate() {
                kind.0[position] = arg.at;
                kind.1[position] = u8::from(arg.lanes > 0);
            }
            Kind::Apply { function, args: kind.0, strides: kind.1 }
        };
        let kind = match &op.code {
            OpCode::Const(constant) => Kind::Const(const_bits(*constant)),
            OpCode::Seed => Kind::Seed,
            OpCode::Draw { generator, kind } => Kind::Draw(*generator, *kind),
            OpCode::Extract { lane } => {
                let at = args[0].at + u32::from(*lane);
                Kind::Apply { function: |a, _, _| a, args: [at, 0, 0], strides: [0; 3] }
            }
            OpCode::Convert => apply(conversion(scalar, func.ty(op.results[0]).scalar())),
            OpCode::Math(function) => Kind::Math(self.math(*function, func.ty(op.args[0]).scalar())),
            OpCode::Iota => Kind::Iota(function(&OpCode::Add, scalar).ok_or_else(wrong)?),
            OpCode::Any => Kind::Any,
            OpCode::All => Kind::All,
            OpCode::Dim { axis } => Kind::Dim(*axis),
            OpCode::Load => Kind::Load,
            OpCode::Store => Kind::Store,
            OpCode::LoadMasked => Kind::LoadMasked,
            OpCode::StoreMasked => Kind::StoreMasked,
            OpCode::Update(reduce) => Kind::Update(reduce_function(*reduce, scalar).ok_or_else(wrong)?),
            OpCode::UpdateFma => Kind::UpdateFma(function(&OpCode::Fma, scalar).ok_or_else(wrong)?),
            OpCode::UpdateMasked(reduce) => {
                Kind::UpdateMasked(reduce_function(*reduce, scalar).ok_or_else(wrong)?)
            }
            OpCode::UpdateFmaMasked => {
                Kind::UpdateFmaMasked(function(&OpCode::Fma, scalar).ok_or_else(wrong)?)
            }
            OpCode::Alloc => Kind::Alloc(Fill::Zeros),
            OpCode::AllocUninit => Kind::Alloc(Fill::Junk),
            OpCode::Free => Kind::Free,
            OpCode::Check(_) => Kind::Check,
            OpCode::Send { reduction } => Kind::Send(*reduction),
            OpCode::SendFma { reduction } => Kind::SendFma(*reduction),
            OpCode::SendMasked { reduction } => Kind::SendMasked(*reduction),
            OpCode::If => Kind::If,
            OpCode::For(data) => {
                Kind::For { data, arrays: data.arrays.iter().map(|(array, _)| place(array)).collect() }
            }
            OpCode::While => Kind::While,
            OpCode::Call(FuncId(callee)) => Kind::Call(*callee as usize),
            OpCode::Print(_) => Kind::Print,
            OpCode::RunLoop { number } => self.run_loop(*number)?,
            OpCode::Add
            | OpCode::Sub
            | OpCode::Mul
            | OpCode::Div
            | OpCode::FloorDiv
            | OpCode::Rem
            | OpCode::Neg
            | OpCode::Abs
            | OpCode::Min
            | OpCode::Max
            | OpCode::Fma
            | OpCode::Sqrt
            | OpCode::Floor
            | OpCode::Ceil
            | OpCode::Trunc
            | OpCode::Nearest
            | OpCode::And
            | OpCode::Or
            | OpCode::Xor
            | OpCode::Not
            | OpCode::Shl
            | OpCode::Shr
            | OpCode::MulHi
            | OpCode::Eq
            | OpCode::Ne
            | OpCode::Lt
            | OpCode::Le
            | OpCode::Gt
            | OpCode::Ge
            | OpCode::Select
            | OpCode::Bitcast
            | OpCode::Splat => apply(function(&op.code, scalar).ok_or_else(wrong)?),
        };
        let copies = matches!(
            op.code,
            OpCode::If | OpCode::For(_) | OpCode::While | OpCode::Call(_) | OpCode::RunLoop { .. }
        );
        Ok(Step {
            kind,
            op,
            dst: first.map_or(0, |place| place.at),
            lanes: first.map_or(1, |place| place.lanes.max(1)),
            args,
            results: if copies { registers_of(func, places, &op.results).into() } else { Box::new([]) },
        })
    }

    /// The number of a math function's body.
    fn math(&mut self, function: math::Function, scalar: Scalar) -> usize {
        let known = self.bodies.iter().position(|(other, of, _)| *other == function && *of == scalar);
        let position = known.unwrap_or_else(|| {
            self.bodies.push((function, scalar, (self.math)(function, scalar)));
            self.bodies.len() - 1
        });
        self.program.funcs.len() + position
    }

    /// The chunk function of an outlined loop, and where its loop leaves the totals.
    fn run_loop(&self, number: u32) -> Result<Kind<'p>, String> {
        let number = self.program.loops[number as usize].func as usize;
        let chunk = &self.program.funcs[number];
        let (op, data) = crate::ir::chunk_loop(chunk).ok_or("a chunk function has one loop")?;
        let (places, _) = places(chunk);
        let results = &chunk.op(op).results;
        let totals = &results[results.len() - data.reductions.len()..];
        Ok(Kind::RunLoop { func: number, totals: registers_of(chunk, &places, totals).into() })
    }
}

/// A place for every value, and the registers of a frame.
fn places(func: &Func) -> (Vec<Place>, usize) {
    let mut next = 0u32;
    let mut places = Vec::with_capacity(func.values.len());
    for value in &func.values {
        let lanes = value.ty.lanes();
        places.push(Place { at: next, lanes });
        next += u32::from(lanes.max(1));
    }
    (places, next as usize)
}

/// All registers of some values, in order.
fn registers_of(func: &Func, places: &[Place], values: &[Value]) -> Vec<u32> {
    let mut registers = Vec::new();
    for &value in values {
        // Regions that are not listed may name anything.
        let Some(place) = places.get(value.index()) else { continue };
        let count = match func.ty(value) {
            Type::Scalar(_) | Type::Array { .. } => 1,
            Type::Lanes(_, lanes) | Type::Mask(lanes) => u32::from(lanes),
        };
        registers.extend(place.at..place.at + count);
    }
    registers
}

/// Which regions stand in the function; the others are left over from passes.
fn listed_regions(func: &Func) -> Vec<bool> {
    let mut listed = vec![false; func.regions.len()];
    let mut waiting: Vec<RegionId> = vec![func.body];
    while let Some(region) = waiting.pop() {
        listed[region.index()] = true;
        waiting.extend(func.region(region).ops.iter().flat_map(|&op| &func.op(op).regions));
    }
    listed
}
