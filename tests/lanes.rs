//! Machine code with lanes against the oracle.
//!
//! In: small IR programs whose values have 2 to 32 lanes. Out: nothing, or where code and oracle differ. Holds: every op on every type, count of lanes and kind
//! of machine, on numbers in which mistakes show; arrays, results and errors agree to the bit (NaN is one value).

use super::backend::{NUMBERS, Variant, agree_on, constant, edges, int, parse};
use kiln_compiler::backend::Wide;
use kiln_compiler::ir::{Arg, ArrayData};
use kiln_compiler::target::{IsaCap, OptLevel, Target};
use kiln_lang::types::Scalar;
use std::sync::LazyLock;

const LANES: [u8; 5] = [2, 4, 8, 16, 32];

/// Machines; code with lanes is made with one effort only.
static MACHINES: LazyLock<Vec<Variant>> = LazyLock::new(|| {
    let host = Target::host();
    let targets = [host.clone(), host.capped(IsaCap::Avx2), host.capped(IsaCap::V128), Target::generic()];
    let wide = [host.clone(), host.capped(IsaCap::Avx2)].map(|target| (target, OptLevel::Speed, Wide::Lanes));
    targets.map(|target| (target, OptLevel::Speed, Wide::Never)).into_iter().chain(wide).collect()
});

/// The text of a type in lanes.
fn in_lanes(ty: Scalar, lanes: u8) -> String {
    if ty == Scalar::Bool { format!("mask{lanes}") } else { format!("{ty}x{lanes}") }
}

/// Elementwise ops that give `%r` from `%a`, `%b`, `%c`: each on all combinations of edges of the operands.
fn elementwise(ops: &[String], operands: &[Scalar], result: Scalar, lanes: u8) {
    let names = ["a", "b", "c"];
    let params: Vec<String> =
        operands.iter().zip(names).map(|(ty, name)| format!("%{name}s: [{ty}; 1], ")).collect();
    let loads: Vec<String> = operands
        .iter()
        .zip(names)
        .map(|(&ty, name)| format!("%{name} = load %{name}s, %at : {}\n", in_lanes(ty, lanes)))
        .collect();
    let body: Vec<String> = ops
        .iter()
        .enumerate()
        .map(|(k, op)| {
            let op = op.replace("%r", &format!("%r{k}")).replace("%t", &format!("%t{k}"));
            format!("%k{k} = const {k} : i64\n {op}\n store %out, %k{k}, %at, %r{k}\n")
        })
        .collect();
    let text = format!(
        "func @f({}%out: [{result}; 2]) {{
           %n = dim 1 %out : i64
           %width = const {lanes} : i64
           %groups = floor_div %n, %width : i64
           for %groups {{ ^(%g: i64):
             %q = mul %g, %width : i64
             %at = iota %q : i64x{lanes}
             {}
             {}
             yield
           }}
           return
         }}",
        params.concat(),
        loads.concat(),
        body.concat(),
    );
    let choices: Vec<Vec<u64>> = operands.iter().map(|&ty| edges(ty)).collect();
    let combinations: usize = choices.iter().map(Vec::len).product();
    let count = combinations.next_multiple_of(usize::from(lanes));
    let mut columns: Vec<Vec<u64>> = vec![Vec::new(); operands.len()];
    for number in 0..count {
        let mut rest = number % combinations;
        for (column, choices) in columns.iter_mut().zip(&choices) {
            column.push(choices[rest % choices.len()]);
            rest /= choices.len();
        }
    }
    let array = |elem, data: Vec<u64>| ArrayData { elem, dims: vec![count as i64], data };
    let mut inputs: Vec<Arg> =
        operands.iter().zip(columns).map(|(&ty, column)| Arg::Array(array(ty, column))).collect();
    let dims = vec![ops.len() as i64, count as i64];
    inputs.push(Arg::Array(ArrayData { elem: result, dims, data: vec![0; ops.len() * count] }));
    agree_on(&MACHINES, &parse(&text), &inputs);
}

/// `%r = op operands : type` for each op.
fn each(ops: &[&str], operands: &str, ty: Scalar, lanes: u8) -> Vec<String> {
    ops.iter().map(|op| format!("%r = {op} {operands} : {}", in_lanes(ty, lanes))).collect()
}

#[test]
fn arithmetic_agrees_in_lanes() {
    for lanes in LANES {
        for ty in NUMBERS {
            let unary: &[&str] = if ty.is_float() {
                &["neg", "abs", "sqrt", "floor", "ceil", "trunc", "nearest"]
            } else {
                &["neg", "abs", "not"]
            };
            elementwise(&each(unary, "%a", ty, lanes), &[ty], ty, lanes);
            let binary: &[&str] = if ty.is_float() {
                &["add", "sub", "mul", "div", "min", "max"]
            } else {
                &["add", "sub", "mul", "floor_div", "rem", "min", "max", "and", "or", "xor", "shl", "shr"]
            };
            elementwise(&each(binary, "%a, %b", ty, lanes), &[ty, ty], ty, lanes);
        }
        let u64s = [Scalar::U64, Scalar::U64];
        elementwise(&each(&["mul_hi"], "%a, %b", Scalar::U64, lanes), &u64s, Scalar::U64, lanes);
        let bools = [Scalar::Bool, Scalar::Bool];
        let logic = each(&["and", "or", "xor"], "%a, %b", Scalar::Bool, lanes);
        elementwise(&logic, &bools, Scalar::Bool, lanes);
        elementwise(&each(&["not"], "%a", Scalar::Bool, lanes), &bools[..1], Scalar::Bool, lanes);
    }
}

