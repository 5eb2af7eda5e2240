//! Machine code against the oracle.
//!
//! In: small IR programs and inputs. Out: nothing, or where they differ. Holds: each program runs on the oracle, and as machine code at both levels of
//! effort for four kinds of machine; results, arrays, errors and their values agree to the bit (NaN is one value).

use kiln_compiler::backend::{EmitOptions, Emitted, Wide, emit};
use kiln_compiler::ir::{self, const_bits, const_from_bits, const_scalar};
use kiln_compiler::ir::{Arg, ArrayData, EvalError, EvalOptions, eval};
use kiln_compiler::target::{IsaCap, OptLevel, Target};
use kiln_lang::tree::Const;
use kiln_lang::types::{Layout, Scalar};
use kiln_runtime::{CallOptions, Code, Failure, Memory, Pool, PrintType, PrintValue, Sink, StopFlag};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

const SEED: u64 = 0x0123_4567_89ab_cdef;

/// A machine, a level of effort, and which functions go to the wide backend.
pub(crate) type Variant = (Target, OptLevel, Wide);

/// Machines and levels of effort; this machine first, then what the wide backend makes for it and for AVX2 (where the machine has that; Cranelift steps in
/// otherwise, and for functions that it does not take), then less and less.
static VARIANTS: LazyLock<Vec<Variant>> = LazyLock::new(|| {
    let host = Target::host();
    let avx2 = host.capped(IsaCap::Avx2);
    let both = |target: Target| {
        [(target.clone(), OptLevel::None, Wide::Never), (target, OptLevel::Speed, Wide::Never)]
    };
    let wide = [(host.clone(), OptLevel::Speed, Wide::All), (avx2.clone(), OptLevel::Speed, Wide::All)];
    let others = [avx2, host.capped(IsaCap::V128), Target::generic()];
    both(host).into_iter().chain(wide).chain(others.into_iter().flat_map(both)).collect()
});

pub(crate) fn parse(text: &str) -> ir::Program {
    let program = ir::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    ir::verify(&program).unwrap_or_else(|error| panic!("{error}\n{text}"));
    program
}

/// A compiled program with what is needed to call it.
struct Loaded {
    emitted: Emitted,
    code: Arc<Code>,
    params: Vec<ir::Type>,
    results: Vec<ir::Type>,
}

fn load(program: &ir::Program, (target, opt, wide): &Variant) -> Loaded {
    let options = EmitOptions { opt: *opt, listing: false, verify: true, wide: *wide };
    let emitted =
        emit(program, target, &options).unwrap_or_else(|error| panic!("{error}\n{}", ir::print(program)));
    // SAFETY: the compiler made these bytes for this machine, or for less.
    let code = unsafe { Code::load(&emitted.object) }.unwrap();
    let entry = &program.funcs[0];
    let params = entry.params().iter().map(|&param| entry.ty(param)).collect();
    Loaded { emitted, code, params, results: entry.results.clone() }
}

/// How a call ended.
#[derive(Debug)]
enum Ending {
    /// Results, and the array arguments afterwards.
    Done(Vec<Arg>, Vec<Arg>),
    /// A check, and its values as words.
    Check(ir::CheckSite, Vec<u64>),
    Other(Failure),
}

/// An array in memory: contiguous, or with gaps and backwards along every axis.
struct Placed {
    elem: Scalar,
    dims: Vec<i64>,
    bytes: Vec<u8>,
    first: usize,
    strides: Vec<i64>,
}

impl Placed {
    fn new(array: &ArrayData, layout: Layout) -> Placed {
        let size = (array.elem.bits() / 8) as i64;
        let gap = if layout == Layout::Strided { 3 } else { 1 };
        let mut strides = vec![0; array.dims.len()];
        let mut stride = size * gap;
        for (axis, &dim) in array.dims.iter().enumerate().rev() {
            strides[axis] = stride;
            stride *= dim;
        }
        // One byte off any alignment.
        let mut first = 1;
        if layout == Layout::Strided && stride > 0 {
            first += (stride - size * gap) as usize;
            strides.iter_mut().for_each(|stride| *stride = -*stride);
        }
        let bytes = vec![0; stride as usize + 16];
        let mut placed = Placed { elem: array.elem, dims: array.dims.clone(), bytes, first, strides };
        for (position, &word) in array.data.iter().enumerate() {
            let at = placed.offset(position);
            placed.bytes[at..at + size as usize].copy_from_slice(&word.to_le_bytes()[..size as usize]);
        }
        placed
    }

    fn offset(&self, position: usize) -> usize {
        let (mut rest, mut offset) = (position as i64, self.first as i64);
        for (&dim, &stride) in self.dims.iter().zip(&self.strides).rev() {
            offset += rest % dim * stride;
            rest /= dim;
        }
        offset as usize
    }

    fn slots(&mut self) -> Vec<u64> {
        let pointer = self.bytes.as_mut_ptr().expose_provenance() as u64 + self.first as u64;
        let rest = self.dims.iter().chain(&self.strides).map(|&number| number as u64);
        std::iter::once(pointer).chain(rest).collect()
    }

    fn data(&self) -> ArrayData {
        let size = (self.elem.bits() / 8) as usize;
        let count = self.dims.iter().product::<i64>() as usize;
        let word = |position| {
            let at = self.offset(position);
            let mut word = [0; 8];
            word[..size].copy_from_slice(&self.bytes[at..at + size]);
            u64::from_le_bytes(word)
        };
        ArrayData { elem: self.elem, dims: self.dims.clone(), data: (0..count).map(word).collect() }
    }
}

impl Loaded {
    fn call(&self, inputs: &[Arg], pool: &Pool, stop: &StopFlag) -> Ending {
        self.call_printing(inputs, pool, stop, None)
    }