#[test]
fn fused_multiply_add_rounds_once_in_lanes() {
    for (ty, lanes) in [(Scalar::F32, 4), (Scalar::F32, 16), (Scalar::F64, 2), (Scalar::F64, 8)] {
        elementwise(&each(&["fma"], "%a, %b, %c", ty, lanes), &[ty, ty, ty], ty, lanes);
    }
}

#[test]
fn comparisons_and_choices_agree_in_lanes() {
    let comparisons = ["eq", "ne", "lt", "le", "gt", "ge"];
    for lanes in LANES {
        for ty in NUMBERS.into_iter().chain([Scalar::Bool]) {
            let (own, mask) = (in_lanes(ty, lanes), in_lanes(Scalar::Bool, lanes));
            elementwise(&each(&comparisons, "%a, %b", Scalar::Bool, lanes), &[ty, ty], Scalar::Bool, lanes);
            // The choice by a comparison of its own operands is where minimum and maximum instructions lurk.
            let mut choices = Vec::new();
            for op in comparisons {
                for (x, y) in [("a", "b"), ("b", "a")] {
                    choices.push(format!("%t = {op} %a, %b : {mask}\n %r = select %t, %{x}, %{y} : {own}"));
                }
            }
            elementwise(&choices, &[ty, ty], ty, lanes);
            let choice = [format!("%r = select %a, %b, %c : {own}")];
            elementwise(&choice, &[Scalar::Bool, ty, ty], ty, lanes);
        }
        // Masks that are used at another width than they are made with.
        for (from, to) in [(Scalar::F32, Scalar::F64), (Scalar::I64, Scalar::F32), (Scalar::U32, Scalar::I64)]
        {
            let (mask, to_lanes) = (in_lanes(Scalar::Bool, lanes), in_lanes(to, lanes));
            let op = format!(
                "%t = lt %a, %b : {mask}\n %tx = convert %a : {to_lanes}\n %ty = convert %b : {to_lanes}
                 %tz = select %t, %tx, %ty : {to_lanes}\n %tw = le %tx, %tz : {mask}\n %tv = xor %t, %tw : {mask}
                 %r = select %tv, %tz, %ty : {to_lanes}"
            );
            elementwise(&[op], &[from, from], to, lanes);
        }
    }
}

#[test]
fn conversions_agree_in_lanes() {
    for lanes in LANES {
        for from in Scalar::ALL {
            for to in Scalar::ALL {
                elementwise(&each(&["convert"], "%a", to, lanes), &[from], to, lanes);
                if from != Scalar::Bool && to != Scalar::Bool && from.bits() == to.bits() {
                    elementwise(&each(&["bitcast"], "%a", to, lanes), &[from], to, lanes);
                }
            }
        }
    }
}

#[test]
fn integers_become_floats_with_one_rounding_in_lanes() {
    // Many numbers with few bits after the float's last, where two roundings go wrong.
    let mut state = 1u64;
    let mut numbers = Vec::new();
    for k in 0..2000u32 {
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
                   %width = const 8 : i64
                   %groups = floor_div %n, %width : i64
                   for %groups {{ ^(%g: i64):
                     %q = mul %g, %width : i64
                     %at = iota %q : i64x8
                     %x = load %a, %at : {from}x8
                     %y = convert %x : {to}x8
                     store %out, %at, %y
                     yield
                   }}
                   return
                 }}"
            );
            let dims = vec![numbers.len() as i64];
            let input = ArrayData { elem: from, dims: dims.clone(), data: numbers.clone() };
            let output = ArrayData { elem: to, dims, data: vec![0; numbers.len()] };
            agree_on(&MACHINES, &parse(&text), &[Arg::Array(input), Arg::Array(output)]);
        }
    }
}

#[test]
fn known_operands_in_all_lanes_agree() {
    for lanes in [2, 8] {
        for ty in NUMBERS {
            let own = in_lanes(ty, lanes);
            let ops: &[&str] = if ty.is_float() {
                &["min", "max", "add"]
            } else {
                &["floor_div", "rem", "shl", "shr", "mul"]
            };
            let mut body = Vec::new();
            for word in edges(ty) {
                for op in ops {
                    let known = format!("%t = {}\n %tk = splat %t : {own}\n", constant(word, ty));
                    body.push(format!("{known} %r = {op} %a, %tk : {own}"));
                    if ty.is_float() {
                        body.push(format!("{known} %r = {op} %tk, %a : {own}"));
                    }
                }
            }
            for ops in body.chunks(40) {
                elementwise(ops, &[ty], ty, lanes);
            }
        }
    }
}