    fn call_printing(&self, inputs: &[Arg], pool: &Pool, stop: &StopFlag, sink: Option<Sink<'_>>) -> Ending {
        let mut placed = Vec::new();
        let mut env = Vec::new();
        for (input, ty) in inputs.iter().zip(&self.params) {
            match (input, ty) {
                // What lies above a narrow scalar is unspecified.
                (Arg::Scalar(constant), _) if const_scalar(*constant).bits() == 32 => {
                    env.push(const_bits(*constant) | 0xdead_beef << 32);
                }
                (Arg::Scalar(constant), _) => env.push(const_bits(*constant)),
                (Arg::Array(array), ir::Type::Array { layout, .. }) => {
                    let mut array = Placed::new(array, *layout);
                    env.extend(array.slots());
                    placed.push(array);
                }
                (Arg::Array(_), _) => panic!("an array for a scalar"),
            }
        }
        let first_result = env.len();
        let slots = |ty: &ir::Type| match ty {
            ir::Type::Array { rank, .. } => 1 + 2 * usize::from(*rank),
            _ => 1,
        };
        env.resize(first_result + self.results.iter().map(slots).sum::<usize>(), 0x5555_5555_5555_5555);
        let memory = Memory::of_machine();
        let options = CallOptions { seed: SEED, stop, memory: &memory, sink };
        // SAFETY: the slots are laid out as the entry's types say; the arrays are ours.
        let outcome = unsafe { kiln_runtime::call(&self.code, pool, &mut env, &options) };
        let mut owned = match outcome {
            Ok(owned) => owned,
            Err(Failure::Program(record)) => {
                let site = self.emitted.sites[record.site as usize].clone();
                return Ending::Check(site, record.values.to_vec());
            }
            Err(other) => return Ending::Other(other),
        };
        let mut at = first_result;
        let mut results = Vec::new();
        for ty in &self.results {
            let found = &env[at..at + slots(ty)];
            at += slots(ty);
            results.push(match ty {
                ir::Type::Array { elem, rank, .. } => {
                    let array = owned
                        .take_array(ir::kind_of(*elem), usize::from(*rank), found)
                        .expect("a result of ours");
                    let dims = array.dims().iter().map(|&dim| dim as i64).collect();
                    let data = (0..array.len()).map(|position| array.get(position)).collect();
                    Arg::Array(ArrayData { elem: *elem, dims, data })
                }
                ty => Arg::Scalar(const_from_bits(found[0], ty.scalar())),
            });
        }
        drop(owned);
        assert_eq!(memory.used(), 0, "everything is given back");
        Ending::Done(results, placed.iter().map(|array| Arg::Array(array.data())).collect())
    }
}

/// Runs a program on the oracle and as every kind of code; they have to agree. Gives the oracle's results.
fn agree(program: &ir::Program, inputs: &[Arg]) -> Option<Vec<Arg>> {
    agree_on(&VARIANTS, program, inputs)
}

pub(crate) fn agree_on(variants: &[Variant], program: &ir::Program, inputs: &[Arg]) -> Option<Vec<Arg>> {
    let options = EvalOptions { seed: SEED, ..EvalOptions::default() };
    let wanted = eval(program, inputs.to_vec(), &options);
    for variant in variants {
        let loaded = load(program, variant);
        for threads in if program.loops.is_empty() { 1..=1 } else { 1..=3 } {
            let found = loaded.call(inputs, &Pool::new(threads), &StopFlag::new());
            let context = || {
                let text = ir::print(program);
                format!(
                    "{variant:?} {threads} threads\nfound {found:?}\nwanted {wanted:?}\n{text}\n{inputs:?}"
                )
            };
            match (&found, &wanted) {
                (Ending::Done(results, arrays), Ok(outcome)) => {
                    let arrays_wanted: Vec<&Arg> =
                        outcome.args.iter().filter(|arg| matches!(arg, Arg::Array(_))).collect();
                    assert!(all_same(results.iter(), outcome.results.iter()), "results: {}", context());
                    assert!(all_same(arrays.iter(), arrays_wanted.into_iter()), "arrays: {}", context());
                }
                (
                    Ending::Check(site, values),
                    Err(EvalError::Check { site: wanted, values: wanted_values, .. }),
                ) => {
                    assert_eq!(site, &**wanted, "{}", context());
                    let same = wanted_values.iter().zip(values).all(|(&wanted, &found)| {
                        let found = const_from_bits(found, const_scalar(wanted));
                        const_bits(found) == const_bits(wanted)
                    });
                    assert!(same, "values: {}", context());
                }
                (Ending::Other(Failure::Memory { .. }), Err(EvalError::Memory)) => {}
                _ => panic!("{}", context()),
            }
        }
    }
    wanted.ok().map(|outcome| outcome.results)
}

fn all_same<'a>(a: impl Iterator<Item = &'a Arg> + Clone, b: impl Iterator<Item = &'a Arg> + Clone) -> bool {
    a.clone().count() == b.clone().count() && a.zip(b).all(|(a, b)| a.is_same(b))
}

pub(crate) fn int(value: i64) -> Arg {
    Arg::Scalar(Const::I64(value))
}