#[test]
fn one_shift_count_or_divisor_for_all_lanes_agrees() {
    for lanes in LANES {
        for ty in [Scalar::I32, Scalar::I64, Scalar::U32, Scalar::U64] {
            let own = in_lanes(ty, lanes);
            let uniform = |op: &str| {
                format!("%t = extract 1 %b : {ty}\n %ts = splat %t : {own}\n %r = {op} %a, %ts : {own}")
            };
            let ops = ["shl", "shr", "floor_div", "rem", "mul"].map(uniform);
            elementwise(&ops, &[ty, ty], ty, lanes);
        }
    }
}

#[test]
fn lanes_are_put_together_and_taken_apart() {
    for lanes in LANES {
        for ty in Scalar::ALL {
            let own = in_lanes(ty, lanes);
            let mut ops = Vec::new();
            for lane in [0, 1, lanes / 2, lanes - 1] {
                ops.push(format!("%t = extract {lane} %a : {ty}\n %r = splat %t : {own}"));
            }
            if ty.is_int() {
                ops.push(format!("%t = extract 1 %a : {ty}\n %r = iota %t : {own}"));
            }
            if ty == Scalar::Bool {
                for op in ["any", "all"] {
                    ops.push(format!("%t = {op} %a : bool\n %r = splat %t : {own}"));
                }
            }
            ops.push(format!("%t = extract 1 %a : {ty}\n %tc = eq %t, %t : bool\n %tb = not %tc : bool\n %ts = splat %t : {own}\n %r = select %tb, %a, %ts : {own}"));
            elementwise(&ops, &[ty], ty, lanes);
        }
    }
}

#[test]
fn any_and_all_see_every_lane() {
    for lanes in LANES {
        for (made, on) in [("f32", 0), ("f64", 0), ("f32", 1), ("f64", 1)] {
            // One lane differs from the others, for each lane in turn.
            let text = format!(
                "func @f(%x: [{made}; 2], %any: [bool; 1], %all: [bool; 1]) {{
                   %rows = dim 0 %x : i64
                   %zero = const 0 : i64
                   %none = const 0.0 : {made}
                   %nones = splat %none : {made}x{lanes}
                   %at = iota %zero : i64x{lanes}
                   for %rows {{ ^(%i: i64):
                     %v = load %x, %i, %at : {made}x{lanes}
                     %m = ne %v, %nones : mask{lanes}
                     %a = any %m : bool
                     %b = all %m : bool
                     store %any, %i, %a
                     store %all, %i, %b
                     yield
                   }}
                   return
                 }}"
            );
            let elem = if made == "f32" { Scalar::F32 } else { Scalar::F64 };
            let one = if made == "f32" { u64::from(1f32.to_bits()) } else { 1f64.to_bits() };
            let rows = i64::from(lanes) + 1;
            let element = |k: i64| {
                let differs = k / i64::from(lanes) == k % i64::from(lanes);
                if differs == (on == 1) { one } else { 0 }
            };
            let data = (0..rows * i64::from(lanes)).map(element).collect();
            let x = ArrayData { elem, dims: vec![rows, i64::from(lanes)], data };
            let bools = ArrayData { elem: Scalar::Bool, dims: vec![rows], data: vec![0; rows as usize] };
            let inputs = [Arg::Array(x), Arg::Array(bools.clone()), Arg::Array(bools)];
            agree_on(&MACHINES, &parse(&text), &inputs);
        }
    }
}

#[test]
fn random_words_in_lanes_agree() {
    for lanes in LANES {
        let own = in_lanes(Scalar::U64, lanes);
        let mut ops = Vec::new();
        for kind in 0..4 {
            ops.push(format!("%r, %ty = philox {kind} %a, %b, %c : {own}, {own}"));
            ops.push(format!("%tx, %r = philox {kind} %a, %b, %c : {own}, {own}"));
        }
        ops.push(format!("%tx, %ty = ars 1 %a, %b, %c : {own}, {own}\n %r = sub %tx, %ty : {own}"));
        // Key and block number as they mostly are: the same in all lanes.
        ops.push(format!(
            "%tk = const 99 : u64\n %tks = splat %tk : {own}\n %tn = extract 1 %c : u64\n %tns = splat %tn : {own}
             %tx, %ty = philox 0 %tks, %b, %tns : {own}, {own}\n %r = xor %tx, %ty : {own}"
        ));
        elementwise(&ops, &[Scalar::U64, Scalar::U64, Scalar::U64], Scalar::U64, lanes);
    }
}

/// Arrays of a type with all its edges in them, and a start that depends on `seed`.
fn array(elem: Scalar, dims: &[i64], seed: usize) -> Arg {
    let words = edges(elem);
    let count = dims.iter().product::<i64>() as usize;
    let data = (0..count).map(|k| words[(k * 7 + k / 5 + seed) % words.len()]).collect();
    Arg::Array(ArrayData { elem, dims: dims.to_vec(), data })
}