/// Numbers in which mistakes show.
pub(crate) fn edges(ty: Scalar) -> Vec<u64> {
    let floats = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        1.5,
        2.5,
        -2.5,
        3.7,
        -3.7,
        1e10,
        -1e10,
        5e-324,
        -5e-324,
        1e-45,
        -1e-45,
        1e300,
        2147483647.0,
        2147483648.0,
        -2147483648.0,
        -2147483649.0,
        4294967295.5,
        4294967296.0,
        8388609.0,
        9.223372036854775e18,
        9.223372036854776e18,
        -9.223372036854776e18,
        1.8446744073709552e19,
        4503599627370497.5,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        -f64::NAN,
    ];
    let ints = [
        0,
        1,
        2,
        3,
        7,
        -1,
        -2,
        -7,
        31,
        32,
        33,
        63,
        64,
        65,
        100,
        i64::MAX,
        i64::MIN,
        i64::MIN + 1,
        i64::MAX - 1,
        i32::MAX as i64,
        i32::MIN as i64,
        i32::MIN as i64 + 1,
        0x1234_5678_9abc_def0,
        (1 << 53) + 1,
        (1 << 24) + 1,
        // Halfway between two f32 or f64, or just beside.
        0x7fff_ff40_0000_0001,
        0x7fff_ffff_bfff_ffff,
        0x7fff_ffff_ffff_fe01,
        -0x7fff_ffbf_ffff_ffff,
        -0x400,
        -0x401,
    ];
    let mut words: Vec<u64> = match ty {
        Scalar::Bool => vec![0, 1],
        Scalar::I32 | Scalar::U32 => ints.iter().map(|&x| u64::from(x as u32)).collect(),
        Scalar::I64 | Scalar::U64 => ints.iter().map(|&x| x as u64).collect(),
        Scalar::F32 => floats.iter().map(|&x| u64::from((x as f32).to_bits())).collect(),
        Scalar::F64 => floats.iter().map(|&x| x.to_bits()).collect(),
    };
    words.sort_unstable();
    words.dedup();
    words
}

/// Elementwise `op` on arrays: all combinations of edges for all operands.
fn elementwise(op: &str, operands: &[Scalar], result: Scalar) {
    let names = ["a", "b", "c", "d"];
    let params: Vec<String> =
        operands.iter().zip(names).map(|(ty, name)| format!("%{name}: [{ty}; 1], ")).collect();
    let loads: Vec<String> = operands
        .iter()
        .zip(names)
        .map(|(ty, name)| format!("%{name}1 = load %{name}, %i : {ty}\n"))
        .collect();
    let text = format!(
        "func @f({}%out: [{result}; 1]) {{
           %n = dim 0 %out : i64
           for %n {{ ^(%i: i64):
             {}
             {op}
             store %out, %i, %r
             yield
           }}
           return
         }}",
        params.concat(),
        loads.concat()
    );
    let mut columns: Vec<Vec<u64>> = vec![Vec::new(); operands.len()];
    let choices: Vec<Vec<u64>> = operands.iter().map(|&ty| edges(ty)).collect();
    let count: usize = choices.iter().map(Vec::len).product();
    for number in 0..count {
        let mut rest = number;
        for (column, choices) in columns.iter_mut().zip(&choices) {
            column.push(choices[rest % choices.len()]);
            rest /= choices.len();
        }
    }
    let array = |elem, data: Vec<u64>| Arg::Array(ArrayData { elem, dims: vec![count as i64], data });
    let mut inputs: Vec<Arg> = operands.iter().zip(columns).map(|(&ty, column)| array(ty, column)).collect();
    inputs.push(array(result, vec![0; count]));
    agree(&parse(&text), &inputs);
}

pub(crate) const NUMBERS: [Scalar; 6] =
    [Scalar::I32, Scalar::I64, Scalar::U32, Scalar::U64, Scalar::F32, Scalar::F64];

#[test]
fn arithmetic_agrees_on_all_pairs_of_edges() {
    for ty in NUMBERS {
        let unary: &[&str] = if ty.is_float() {
            &["neg", "abs", "sqrt", "floor", "ceil", "trunc", "nearest"]
        } else {
            &["neg", "abs", "not"]
        };
        for op in unary {
            elementwise(&format!("%r = {op} %a1 : {ty}"), &[ty], ty);
        }
        let binary: &[&str] = if ty.is_float() {
            &["add", "sub", "mul", "div", "min", "max"]
        } else {
            &["add", "sub", "mul", "floor_div", "rem", "min", "max", "and", "or", "xor", "shl", "shr"]
        };
        for op in binary {
            elementwise(&format!("%r = {op} %a1, %b1 : {ty}"), &[ty, ty], ty);
        }
    }
    elementwise("%r = mul_hi %a1, %b1 : u64", &[Scalar::U64, Scalar::U64], Scalar::U64);
    for op in ["and", "or", "xor"] {
        elementwise(&format!("%r = {op} %a1, %b1 : bool"), &[Scalar::Bool, Scalar::Bool], Scalar::Bool);
    }
    elementwise("%r = not %a1 : bool", &[Scalar::Bool], Scalar::Bool);
}

#[test]
fn fused_multiply_add_rounds_once() {
    for ty in [Scalar::F32, Scalar::F64] {
        elementwise(&format!("%r = fma %a1, %b1, %c1 : {ty}"), &[ty, ty, ty], ty);
    }
}

#[test]
fn comparisons_and_choices_agree() {
    for ty in NUMBERS.into_iter().chain([Scalar::Bool]) {
        for op in ["eq", "ne", "lt", "le", "gt", "ge"] {
            elementwise(&format!("%r = {op} %a1, %b1 : bool"), &[ty, ty], Scalar::Bool);
            // The choice by a comparison of its own operands is where minimum and maximum instructions lurk.
            let choice = format!("%c = {op} %a1, %b1 : bool\n %r = select %c, %a1, %b1 : {ty}");
            elementwise(&choice, &[ty, ty], ty);
            let choice = format!("%c = {op} %a1, %b1 : bool\n %r = select %c, %b1, %a1 : {ty}");
            elementwise(&choice, &[ty, ty], ty);
        }
        elementwise(&format!("%r = select %a1, %b1, %c1 : {ty}"), &[Scalar::Bool, ty, ty], ty);
    }
    let mixed = "%c = lt %a1, %b1 : bool\n %x = convert %a1 : f64\n %y = convert %b1 : f64\n %r = select %c, %x, %y : f64";
    elementwise(mixed, &[Scalar::F32, Scalar::F32], Scalar::F64);
    elementwise(mixed, &[Scalar::I64, Scalar::I64], Scalar::F64);
}

#[test]
fn conversions_agree() {
    for from in Scalar::ALL {
        for to in Scalar::ALL {
            elementwise(&format!("%r = convert %a1 : {to}"), &[from], to);
            if from != Scalar::Bool && to != Scalar::Bool && from.bits() == to.bits() {
                elementwise(&format!("%r = bitcast %a1 : {to}"), &[from], to);
            }
        }
    }
}

#[test]
fn integers_become_floats_with_one_rounding() {
    // Many numbers with few bits after the float's last, where two roundings go wrong.
    let mut state = 1u64;
    let mut numbers = Vec::new();
    for k in 0..4000u32 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let tail = 1u64 << (k % 41) | 1 << (k / 41 % 13);
        numbers.push((state | 1 << 63) & !((1 << (k % 43)) - 1) ^ tail);
        numbers.push(state >> (k % 64));
    }
    for from in [Scalar::U64, Scalar::I64] {
        for to in [Scalar::F32, Scalar::F64] {
            let text = format!(
                "func @f(%a: [{from}; 1], %out: [{to}; 1]) {{
                   %n = dim 0 %a : i64
                   for %n {{ ^(%i: i64): %x = load %a, %i : {from} %y = convert %x : {to} store %out, %i, %y yield }}
                   return
                 }}"
            );
            let dims = vec![numbers.len() as i64];
            let input = ArrayData { elem: from, dims: dims.clone(), data: numbers.clone() };
            let output = ArrayData { elem: to, dims, data: vec![0; numbers.len()] };
            agree(&parse(&text), &[Arg::Array(input), Arg::Array(output)]);
        }
    }
}

/// The text of a constant.
pub(crate) fn constant(word: u64, ty: Scalar) -> String {
    let mut program = ir::parse("func @f() { return }").unwrap();
    let func = &mut program.funcs[0];
    let code = ir::OpCode::Const(const_from_bits(word, ty));
    func.push_op(func.body, code, Vec::new(), &[ir::Type::Scalar(ty)], Default::default());
    let text = ir::print(&program);
    text.lines().nth(1).unwrap().split_once("= ").unwrap().1.to_string()
}

#[test]
fn known_divisors_and_shift_counts_agree() {
    let variants = &VARIANTS[..4];
    for ty in [Scalar::I32, Scalar::I64, Scalar::U32, Scalar::U64] {
        let known = edges(ty);
        let mut body = String::new();
        let mut stores = String::new();
        for (k, &word) in known.iter().enumerate() {
            body += &format!("%k{k} = {}\n", constant(word, ty));
            for (o, op) in ["floor_div", "rem", "shl", "shr", "mul"].into_iter().enumerate() {
                let at = 5 * k + o;
                body += &format!("%at{at} = const {at} : i64\n");
                stores += &format!("%r{at} = {op} %x, %k{k} : {ty}\n store %out, %i, %at{at}, %r{at}\n");
            }
        }
        let text = format!(
            "func @f(%a: [{ty}; 1], %out: [{ty}; 2]) {{
               %n = dim 0 %a : i64
               {body}
               for %n {{ ^(%i: i64): %x = load %a, %i : {ty} {stores} yield }}
               return
             }}"
        );
        let input = ArrayData { elem: ty, dims: vec![known.len() as i64], data: known.clone() };
        let size = 5 * known.len() * known.len();
        let dims = vec![known.len() as i64, 5 * known.len() as i64];
        let output = ArrayData { elem: ty, dims, data: vec![0; size] };
        agree_on(variants, &parse(&text), &[Arg::Array(input), Arg::Array(output)]);
    }
}

#[test]
fn philox_gives_the_published_vectors() {
    let word = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    // Counter, key, output: Random123's kat_vectors, and single bits.
    let cases: [([u32; 4], [u32; 2], [u32; 4]); 6] = [
        ([!0; 4], [!0; 2], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]),
        ([0; 4], [0; 2], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]),
        (
            [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
            [0xa4093822, 0x299f31d0],
            [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
        ),
        ([1, 0, 0, 0], [0, 0], [0xf8e4cca4, 0x5cb200db, 0xb1a574eb, 0x097eff67]),
        ([0, 0, 1, 0], [0, 0], [0x844515e1, 0xf08d6eaa, 0x0f19c053, 0x83f875f0]),
        ([1, 2, 3, 4], [5, 6], [0xc0c839bc, 0x889c87c5, 0x61986739, 0x2d4623d0]),
    ];
    for (counter, key, output) in cases {
        let inputs = [word(key[0], key[1]), word(counter[0], counter[1]), word(counter[2], counter[3])];
        let wanted = [word(output[0], output[1]), word(output[2], output[3])];
        let variable = "func @f(%k: u64, %i: u64, %n: u64) -> u64, u64 { %x, %y = philox 0 %k, %i, %n : u64, u64 return %x, %y }";
        let known = format!(
            "func @f() -> u64, u64 {{ %k = {} %i = {} %n = {} %x, %y = philox 0 %k, %i, %n : u64, u64 return %x, %y }}",
            constant(inputs[0], Scalar::U64),
            constant(inputs[1], Scalar::U64),
            constant(inputs[2], Scalar::U64)
        );
        let args: Vec<Arg> = inputs.iter().map(|&word| Arg::Scalar(Const::U64(word))).collect();
        for (text, args) in [(variable, &args[..]), (&known, &[])] {
            let results = agree(&parse(text), args).unwrap();
            assert_eq!(results, wanted.map(|word| Arg::Scalar(Const::U64(word))), "{counter:x?}");
        }
    }
}

#[test]
fn philox_of_every_kind_agrees() {
    let text = "func @f(%k: u64, %n: i64) -> u64 {
      %three = const 3 : u64
      %h = for %n reduce(xor u64 \"h\") generator : u64 { ^(%q: i64):
        %i = convert %q : u64
        %a, %b = philox 0 %k, %i, %three : u64, u64
        %c, %d = philox 1 %a, %i, %b : u64, u64
        %e, %g = philox 2 %c, %d, %three : u64, u64
        %x, %y = philox 3 %e, %g, %i : u64, u64
        send 0 %x
        send 0 %y
        yield
      }
      return %h
    }";
    agree(&parse(text), &[Arg::Scalar(Const::U64(99)), int(50)]);
}