#[test]
fn loads_and_stores_of_every_kind_agree() {
    for lanes in LANES {
        for elem in Scalar::ALL {
            for layout in ["", " strided"] {
                let own = in_lanes(elem, lanes);
                // Rows and columns of lanes, one element for all, a diagonal, and places from a list, both ways.
                let text = format!(
                    "func @f(%x: [{elem}; 2{layout}], %y: [{elem}; 2{layout}], %p: [i64; 1], %z: [{elem}; 1]) {{
                       %three = const 3 : i64
                       %one = const 1 : i64
                       %zero = const 0 : i64
                       %width = const {lanes} : i64
                       for %three {{ ^(%i: i64):
                         %i1 = add %i, %one : i64
                         %at = iota %i1 : i64x{lanes}
                         %is = splat %i : i64x{lanes}
                         %start = iota %zero : i64x{lanes}
                         %place = load %p, %at : i64x{lanes}
                         %row = load %x, %i, %at : {own}
                         store %y, %i1, %start, %row
                         %column = load %x, %at, %is : {own}
                         store %y, %start, %i, %column
                         %diagonal = load %x, %at, %start : {own}
                         store %y, %start, %at, %diagonal
                         %single = load %x, %is, %i1 : {own}
                         store %y, %three, %at, %single
                         %gathered = load %x, %i, %place : {own}
                         %steep = load %x, %place, %i1 : {own}
                         %both = load %x, %place, %at : {own}
                         store %y, %place, %three, %gathered
                         store %y, %i, %place, %steep
                         store %y, %at, %place, %both
                         store %z, %is, %row
                         %far = add %i1, %three : i64
                         %there = iota %far : i64x{lanes}
                         store %z, %there, %column
                         yield
                       }}
                       return
                     }}"
                );
                let n = i64::from(lanes) + 8;
                let places = (0..n).map(|k| (k * k * 5 + 3) % n).collect::<Vec<i64>>();
                let inputs = [
                    array(elem, &[n, n], 0),
                    array(elem, &[n, n], 3),
                    Arg::Array(ArrayData::i64s(&[n], &places)),
                    array(elem, &[n], 5),
                ];
                agree_on(&MACHINES, &parse(&text), &inputs);
            }
        }
    }
}

#[test]
fn masked_accesses_touch_only_lanes_that_are_on() {
    for lanes in LANES {
        for elem in Scalar::ALL {
            let own = in_lanes(elem, lanes);
            let mut updates = String::new();
            for op in if elem == Scalar::Bool { &["and", "xor"][..] } else { &["sum", "prod", "min"] } {
                updates += &format!("update_masked {op} %y, %some, %there, %a\n");
                updates += &format!("update_masked {op} %z, %inside, %at, %e\n");
                updates += &format!("update_masked {op} %z, %inside, %zero, %a\n");
            }
            if elem.is_float() {
                updates += "update_fma_masked %z, %some, %there, %a, %e\n";
            }
            // Lanes that are off point outside the arrays, which may be empty.
            let text = format!(
                "func @f(%x: [{elem}; 1], %y: [{elem}; 1], %z: [{elem}; 1 strided], %on: [bool; 1], %far: i64) {{
                   %zero = const 0 : i64
                   %n = dim 0 %x : i64
                   %ns = splat %n : i64x{lanes}
                   %at = iota %zero : i64x{lanes}
                   %fars = splat %far : i64x{lanes}
                   %inside = lt %at, %ns : mask{lanes}
                   %some = load_masked %on, %inside, %at : mask{lanes}
                   %there = select %some, %at, %fars : i64x{lanes}
                   %a = load_masked %x, %inside, %at : {own}
                   store_masked %y, %some, %at, %a
                   %b = load_masked %x, %some, %there : {own}
                   store_masked %z, %some, %there, %b
                   %c = load_masked %z, %some, %at : {own}
                   %none = xor %some, %some : mask{lanes}
                   store_masked %y, %none, %fars, %c
                   %d = load_masked %y, %none, %far : {own}
                   %e = load_masked %y, %inside, %zero : {own}
                   store_masked %z, %inside, %at, %e
                   {updates}
                   return
                 }}"
            );
            let program = parse(&text);
            let full = i64::from(lanes);
            for (n, patterns) in
                [(0, &[!0u64][..]), (1, &[!0]), (full / 2, &[0x5a]), (full, &[0, !0, 0x1357_9bdf])]
            {
                for pattern in patterns {
                    let on = (0..n).map(|k| pattern >> k & 1).collect();
                    let inputs = [
                        array(elem, &[n], 1),
                        array(elem, &[n], 2),
                        array(elem, &[n], 3),
                        Arg::Array(ArrayData { elem: Scalar::Bool, dims: vec![n], data: on }),
                        int(1 << 60),
                    ];
                    agree_on(&MACHINES, &program, &inputs);
                }
            }
        }
    }
}