/// Sizes around the edges of lanes, strips and blocks.
const SIZES: [i64; 12] = [0, 1, 2, 31, 32, 33, 1023, 1024, 1025, 2048, 2049, 5000];

#[test]
fn reductions_of_a_serial_loop_keep_the_order() {
    for (header, indices, extents) in [
        ("%n", "%i: i64", 1),
        ("%three, %n", "%j: i64, %i: i64", 2),
        ("%n, %three, %three", "%i: i64, %j: i64, %k: i64", 3),
    ] {
        for ty in [Scalar::F64, Scalar::F32] {
            let text = format!(
                "func @f(%x: [{ty}; 1]) -> {ty}, {ty}, {ty}, i64, {ty}, bool {{
                   %n = dim 0 %x : i64
                   %three = const 3 : i64
                   %one = {}
                   %half = {}
                   %sum, %prod, %least, %count, %skipped, %any = for {header} reduce(sum {ty} \"s\") reduce(prod {ty} \"p\")
                     reduce(min {ty} \"m\") reduce(sum i64 \"c\") reduce(sum {ty} \"t\") reduce(or bool \"any\") generator
                     : {ty}, {ty}, {ty}, i64, {ty}, bool {{ ^({indices}):
                     %v = load %x, %i : {ty}
                     send 0 %v
                     send_fma 0 %v, %half
                     %w = fma %v, %half, %one : {ty}
                     send 1 %w
                     send 2 %v
                     %big = gt %v, %half : bool
                     send 5 %big
                     if %big {{ send 3 %three yield }} else {{ send 4 %v continue 0 }}
                     send 4 %half
                     yield
                   }}
                   return %sum, %prod, %least, %count, %skipped, %any
                 }}",
                constant(if ty == Scalar::F32 { u64::from(1f32.to_bits()) } else { 1f64.to_bits() }, ty),
                constant(if ty == Scalar::F32 { u64::from(0.3f32.to_bits()) } else { 0.3f64.to_bits() }, ty),
            );
            let program = parse(&text);
            for n in SIZES {
                if extents == 3 && n > 2048 {
                    continue;
                }
                let number = |k: i64| ((k * k * 7919 + 13) % 1000) as f64 / 700.0 - 0.7;
                let word = |k| {
                    if ty == Scalar::F32 {
                        u64::from((number(k) as f32).to_bits())
                    } else {
                        number(k).to_bits()
                    }
                };
                let array = ArrayData { elem: ty, dims: vec![n], data: (0..n).map(word).collect() };
                agree_on(&VARIANTS[..4], &program, &[Arg::Array(array.clone())]);
                agree_on(&VARIANTS[8..], &program, &[Arg::Array(array)]);
            }
        }
    }
}

/// One outlined loop with all kinds of reductions over `extents`, called with the sizes.
fn outlined(parallel: &str, extents: &[i64]) {
    let rank = extents.len();
    let names: Vec<String> = (0..rank).map(|k| format!("%n{k}")).collect();
    let params = |types: &str| names.iter().map(|name| format!(", {name}: {types}")).collect::<String>();
    let indices: Vec<String> = (0..rank).map(|k| format!("%i{k}: i64")).collect();
    let mut count = String::from("%c0 = const 1 : i64\n");
    for (k, name) in names.iter().enumerate() {
        count += &format!("%c{} = mul %c{k}, {name} : i64\n", k + 1);
    }
    let mut ordinal = String::from("%q0 = const 0 : i64\n");
    for (k, name) in names.iter().enumerate() {
        ordinal += &format!("%m{k} = mul %q{k}, {name} : i64\n %q{} = add %m{k}, %i{k} : i64\n", k + 1);
    }
    let text = format!(
        "func @f(%x: [f64; 1 strided], %hist: [i64; 1], %peak: [f64; 1]{params_i64}) -> f64, f64, i64, f64, f32 {{
           {count}
           %s, %m, %c, %p, %t = run_loop 0 %c{rank}, %x, %hist, %peak{args} : f64, f64, i64, f64, f32
           return %s, %m, %c, %p, %t
         }}
         func @chunk(%x: [f64; 1 strided], %hist: [i64; 1], %peak: [f64; 1]{params_i64}) chunk 0 {{
           %len = dim 0 %x : i64
           %bins = dim 0 %hist : i64
           %one = const 1 : i64
           %half = const 0.5 : f64
           %s, %m, %c, %p, %t = for {extents} reduce(sum f64 \"s\") reduce(max f64 \"m\") reduce(sum i64 \"c\") reduce(prod f64 \"p\")
             reduce(sum f32 \"t\") array(sum %hist) array(max %peak) {parallel} : f64, f64, i64, f64, f32 {{ ^({indices}):
             {ordinal}
             %at = rem %q{rank}, %len : i64
             %v = load %x, %at : f64
             send 0 %v
             send_fma 0 %v, %v
             send 1 %v
             %big = gt %v, %half : bool
             if %big {{
               send 2 %one
               %w = add %v, %half : f64
               send 3 %w
               yield
             }} else {{ yield }}
             %v32 = convert %v : f32
             send 4 %v32
             %bin = rem %q{rank}, %bins : i64
             update sum %hist, %bin, %one
             update max %peak, %bin, %v
             yield
           }}
           return
         }}
         loop 0 func 1 {parallel_info} scalar(sum f64 sites 2) scalar(max f64 sites 0) scalar(sum i64 sites 0) scalar(prod f64 sites 1)
           scalar(sum f32 sites 1) array(sum i64 slot 3 rank 1) array(max f64 slot 6 rank 1) cost 10 line 1",
        params_i64 = params("i64"),
        args = names.iter().map(|name| format!(", {name}")).collect::<String>(),
        extents = names.join(", "),
        indices = indices.join(", "),
        parallel_info = if parallel == "parallel" { "parallel" } else { "" },
    );
    let program = parse(&text);
    let numbers: Vec<f64> = (0..777).map(|k: i64| ((k * k * 31 + 7) % 997) as f64 / 600.0 - 0.3).collect();
    let mut inputs = vec![
        Arg::Array(ArrayData::f64s(&[777], &numbers)),
        Arg::Array(ArrayData::i64s(&[13], &[5; 13])),
        Arg::Array(ArrayData::f64s(&[13], &[0.25; 13])),
    ];
    inputs.extend(extents.iter().map(|&extent| int(extent)));
    agree_on(&VARIANTS[..4], &program, &inputs);
    agree_on(&VARIANTS[8..], &program, &inputs);
}

#[test]
fn outlined_loops_give_the_same_totals_on_any_number_of_threads() {
    for n in SIZES.into_iter().chain([200_000]) {
        outlined("parallel", &[n]);
    }
    outlined("vectorize", &[3000]);
    for extents in [[0, 5], [5, 0], [1, 1], [7, 300], [3000, 7], [1500, 1]] {
        outlined("parallel", &extents);
    }
    outlined("parallel", &[11, 13, 17]);
    outlined("parallel", &[2, 3, 500]);
}

#[test]
fn control_flow_agrees() {
    // Collatz with all ways out: break of two levels, continue, return in a loop.
    let text = "func @f(%n: i64, %cap: i64) -> i64, i64 {
      %zero = const 0 : i64
      %one = const 1 : i64
      %two = const 2 : i64
      %three = const 3 : i64
      %best, %longest = for %n carry(%zero, %zero) : i64, i64 { ^(%q: i64, %b: i64, %l: i64):
        %start = add %q, %one : i64
        %even = rem %start, %three : i64
        %skip = eq %even, %zero : bool
        if %skip { continue 0 %b, %l } else { yield }
        %end, %steps = while %start, %zero : i64, i64 { ^(%x: i64, %k: i64):
          %go = ne %x, %one : bool
          yield %go, %x, %k
        } do { ^(%x1: i64, %k1: i64):
          %over = gt %k1, %cap : bool
          if %over {
            %huge = gt %x1, %cap : bool
            if %huge { break 1 %x1, %k1 } else { return %x1, %k1 }
            yield
          } else { yield }
          %half = floor_div %x1, %two : i64
          %odd = and %x1, %one : i64
          %isodd = ne %odd, %zero : bool
          %next = if %isodd : i64 {
            %m = mul %x1, %three : i64
            %p = add %m, %one : i64
            yield %p
          } else { yield %half }
          %k2 = add %k1, %one : i64
          continue 0 %next, %k2
        }
        %longer = gt %steps, %l : bool
        %b2, %l2 = if %longer : i64, i64 { yield %start, %steps } else { yield %b, %l }
        yield %b2, %l2
      }
      return %best, %longest
    }";
    let program = parse(text);
    for (n, cap) in [(0, 10), (1, 10), (30, 1000), (30, 20), (30, 5), (3000, 400), (100, 0)] {
        agree(&program, &[int(n), int(cap)]);
    }
}

#[test]
fn a_while_whose_condition_loops_agrees() {
    let text = "func @f(%n: i64) -> i64 {
      %zero = const 0 : i64
      %one = const 1 : i64
      %r = while %n : i64 { ^(%x: i64):
        %s = for %x carry(%zero) : i64 { ^(%i: i64, %t: i64): %t2 = add %t, %i : i64 yield %t2 }
        %go = gt %s, %one : bool
        yield %go, %x
      } do { ^(%y: i64): %z = sub %y, %one : i64 yield %z }
      return %r
    }";
    for n in [0, 1, 2, 10] {
        agree(&parse(text), &[int(n)]);
    }
}

#[test]
fn nested_extents_break_and_continue() {
    let text = "func @f(%a: i64, %b: i64, %stop: i64) -> i64, i64 {
      %zero = const 0 : i64
      %s, %last = for %a, %b carry(%zero, %zero) : i64, i64 { ^(%i: i64, %j: i64, %s0: i64, %l0: i64):
        %diag = eq %i, %j : bool
        if %diag { continue 0 %s0, %l0 } else { yield }
        %p = mul %i, %b : i64
        %q = add %p, %j : i64
        %s1 = add %s0, %q : i64
        %end = ge %s1, %stop : bool
        if %end { break 0 %s1, %q } else { yield }
        yield %s1, %q
      }
      return %s, %last
    }";
    for (a, b) in [(0, 3), (3, 0), (1, 1), (4, 5), (3, 3000)] {
        for stop in [1, 40, 1 << 40] {
            agree(&parse(text), &[int(a), int(b), int(stop)]);
        }
    }
}

#[test]
fn owners_swap_and_results_are_handed_over() {
    // Two buffers change places in every step; a store to one must not be taken for one to the other.
    let text = "func @f(%n: i64, %steps: i64) -> [f64; 1], f64 {
      %a = alloc %n : [f64; 1]
      %b = alloc_uninit %n : [f64; 1]
      %one = const 1.0 : f64
      %zero = const 0 : i64
      for %n { ^(%i: i64): %x = convert %i : f64 store %a, %i, %x store %b, %i, %one yield }
      %p, %q = for %steps carry(%a, %b) : [f64; 1], [f64; 1] { ^(%t: i64, %c: [f64; 1], %d: [f64; 1]):
        store %c, %zero, %one
        for %n { ^(%i2: i64):
          %y = load %c, %i2 : f64
          %z = add %y, %one : f64
          store %d, %i2, %z
          yield
        }
        %back = load %c, %zero : f64
        store %d, %zero, %back
        yield %d, %c
      }
      %first = call @second %p : f64
      free %q
      return %p, %first
    }
    func @second(%x: [f64; 1]) -> f64 {
      %one = const 1 : i64
      %n = dim 0 %x : i64
      check bounds %one, %n axis 0 array \"x\" func \"second\" at 3..9
      %r = load %x, %one : f64
      return %r
    }";
    for (n, steps) in [(2, 0), (5, 1), (5, 4), (1, 3)] {
        agree(&parse(text), &[int(n), int(steps)]);
    }
}