#[test]
fn updates_go_lane_by_lane() {
    for lanes in LANES {
        for ty in NUMBERS {
            let ops: &[&str] = if ty.is_float() {
                &["sum", "prod", "min", "max"]
            } else {
                &["sum", "prod", "min", "max", "and", "or", "xor"]
            };
            let own = in_lanes(ty, lanes);
            let updates: String = ops
                .iter()
                .map(|op| {
                    format!(
                        "update {op} %x, %place, %v\n update {op} %x, %at, %v\n update {op} %x, %zeros, %v\n"
                    )
                })
                .collect();
            let fused =
                if ty.is_float() { "update_fma %x, %place, %v, %v update_fma %x, %at, %v, %v" } else { "" };
            let text = format!(
                "func @f(%x: [{ty}; 1], %y: [{ty}; 1], %p: [i64; 1]) {{
                   %zero = const 0 : i64
                   %zeros = splat %zero : i64x{lanes}
                   %at = iota %zero : i64x{lanes}
                   %place = load %p, %at : i64x{lanes}
                   %v = load %y, %at : {own}
                   {updates} {fused}
                   return
                 }}"
            );
            let n = i64::from(lanes);
            let places = (0..n).map(|k| k * 3 % 5 % n).collect::<Vec<i64>>();
            let program = parse(&text);
            for seed in [3, 11, 20] {
                let places = Arg::Array(ArrayData::i64s(&[n], &places));
                agree_on(&MACHINES, &program, &[array(ty, &[n], seed), array(ty, &[n], seed + 1), places]);
            }
        }
    }
}

#[test]
fn control_flow_carries_lanes() {
    // Escape counts: a `while` that runs until all lanes are done, an `if` with lanes as results.
    for (lanes, ty) in [(2, "f64"), (8, "f64"), (4, "f32"), (16, "f32")] {
        let text = format!(
            "func @f(%cx: [{ty}; 1], %cy: [{ty}; 1], %count: [i64; 1], %most: i64) {{
               %n = dim 0 %cx : i64
               %width = const {lanes} : i64
               %groups = floor_div %n, %width : i64
               %one = const 1 : i64
               %zero = const 0 : i64
               %ones = splat %one : i64x{lanes}
               %zeros = splat %zero : i64x{lanes}
               %none = const 0.0 : {ty}
               %nones = splat %none : {ty}x{lanes}
               %four = const 4.0 : {ty}
               %fours = splat %four : {ty}x{lanes}
               for %groups {{ ^(%g: i64):
                 %q = mul %g, %width : i64
                 %at = iota %q : i64x{lanes}
                 %a = load %cx, %at : {ty}x{lanes}
                 %b = load %cy, %at : {ty}x{lanes}
                 %all = eq %a, %a : mask{lanes}
                 %x, %y, %k, %on, %t = while %nones, %nones, %zeros, %all, %zero : {ty}x{lanes}, {ty}x{lanes}, i64x{lanes}, mask{lanes}, i64 {{
                   ^(%x0: {ty}x{lanes}, %y0: {ty}x{lanes}, %k0: i64x{lanes}, %on0: mask{lanes}, %t0: i64):
                   %some = any %on0 : bool
                   %more = lt %t0, %most : bool
                   %go = and %some, %more : bool
                   yield %go, %x0, %y0, %k0, %on0, %t0
                 }} do {{ ^(%x1: {ty}x{lanes}, %y1: {ty}x{lanes}, %k1: i64x{lanes}, %on1: mask{lanes}, %t1: i64):
                   %xx = mul %x1, %x1 : {ty}x{lanes}
                   %yy = mul %y1, %y1 : {ty}x{lanes}
                   %r = add %xx, %yy : {ty}x{lanes}
                   %in = le %r, %fours : mask{lanes}
                   %on2 = and %on1, %in : mask{lanes}
                   %d = sub %xx, %yy : {ty}x{lanes}
                   %x2 = add %d, %a : {ty}x{lanes}
                   %xy = mul %x1, %y1 : {ty}x{lanes}
                   %xy2 = add %xy, %xy : {ty}x{lanes}
                   %y2 = add %xy2, %b : {ty}x{lanes}
                   %x3 = select %on2, %x2, %x1 : {ty}x{lanes}
                   %y3 = select %on2, %y2, %y1 : {ty}x{lanes}
                   %step = select %on2, %ones, %zeros : i64x{lanes}
                   %k2 = add %k1, %step : i64x{lanes}
                   %t2 = add %t1, %one : i64
                   yield %x3, %y3, %k2, %on2, %t2
                 }}
                 %left = any %on : bool
                 %c, %m = if %left : i64x{lanes}, mask{lanes} {{
                   %minus = neg %k : i64x{lanes}
                   yield %minus, %on
                 }} else {{ yield %k, %all }}
                 %e = select %m, %c, %t3 : i64x{lanes}
                 store %count, %at, %e
                 yield
               }}
               return
             }}"
        )
        .replace("%t3", "%zeros");
        let elem = if ty == "f32" { Scalar::F32 } else { Scalar::F64 };
        let points = |seed: i64| {
            let number = |k: i64| ((k * 37 + seed) % 41) as f64 / 12.0 - 2.0;
            let word =
                |k| if ty == "f32" { u64::from((number(k) as f32).to_bits()) } else { number(k).to_bits() };
            Arg::Array(ArrayData { elem, dims: vec![64], data: (0..64).map(word).collect() })
        };
        for most in [0, 1, 50, 300] {
            let counts = Arg::Array(ArrayData::i64s(&[64], &[-7; 64]));
            agree_on(&MACHINES, &parse(&text), &[points(3), points(17), counts, int(most)]);
        }
    }
}