#[test]
fn arrays_of_every_rank_layout_and_type_agree() {
    for elem in Scalar::ALL {
        for layout in ["", " strided"] {
            let text = format!(
                "func @f(%x: [{elem}; 3{layout}], %y: [{elem}; 3{layout}]) -> [{elem}; 3] {{
                   %a = dim 0 %x : i64
                   %b = dim 1 %x : i64
                   %c = dim 2 %x : i64
                   %one = const 1 : i64
                   %c1 = sub %c, %one : i64
                   %r = alloc %a, %b, %c : [{elem}; 3]
                   for %a, %b, %c1 {{ ^(%i: i64, %j: i64, %k: i64):
                     %k1 = add %k, %one : i64
                     %v = load %x, %i, %j, %k1 : {elem}
                     %w = load %x, %i, %j, %k : {elem}
                     %differ = ne %v, %w : bool
                     %u = select %differ, %v, %w : {elem}
                     store %y, %i, %j, %k, %u
                     store %r, %i, %j, %k1, %w
                     yield
                   }}
                   return %r
                 }}"
            );
            let dims = vec![3, 4, 5];
            let words = edges(elem);
            let data = (0..60).map(|k| words[k % words.len()]).collect();
            let x = ArrayData { elem, dims: dims.clone(), data };
            let y = ArrayData { elem, dims, data: vec![0; 60] };
            agree(&parse(&text), &[Arg::Array(x), Arg::Array(y)]);
        }
    }
}

#[test]
fn updates_agree() {
    for ty in NUMBERS {
        let ops: &[&str] = if ty.is_float() {
            &["sum", "prod", "min", "max"]
        } else {
            &["sum", "prod", "min", "max", "and", "or", "xor"]
        };
        for op in ops {
            let fused = if ty.is_float() { "update_fma %x, %k, %v, %v" } else { "" };
            let text = format!(
                "func @f(%x: [{ty}; 1], %y: [{ty}; 1]) {{
                   %n = dim 0 %y : i64
                   %m = dim 0 %x : i64
                   for %n {{ ^(%i: i64): %k = rem %i, %m : i64 %v = load %y, %i : {ty} update {op} %x, %k, %v {fused} yield }}
                   return
                 }}"
            );
            let words = edges(ty);
            let x = ArrayData { elem: ty, dims: vec![3], data: words[3..6].to_vec() };
            let y = ArrayData { elem: ty, dims: vec![words.len() as i64], data: words };
            agree(&parse(&text), &[Arg::Array(x), Arg::Array(y)]);
        }
    }
}

#[test]
fn failed_checks_leave_site_and_values() {
    let checks = [
        ("bounds %a, %b, %i axis 0 array \"x\"", [(0, 0), (-1, 5), (5, 5), (4, 5), (i64::MIN, 5)]),
        ("nonzero %a, %i op \"//\"", [(0, 0), (1, 0), (0, 7), (-1, 0), (2, 2)]),
        ("exponent %a, %i", [(0, 0), (-1, 0), (1, 0), (i64::MIN, 0), (3, 0)]),
        ("step %a, %i", [(0, 0), (1, 0), (-1, 0), (2, 0), (3, 0)]),
        ("draw_range %a, %b, %i", [(0, 0), (0, 1), (1, 0), (-5, -4), (i64::MIN, i64::MAX)]),
        ("not_empty %a, %i of \"min\"", [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)]),
        ("size %a, %i", [(0, 0), (-1, 0), (1, 0), (i64::MIN, 0), (5, 0)]),
        ("same_size %a, %b, %i found \"x\" wanted \"y\"", [(0, 0), (0, 1), (1, 0), (-1, -1), (7, 8)]),
        ("entry %c, %i condition \"a < b\"", [(0, 0), (0, 1), (1, 0), (-1, 0), (7, 8)]),
    ];
    for (check, cases) in checks {
        let text = format!(
            "func @f(%a: i64, %b: i64) -> i64 {{
               %r = call @g %a, %b : i64
               return %r
             }}
             func @g(%a: i64, %b: i64) -> i64 {{
               %c = lt %a, %b : bool
               %three = const 3 : i64
               for %three {{ ^(%i: i64):
                 check {check} func \"g\" indices(\"i\") at 3..9
                 yield
               }}
               return %a
             }}"
        );
        for (a, b) in cases {
            agree(&parse(&text), &[int(a), int(b)]);
        }
    }
    for ty in [Scalar::I32, Scalar::U32, Scalar::U64] {
        let text =
            format!("func @f(%a: {ty}) -> {ty} {{ check nonzero %a op \"%\" func \"f\" at 1..2 return %a }}");
        for word in edges(ty) {
            agree(&parse(&text), &[Arg::Scalar(const_from_bits(word, ty))]);
        }
    }
}

#[test]
fn repeated_values_are_found() {
    let text = "func @f(%p: [i32; 1 strided], %offset: i64, %count: i64) {
      check unique %p, %offset, %count array \"p\" func \"f\" at 1..2
      return
    }";
    let p = ArrayData {
        elem: Scalar::I32,
        dims: vec![6],
        data: [7u32, 3, 9, 3, 7, -1i32 as u32].map(u64::from).to_vec(),
    };
    for (offset, count) in [(0, 3), (0, 4), (0, 6), (2, 4), (3, 3), (0, 0)] {
        agree(&parse(text), &[Arg::Array(p.clone()), int(offset), int(count)]);
    }
}

#[test]
fn an_allocation_that_cannot_be_is_an_error() {
    let text =
        "func @f(%a: i64, %b: i64, %c: i64) -> [f64; 3] { %r = alloc %a, %b, %c : [f64; 3] return %r }";
    for sizes in
        [[1 << 40, 1 << 40, 1], [1 << 40, 1 << 40, 0], [0, i64::MAX, i64::MAX], [i64::MAX, 1, 1], [2, 3, 4]]
    {
        agree(&parse(text), &sizes.map(int));
    }
}

#[test]
fn endless_loops_can_be_stopped() {
    let endless = [
        // A `while`, a short counted loop, a nest around nothing, a rectangle, blocks of an ordered sum.
        "%r = while %z : i64 { ^(%x: i64): %t = const true : bool yield %t, %x } do { ^(%y: i64): %k = add %y, %one : i64 yield %k }",
        "%r = for %huge carry(%z) : i64 { ^(%i: i64, %x: i64): %k = xor %x, %i : i64 yield %k }",
        "%r = for %huge carry(%z) : i64 { ^(%i: i64, %x: i64): %k = for %z carry(%x) : i64 { ^(%j: i64, %y: i64): yield %y } yield %k }",
        "%r = for %huge, %huge carry(%z) : i64 { ^(%i: i64, %j: i64, %x: i64): %k = xor %x, %j : i64 yield %k }",
        "%s = for %huge, %huge reduce(sum f64 \"s\") generator : f64 { ^(%i: i64, %j: i64): %x = convert %j : f64 send 0 %x yield }\n %r = convert %s : i64",
    ];
    for body in endless {
        let text = format!(
            "func @f(%huge: i64) -> i64 {{ %z = const 0 : i64 %one = const 1 : i64 {body} return %r }}"
        );
        for variant in &VARIANTS[1..3] {
            let loaded = load(&parse(&text), variant);
            let stop = StopFlag::new();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(5));
                    stop.cancel();
                });
                let start = Instant::now();
                let ending = loaded.call(&[int(1 << 62)], &Pool::new(1), &stop);
                assert!(matches!(ending, Ending::Other(Failure::Stopped(_))), "{ending:?}");
                assert!(start.elapsed() < Duration::from_secs(5), "{text}");
            });
        }
    }
}

#[test]
fn trial_programs_agree() {
    let mandelbrot = parse(include_str!("ir/mandelbrot.ir"));
    let points =
        |seed: i64| (0..40).map(|k| ((k * 37 + seed) % 41) as f64 / 12.0 - 2.0).collect::<Vec<f64>>();
    let inputs = [
        Arg::Array(ArrayData::f64s(&[40], &points(3))),
        Arg::Array(ArrayData::f64s(&[40], &points(17))),
        Arg::Array(ArrayData::i64s(&[40], &[0; 40])),
        int(300),
    ];
    agree(&mandelbrot, &inputs);
    let matmul = parse(include_str!("ir/matmul.ir"));
    let numbers: Vec<f64> = (0..64).map(|k| (k % 7) as f64 - 2.5).collect();
    let square = Arg::Array(ArrayData::f64s(&[8, 8], &numbers));
    agree(&matmul, &[square.clone(), square, Arg::Array(ArrayData::f64s(&[8, 8], &[0.0; 64]))]);
}

#[test]
fn printed_values_reach_the_sink() {
    let text = "func @f(%x: [f32; 2 strided], %b: bool, %k: i32) {
      %two = const 2 : i64
      call @g %k
      for %two { ^(%i: i64): print \"a\", %i, \" \", %b, %x yield }
      return
    }
    func @g(%k: i32) { %h = const 0.5 : f64 print %k, %h return }";
    let program = parse(text);
    for variant in VARIANTS.iter() {
        let loaded = load(&program, variant);
        let print_type = |ty: &ir::Type| match ty {
            ir::Type::Array { elem, rank, .. } => {
                PrintType { kind: ir::kind_of(*elem), rank: Some(usize::from(*rank)) }
            }
            ty => PrintType { kind: ir::kind_of(ty.scalar()), rank: None },
        };
        let sites: Vec<Vec<PrintType>> =
            loaded.emitted.prints.iter().map(|(_, types)| types.iter().map(print_type).collect()).collect();
        let lines = Mutex::new(Vec::new());
        let write = |site: u64, values: &[PrintValue<'_>]| {
            let words = values.iter().flat_map(|value| match value {
                PrintValue::Scalar(kind, word) if kind.bytes() == 4 => vec![*word & 0xffff_ffff],
                PrintValue::Scalar(_, word) => vec![*word],
                PrintValue::Array(array) => (0..array.len()).map(|position| array.get(position)).collect(),
            });
            let parts = loaded.emitted.prints[site as usize].0.parts.len();
            lines.lock().unwrap().push((parts, words.collect::<Vec<u64>>()));
        };
        let x = ArrayData {
            elem: Scalar::F32,
            dims: vec![1, 2],
            data: [1.5f32, -2.5].map(|x| u64::from(x.to_bits())).to_vec(),
        };
        let inputs = [Arg::Array(x.clone()), Arg::Scalar(Const::Bool(true)), Arg::Scalar(Const::I32(-3))];
        let ending = loaded.call_printing(
            &inputs,
            &Pool::new(1),
            &StopFlag::new(),
            Some(Sink { sites: &sites, write: &write }),
        );
        assert!(matches!(ending, Ending::Done(..)));
        let first = (2, vec![0xffff_fffd, 0.5f64.to_bits()]);
        let line = |i: u64| (5, [vec![i, 1], x.data.clone()].concat());
        assert_eq!(*lines.lock().unwrap(), [first, line(0), line(1)]);
    }
}

#[test]
fn the_same_program_gives_the_same_bytes() {
    let program = parse(include_str!("ir/mandelbrot.ir"));
    let options = EmitOptions { listing: true, ..EmitOptions::default() };
    let first = emit(&program, &Target::host(), &options).unwrap();
    let again = emit(&program, &Target::host(), &EmitOptions { listing: false, ..options }).unwrap();
    assert_eq!(first.object, again.object);
    assert!(first.clif.unwrap().contains("function") && first.asm.unwrap().contains("ret"));
}