/// Lanes of the two regions of a widened loop.
const SHAPES: [(u8, u8); 8] = [(2, 2), (4, 2), (4, 4), (8, 2), (8, 8), (16, 4), (32, 2), (32, 32)];

/// Sizes around the edges of groups, strips and blocks.
fn sizes() -> Vec<i64> {
    (0..70).chain([1023, 1024, 1025, 1055, 2047, 2048, 2050, 4100]).collect()
}

/// Numbers without a pattern.
fn numbers(elem: Scalar, count: i64) -> ArrayData {
    let number = |k: i64| ((k * k * 7919 + 13 * k + 5) % 1009) as f64 / 700.0 - 0.7;
    let word = |k: i64| match elem {
        Scalar::F32 => u64::from((number(k) as f32).to_bits()),
        Scalar::F64 => number(k).to_bits(),
        Scalar::Bool => (number(k) > 0.0).into(),
        Scalar::I32 | Scalar::U32 => u64::from((number(k) * 1e9) as i32 as u32),
        Scalar::I64 | Scalar::U64 => (number(k) * 1e18) as i64 as u64,
    };
    ArrayData { elem, dims: vec![count], data: (0..count).map(word).collect() }
}

/// Both regions of a widened loop with the same body. In it, `%x'` is a name of the region, `#` its lanes, `on` its mask: `[masked|plain]` chooses by region.
fn regions(indices: &str, body: &str, (lanes, tail): (u8, u8)) -> String {
    let region = |suffix: &str, lanes: u8, masked: bool| {
        let mut text = String::new();
        let mut rest = body;
        while let Some((before, after)) = rest.split_once('[') {
            let (choice, after) = after.split_once(']').expect("a choice ends");
            let (with_mask, plain) = choice.split_once('|').expect("a choice of two");
            text += before;
            text += if masked { with_mask } else { plain };
            rest = after;
        }
        text += rest;
        text.replace('\'', suffix).replace('#', &lanes.to_string())
    };
    format!(
        "{{ ^({}): {} yield }} tail {{ ^({}, %on: mask{tail}): {} yield }}",
        indices.replace('\'', "m"),
        region("m", lanes, false),
        indices.replace('\'', "t"),
        region("t", tail, true),
    )
}

/// Splats of a scalar for both regions: `%NAMEm` and `%NAMEt`.
fn splats(name: &str, scalar: &str, ty: Scalar, (lanes, tail): (u8, u8)) -> String {
    format!(
        "%{name}m = splat %{scalar} : {}\n %{name}t = splat %{scalar} : {}\n",
        in_lanes(ty, lanes),
        in_lanes(ty, tail)
    )
}

/// A word of a float type.
fn float(value: f64, ty: Scalar) -> u64 {
    if ty == Scalar::F32 { u64::from((value as f32).to_bits()) } else { value.to_bits() }
}

/// A body that sends to reductions of all kinds, ordered (0, 1, 4) and not.
fn sends(ty: Scalar) -> String {
    format!(
        "%at' = iota %q' : i64x#
         %v' = [load_masked %x, %on, %at'|load %x, %at'] : {ty}x#
         [send_masked 0 %on, %v'|send 0 %v']
         %f' = [select %on, %v', %minus'|add %v', %minus'] : {ty}x#
         %g' = [select %on, %half', %one'|add %half', %minus'] : {ty}x#
         send_fma 0 %f', %g'
         %w' = fma %v', %half', %one' : {ty}x#
         [send_masked 1 %on, %w'|send 1 %w']
         [send_masked 2 %on, %v'|send 2 %v']
         %big' = gt %v', %half' : mask#
         %bigs' = [and %big', %on|or %big', %big'] : mask#
         [send_masked 5 %on, %big'|send 5 %big']
         send_masked 3 %bigs', %ones'
         %small' = [xor %bigs', %on|not %bigs'] : mask#
         send_masked 4 %small', %v'
         %some' = any %small' : bool
         if %some' {{ send_masked 4 %small', %half' yield }} else {{ yield }}
         %k' = convert %v' : i32x#
         %z' = add %k', %seven' : i32x#
         [send_masked 6 %on, %z'|send 6 %z']
         [send_masked 7 %on, %big'|send 7 %big']"
    )
}

const TOTALS: &str = "T, T, T, i64, T, bool, i32, bool";

/// The reductions that [`sends`] feeds.
fn sinks(ty: Scalar) -> String {
    format!(
        "reduce(sum {ty} \"s\") reduce(prod {ty} \"p\") reduce(min {ty} \"m\") reduce(sum i64 \"c\") reduce(sum {ty} \"t\")
         reduce(or bool \"any\") reduce(xor i32 \"z\") reduce(xor bool \"odd\")"
    )
}

/// What [`sends`] needs before the loop.
fn constants(ty: Scalar, shape: (u8, u8)) -> String {
    let mut text = format!(
        "%c1 = {}\n %ch = {}\n %cm = {}\n %ci = const 1 : i64\n %c7 = const 7 : i32\n",
        constant(float(1.0, ty), ty),
        constant(float(0.3, ty), ty),
        constant(float(-0.0, ty), ty)
    );
    for (name, scalar, ty) in
        [("one", "c1", ty), ("half", "ch", ty), ("minus", "cm", ty), ("ones", "ci", Scalar::I64)]
    {
        text += &splats(name, scalar, ty, shape);
    }
    text + &splats("seven", "c7", Scalar::I32, shape)
}

#[test]
fn reductions_of_a_widened_loop_keep_the_order() {
    for (number, shape) in SHAPES.into_iter().enumerate() {
        for ty in [Scalar::F64, Scalar::F32] {
            let totals = TOTALS.replace('T', &ty.to_string());
            let text = format!(
                "func @f(%x: [{ty}; 1]) -> {totals} {{
                   %n = dim 0 %x : i64
                   {}
                   %s, %p, %m, %c, %t, %any, %z, %odd = for %n {} generator lanes {} tail {} : {totals} {}
                   return %s, %p, %m, %c, %t, %any, %z, %odd
                 }}",
                constants(ty, shape),
                sinks(ty),
                shape.0,
                shape.1,
                regions("%q': i64", &sends(ty), shape),
            );
            let program = parse(&text);
            let variants = &MACHINES[if number % 2 == 0 { 2..4 } else { 1..3 }];
            for n in sizes().into_iter().filter(|n| *n < 3 || *n > 60 || n % 3 == (number as i64) % 3) {
                agree_on(variants, &program, &[Arg::Array(numbers(ty, n))]);
            }
        }
    }
}

#[test]
fn widened_chunks_give_the_same_totals_on_any_number_of_threads() {
    for (number, shape) in SHAPES.into_iter().enumerate() {
        for ty in [Scalar::F64, Scalar::F32] {
            for (cost, parallel) in [(5, "parallel"), (1000, "parallel"), (5, "vectorize")] {
                let totals = TOTALS.replace('T', &ty.to_string());
                let text = format!(
                    "func @f(%x: [{ty}; 1]) -> {totals} {{
                       %n = dim 0 %x : i64
                       %s, %p, %m, %c, %t, %any, %z, %odd = run_loop 0 %n, %x, %n : {totals}
                       return %s, %p, %m, %c, %t, %any, %z, %odd
                     }}
                     func @chunk(%x: [{ty}; 1], %n: i64) chunk 0 {{
                       {}
                       %s, %p, %m, %c, %t, %any, %z, %odd = for %n {} {parallel} lanes {} tail {} : {totals} {}
                       return
                     }}
                     loop 0 func 1 {} scalar(sum {ty} sites 2) scalar(prod {ty} sites 1) scalar(min {ty} sites 0) scalar(sum i64 sites 0)
                       scalar(sum {ty} sites 2) scalar(or bool sites 0) scalar(xor i32 sites 0) scalar(xor bool sites 0) cost {cost} line 1",
                    constants(ty, shape),
                    sinks(ty),
                    shape.0,
                    shape.1,
                    regions("%q': i64", &sends(ty), shape),
                    if parallel == "parallel" { "parallel" } else { "" },
                );
                let program = parse(&text);
                let variants = &MACHINES[if number % 2 == 0 { 2..3 } else { 3..4 }];
                for n in [0, 1, 3, 31, 32, 33, 65, 1000, 1024, 1025, 5000, 40_000] {
                    agree_on(variants, &program, &[Arg::Array(numbers(ty, n))]);
                }
            }
        }
    }
}

#[test]
fn widened_rectangles_agree() {
    // As chunks, cut anywhere, and as nests, in one and three dimensions.
    for shape in SHAPES {
        let text = format!(
            "func @f(%x: [f64; 2], %y: [f64; 2], %few: i64) -> i64, f64 {{
               %n = dim 0 %x : i64
               %m = dim 1 %x : i64
               %c1 = const 1 : i64
               %ch = const 0.25 : f64
               {}{}
               %count = mul %n, %m : i64
               %a, %b = run_loop 0 %count, %x, %y, %n, %m : i64, f64
               %c = for %few, %n, %m reduce(sum i64 \"c\") vectorize lanes {} tail {} : i64 {}
               for %m vectorize lanes {} tail {} {}
               %d = add %a, %c : i64
               return %d, %b
             }}
             func @chunk(%x: [f64; 2], %y: [f64; 2], %n: i64, %m: i64) chunk 0 {{
               %c1 = const 1 : i64
               %ch = const 0.25 : f64
               {}{}
               %a, %b = for %n, %m reduce(sum i64 \"c\") reduce(max f64 \"most\") parallel vectorize lanes {} tail {} : i64, f64 {}
               return
             }}
             loop 0 func 1 parallel scalar(sum i64 sites 0) scalar(max f64 sites 0) cost 50 line 1",
            splats("ones", "c1", Scalar::I64, shape),
            splats("half", "ch", Scalar::F64, shape),
            shape.0,
            shape.1,
            regions(
                "%k': i64, %i': i64, %j': i64",
                "%at' = iota %j' : i64x#
                 %v' = [load_masked %y, %on, %i', %at'|load %y, %i', %at'] : f64x#
                 %w' = add %v', %half' : f64x#
                 [store_masked %y, %on, %i', %at', %w'|store %y, %i', %at', %w']
                 [send_masked 0 %on, %at'|send 0 %at']",
                shape
            ),
            shape.0,
            shape.1,
            regions(
                "%l': i64",
                "%bt' = iota %l' : i64x#
                 for %n { ^(%o': i64):
                   %u' = [load_masked %y, %on, %o', %bt'|load %y, %o', %bt'] : f64x#
                   %z' = sub %half', %u' : f64x#
                   [store_masked %y, %on, %o', %bt', %z'|store %y, %o', %bt', %z']
                   yield
                 }",
                shape
            )
            .replace("%on", "%rest"),
            splats("ones", "c1", Scalar::I64, shape),
            splats("half", "ch", Scalar::F64, shape),
            shape.0,
            shape.1,
            regions(
                "%i': i64, %j': i64",
                "%at' = iota %j' : i64x#
                 %v' = [load_masked %x, %on, %i', %at'|load %x, %i', %at'] : f64x#
                 %w' = mul %v', %v' : f64x#
                 [store_masked %y, %on, %i', %at', %w'|store %y, %i', %at', %w']
                 %in' = lt %w', %half' : mask#
                 %ins' = [and %in', %on|or %in', %in'] : mask#
                 send_masked 0 %ins', %ones'
                 [send_masked 1 %on, %v'|send 1 %v']",
                shape
            ),
        );
        let program = parse(&text);
        for (n, m) in [(0, 5), (5, 0), (1, 1), (3, 31), (7, 33), (40, 70), (300, 3)] {
            let matrix = |seed: i64| {
                let ArrayData { data, .. } = numbers(Scalar::F64, n * m + seed);
                ArrayData { elem: Scalar::F64, dims: vec![n, m], data: data[seed as usize..].to_vec() }
            };
            let inputs = [Arg::Array(matrix(0)), Arg::Array(matrix(3)), int(2)];
            agree_on(&MACHINES[2..], &program, &inputs);
        }
    }
}

#[test]
fn widened_trial_programs_agree() {
    // Their functions of mathematics are spliced before loops are widened: something as long stands here for them.
    let without_math = |text: &str| parse(&text.replace(" exp ", " abs "));
    let points = |seed: i64| {
        Arg::Array(ArrayData::f64s(
            &[45],
            &(0..45).map(|k| ((k * 37 + seed) % 41) as f64 / 12.0 - 2.0).collect::<Vec<f64>>(),
        ))
    };
    let mandelbrot = parse(include_str!("ir/mandelbrot_wide.ir"));
    let counts = Arg::Array(ArrayData::i64s(&[45], &[0; 45]));
    agree_on(&MACHINES, &mandelbrot, &[points(3), points(17), counts, int(300)]);
    let matmul = parse(include_str!("ir/matmul_wide.ir"));
    let matrix = |seed: i64| {
        let ArrayData { data, .. } = numbers(Scalar::F64, 110 + seed);
        Arg::Array(ArrayData { elem: Scalar::F64, dims: vec![10, 11], data: data[seed as usize..].to_vec() })
    };
    let square = Arg::Array(ArrayData { dims: vec![11, 11], ..numbers(Scalar::F64, 121) });
    agree_on(&MACHINES, &matmul, &[matrix(1), square, matrix(2)]);
    let rbf = without_math(include_str!("ir/rbf_wide.ir"));
    agree_on(&MACHINES, &rbf, &[points(5), points(9), Arg::Scalar(kiln_lang::tree::Const::F64(0.7))]);
    let asian = without_math(include_str!("ir/asian_wide.ir"));
    for paths in [1, 7, 32, 33, 2000] {
        let number = |x| Arg::Scalar(kiln_lang::tree::Const::F64(x));
        agree_on(&MACHINES, &asian, &[int(paths), int(5), number(0.7), number(0.2), number(90.0)]);
    }
}
