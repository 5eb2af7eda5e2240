//! Writes the IR as text.
//!
//! In: a program, which need not be valid. Out: text that `parse` reads back to the same program, up to the numbers of values, sites and regions;
//! the grammar stands in README.md. Holds: values are numbered in the order of the text, so equal programs print equally.

use super::{CheckKind, CheckSite, ForData, Func, FuncId, Op, OpCode, OpId, PrintPart, Program};
use super::{RegionId, Terminator, Type, Value, scalar_of};
use kiln_abi::ReduceOp;
use kiln_lang::span::{SourceId, Span};
use kiln_lang::tree::Const;
use kiln_lang::types::Layout;
use std::collections::HashMap;
use std::fmt::{self, Write};

/// The program as text, without the spans of ops.
pub fn print(program: &Program) -> String {
    print_program(program, Spans::Omit)
}

/// The program as text, with the spans of ops (`loc 12..14`).
pub fn print_with_spans(program: &Program) -> String {
    print_program(program, Spans::Show)
}

/// One function of a program as text, without the spans of ops.
pub fn print_func(program: &Program, func: FuncId) -> String {
    let mut printer = Printer::new(program, func, Spans::Omit);
    printer.func(func);
    printer.out
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print(self))
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Scalar(scalar) => write!(f, "{scalar}"),
            Type::Lanes(scalar, lanes) => write!(f, "{scalar}x{lanes}"),
            Type::Mask(lanes) => write!(f, "mask{lanes}"),
            Type::Array { elem, rank, layout: Layout::Contiguous } => write!(f, "[{elem}; {rank}]"),
            Type::Array { elem, rank, layout: Layout::Strided } => write!(f, "[{elem}; {rank} strided]"),
        }
    }
}

/// The operator of a reduction in text.
pub fn reduce_name(op: ReduceOp) -> &'static str {
    match op {
        ReduceOp::Sum => "sum",
        ReduceOp::Prod => "prod",
        ReduceOp::Min => "min",
        ReduceOp::Max => "max",
        ReduceOp::And => "and",
        ReduceOp::Or => "or",
        ReduceOp::Xor => "xor",
    }
}

/// One op as `verify` quotes it: its line, without regions.
pub(super) fn quote_op(program: &Program, func: FuncId, op: OpId) -> String {
    let mut printer = Printer::new(program, func, Spans::Omit);
    printer.op_line(&program.funcs[func.0 as usize].ops[op.index()]);
    printer.out
}

/// One terminator as `verify` quotes it.
pub(super) fn quote_end(program: &Program, func: FuncId, end: &Terminator) -> String {
    let mut printer = Printer::new(program, func, Spans::Omit);
    printer.terminator(end);
    printer.out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spans {
    Show,
    Omit,
}

fn print_program(program: &Program, spans: Spans) -> String {
    let mut out = String::new();
    for id in 0..program.funcs.len() as u32 {
        if id > 0 {
            out.push('\n');
        }
        let mut printer = Printer::new(program, FuncId(id), spans);
        printer.func(FuncId(id));
        out.push_str(&printer.out);
    }
    for (number, info) in program.loops.iter().enumerate() {
        let _ = write!(out, "\nloop {number} func {}", info.func);
        if info.parallel {
            out.push_str(" parallel");
        }
        for scalar in &info.scalars {
            let (op, ty) = (reduce_name(scalar.op), scalar_of(scalar.ty));
            let _ = write!(out, " scalar({op} {ty} sites {})", scalar.sites);
        }
        for array in &info.arrays {
            let (op, ty) = (reduce_name(array.op), scalar_of(array.ty));
            let _ = write!(out, " array({op} {ty} slot {} rank {})", array.env_slot, array.rank);
        }
        let _ = write!(out, " cost {} line {}", info.cost, info.line);
    }
    if !program.loops.is_empty() {
        out.push('\n');
    }
    out
}

struct Printer<'p> {
    func: &'p Func,
    /// Text of each value; empty for those that the text does not define.
    names: Vec<String>,
    /// Text of each function.
    funcs: Vec<String>,
    spans: Spans,
    /// Regions that stand in `out`: a broken function may hold one twice.
    printed: Vec<bool>,
    indent: usize,
    out: String,
}

impl<'p> Printer<'p> {
    fn new(program: &'p Program, func: FuncId, spans: Spans) -> Printer<'p> {
        let funcs = func_names(program);
        let func = &program.funcs[func.0 as usize];
        let names = value_names(func);
        let printed = vec![false; func.regions.len()];
        Printer { func, names, funcs, spans, printed, indent: 0, out: String::new() }
    }

    fn func(&mut self, id: FuncId) {
        let func = self.func;
        let _ = write!(self.out, "func {}", self.funcs[id.0 as usize]);
        self.params(func.params());
        if !func.results.is_empty() {
            self.out.push_str(" -> ");
            self.types(&func.results);
        }
        if let Some(chunk) = func.chunk_of {
            let _ = write!(self.out, " chunk {chunk}");
        }
        self.out.push_str(" {\n");
        self.block(func.body);
        self.out.push_str("}\n");
    }

    fn params(&mut self, params: &[Value]) {
        self.out.push('(');
        for (position, &param) in params.iter().enumerate() {
            if position > 0 {
                self.out.push_str(", ");
            }
            self.value(param);
            let ty = self.func.values.get(param.index()).map(|data| data.ty);
            let _ = write!(self.out, ": {}", ty.unwrap_or(Type::BOOL));
        }
        self.out.push(')');
    }

    /// Ops and end of a region, one level deeper.
    fn block(&mut self, region: RegionId) {
        let func = self.func;
        let Some(data) = func.regions.get(region.index()) else { return };
        if std::mem::replace(&mut self.printed[region.index()], true) {
            return;
        }
        self.indent += 1;
        for &op in &data.ops {
            let Some(op) = func.ops.get(op.index()) else { continue };
            self.start_line();
            self.op_line(op);
            self.op_regions(op);
            self.out.push('\n');
        }
        self.start_line();
        self.terminator(&data.end);
        self.out.push('\n');
        self.indent -= 1;
    }

    fn start_line(&mut self) {
        self.out.extend(std::iter::repeat_n("  ", self.indent));
    }

    fn op_line(&mut self, op: &Op) {
        if !op.results.is_empty() {
            self.values(&op.results);
            self.out.push_str(" = ");
        }
        self.out.push_str(op.code.name());
        if op.fast {
            self.out.push_str(" fast");
        }
        self.attributes_and_operands(op);
        if !op.results.is_empty() {
            self.out.push_str(" : ");
            let types: Vec<Type> = op.results.iter().map(|&value| self.func.ty(value)).collect();
            self.types(&types);
        }
        if self.spans == Spans::Show {
            let _ = write!(self.out, " loc {}", SpanText(op.span));
        }
    }

    fn attributes_and_operands(&mut self, op: &Op) {
        let args = &op.args[..];
        match &op.code {
            OpCode::Const(constant) => {
                let _ = write!(self.out, " {}", ConstText(*constant));
                self.operands(args);
            }
            OpCode::Draw { kind: number, .. }
            | OpCode::Extract { lane: number }
            | OpCode::Dim { axis: number } => {
                let _ = write!(self.out, " {number}");
                self.operands(args);
            }
            OpCode::Send { reduction: number }
            | OpCode::SendFma { reduction: number }
            | OpCode::SendMasked { reduction: number }
            | OpCode::RunLoop { number } => {
                let _ = write!(self.out, " {number}");
                self.operands(args);
            }
            OpCode::Update(reduce) | OpCode::UpdateMasked(reduce) => {
                let _ = write!(self.out, " {}", reduce_name(*reduce));
                self.operands(args);
            }
            OpCode::Check(site) => match self.func.sites.get(site.index()) {
                Some(site) => self.check(site, args),
                None => {
                    let _ = write!(self.out, " missing site {}", site.0);
                }
            },
            OpCode::For(data) => self.for_header(data, args),
            OpCode::Call(callee) => {
                match self.funcs.get(callee.0 as usize) {
                    Some(name) => {
                        let _ = write!(self.out, " {name}");
                    }
                    None => {
                        let _ = write!(self.out, " @{}", callee.0);
                    }
                }
                self.operands(args);
            }
            OpCode::Print(site) => {
                let mut values = args.iter();
                let parts = self.func.prints.get(site.index()).map_or(&[][..], |site| &site.parts);
                for (position, part) in parts.iter().enumerate() {
                    self.out.push_str(if position > 0 { ", " } else { " " });
                    match part {
                        PrintPart::Text(text) => self.string(text),
                        PrintPart::Value => match values.next() {
                            Some(&value) => self.value(value),
                            None => self.out.push_str("%!missing"),
                        },
                    }
                }
                for &value in values {
                    self.out.push_str(", extra ");
                    self.value(value);
                }
            }
            OpCode::Seed
            | OpCode::Add
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
            | OpCode::Convert
            | OpCode::Bitcast
            | OpCode::Math(_)
            | OpCode::Splat
            | OpCode::Iota
            | OpCode::Any
            | OpCode::All
            | OpCode::Load
            | OpCode::Store
            | OpCode::LoadMasked
            | OpCode::StoreMasked
            | OpCode::UpdateFma
            | OpCode::UpdateFmaMasked
            | OpCode::Alloc
            | OpCode::AllocUninit
            | OpCode::Free
            | OpCode::If
            | OpCode::While => self.operands(args),
        }
    }

    fn check(&mut self, site: &CheckSite, args: &[Value]) {
        self.out.push_str(match site.kind {
            CheckKind::Bounds { .. } => " bounds",
            CheckKind::NonZero { .. } => " nonzero",
            CheckKind::Exponent => " exponent",
            CheckKind::Step => " step",
            CheckKind::DrawRange => " draw_range",
            CheckKind::NotEmpty { .. } => " not_empty",
            CheckKind::Size => " size",
            CheckKind::SameSize { .. } => " same_size",
            CheckKind::Entry { .. } => " entry",
            CheckKind::Domain { .. } => " domain",
            CheckKind::Unique { .. } => " unique",
        });
        self.operands(args);
        match &site.kind {
            CheckKind::Bounds { array, axis } => {
                let _ = write!(self.out, " axis {axis}");
                self.string_field("array", array);
            }
            CheckKind::NonZero { op } => self.string_field("op", op),
            CheckKind::NotEmpty { of } => self.string_field("of", of),
            CheckKind::SameSize { found, wanted } => {
                self.string_field("found", found);
                self.string_field("wanted", wanted);
            }
            CheckKind::Domain { of, needs, show } => {
                self.string_field("of", of);
                self.string_field("needs", needs);
                if let Some(scalar) = show {
                    let _ = write!(self.out, " show {scalar}");
                }
            }
            CheckKind::Entry { condition } => self.string_field("condition", condition),
            CheckKind::Unique { array } => self.string_field("array", array),
            CheckKind::Exponent | CheckKind::Step | CheckKind::DrawRange | CheckKind::Size => {}
        }
        self.string_field("func", &site.func);
        if !site.indices.is_empty() {
            self.out.push_str(" indices(");
            for (position, index) in site.indices.iter().enumerate() {
                if position > 0 {
                    self.out.push_str(", ");
                }
                self.string(index);
            }
            self.out.push(')');
        }
        let _ = write!(self.out, " at {}", SpanText(site.span));
    }

    fn for_header(&mut self, data: &ForData, args: &[Value]) {
        let (extents, carried) = args.split_at(args.len().min(data.rank as usize));
        self.operands(extents);
        if !carried.is_empty() {
            self.out.push_str(" carry(");
            self.values(carried);
            self.out.push(')');
        }
        for reduction in &data.reductions {
            let _ = write!(self.out, " reduce({} {} ", reduce_name(reduction.op), reduction.ty);
            self.string(&reduction.name);
            self.out.push(')');
        }
        for &(array, op) in &data.arrays {
            let _ = write!(self.out, " array({} ", reduce_name(op));
            self.value(array);
            self.out.push(')');
        }
        if !data.unique.is_empty() {
            self.out.push_str(" unique(");
            self.values(&data.unique);
            self.out.push(')');
        }
        for (is_set, word) in [
            (data.parallel, " parallel"),
            (data.vectorize, " vectorize"),
            (data.generator, " generator"),
            (data.cold, " cold"),
        ] {
            if is_set {
                self.out.push_str(word);
            }
        }
        if data.lanes != 1 {
            let _ = write!(self.out, " lanes {} tail {}", data.lanes, data.tail);
        }
        if self.spans == Spans::Show {
            let _ = write!(self.out, " header {}", SpanText(data.span));
        }
    }

    fn op_regions(&mut self, op: &Op) {
        let between = match op.code {
            OpCode::While => " do",
            OpCode::For(_) => " tail",
            _ => " else",
        };
        for (position, &region) in op.regions.iter().enumerate() {
            if position > 0 {
                self.out.push_str(between);
            }
            self.out.push_str(" {");
            let func = self.func;
            let params = func.regions.get(region.index()).map_or(&[][..], |data| &data.params);
            if !params.is_empty() {
                self.out.push_str(" ^");
                self.params(params);
                self.out.push(':');
            }
            self.out.push('\n');
            self.block(region);
            self.start_line();
            self.out.push('}');
        }
    }

    fn terminator(&mut self, end: &Terminator) {
        match end {
            Terminator::Open => self.out.push_str("open"),
            Terminator::Yield(_) => self.out.push_str("yield"),
            Terminator::Break(depth, _) => {
                let _ = write!(self.out, "break {depth}");
            }
            Terminator::Continue(depth, _) => {
                let _ = write!(self.out, "continue {depth}");
            }
            Terminator::Return(_) => self.out.push_str("return"),
        }
        self.operands(end.args());
    }

    fn operands(&mut self, args: &[Value]) {
        if !args.is_empty() {
            self.out.push(' ');
            self.values(args);
        }
    }

    fn values(&mut self, values: &[Value]) {
        for (position, &value) in values.iter().enumerate() {
            if position > 0 {
                self.out.push_str(", ");
            }
            self.value(value);
        }
    }

    fn value(&mut self, value: Value) {
        match self.names.get(value.index()) {
            Some(name) if !name.is_empty() => self.out.push_str(name),
            _ => {
                let _ = write!(self.out, "%!{}", value.0);
            }
        }
    }

    fn types(&mut self, types: &[Type]) {
        for (position, ty) in types.iter().enumerate() {
            let _ = write!(self.out, "{}{ty}", if position > 0 { ", " } else { "" });
        }
    }

    fn string_field(&mut self, name: &str, text: &str) {
        let _ = write!(self.out, " {name} ");
        self.string(text);
    }

    fn string(&mut self, text: &str) {
        self.out.push_str(&quoted(text));
    }
}

/// Text of every value, by the order of definitions in the text: `%n` for a name that is alone, `%n.7` for one of several, `%7` without a name.
fn value_names(func: &Func) -> Vec<String> {
    let mut order = Vec::new();
    let mut seen = vec![false; func.values.len()];
    let mut define = |values: &[Value], order: &mut Vec<Value>| {
        for &value in values {
            if seen.get(value.index()) == Some(&false) {
                seen[value.index()] = true;
                order.push(value);
            }
        }
    };
    define(func.params(), &mut order);
    for_each_op(func, func.body, &mut vec![false; func.regions.len()], &mut |op| {
        define(&op.results, &mut order);
        for region in &op.regions {
            if let Some(region) = func.regions.get(region.index()) {
                define(&region.params, &mut order);
            }
        }
    });
    let mut uses: HashMap<&str, u32> = HashMap::new();
    for &value in &order {
        if let Some(name) = &func.values[value.index()].name {
            *uses.entry(name).or_default() += 1;
        }
    }
    let mut names = vec![String::new(); func.values.len()];
    for (number, &value) in order.iter().enumerate() {
        names[value.index()] = match &func.values[value.index()].name {
            None => format!("%{number}"),
            Some(name) if uses[&**name] == 1 => format!("%{}", word_or_quoted(name)),
            Some(name) => format!("%{}.{number}", word_or_quoted(name)),
        };
    }
    names
}

/// Every op below `region`, in the order of the text; no region twice, even if the function is broken.
fn for_each_op(func: &Func, region: RegionId, seen: &mut [bool], visit: &mut impl FnMut(&Op)) {
    if seen.get(region.index()) != Some(&false) {
        return;
    }
    seen[region.index()] = true;
    for op in func.region(region).ops.iter().filter_map(|op| func.ops.get(op.index())) {
        visit(op);
        for &inner in &op.regions {
            for_each_op(func, inner, seen, visit);
        }
    }
}

/// Text of every function: `@f`, or `@f.3` when several have the name.
fn func_names(program: &Program) -> Vec<String> {
    let mut uses: HashMap<&str, u32> = HashMap::new();
    for func in &program.funcs {
        *uses.entry(&func.name).or_default() += 1;
    }
    let name = |(number, func): (usize, &Func)| match uses[&*func.name] {
        1 => format!("@{}", word_or_quoted(&func.name)),
        _ => format!("@{}.{number}", word_or_quoted(&func.name)),
    };
    program.funcs.iter().enumerate().map(name).collect()
}

fn word_or_quoted(text: &str) -> String {
    let mut chars = text.chars();
    let is_word = chars.next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && chars.all(|other| other.is_alphanumeric() || other == '_');
    if is_word { text.to_string() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            other if other.is_control() => {
                let _ = write!(out, "\\u{{{:x}}}", other as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

struct SpanText(Span);

impl fmt::Display for SpanText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.source {
            SourceId(0) => {}
            SourceId::PRELUDE => f.write_str("prelude:")?,
            SourceId(other) => write!(f, "{other}:")?,
        }
        write!(f, "{}..{}", self.0.start, self.0.end)
    }
}

struct ConstText(Const);

impl fmt::Display for ConstText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Const::Bool(value) => write!(f, "{value}"),
            Const::I32(value) => write!(f, "{value}"),
            Const::I64(value) => write!(f, "{value}"),
            Const::U32(value) => write!(f, "{value}"),
            Const::U64(value) => write!(f, "{value}"),
            Const::F32(value) if value.is_nan() && value.to_bits() != 0x7fc0_0000 => {
                write!(f, "nan({:#x})", value.to_bits())
            }
            Const::F64(value) if value.is_nan() && value.to_bits() != 0x7ff8_0000_0000_0000 => {
                write!(f, "nan({:#x})", value.to_bits())
            }
            Const::F32(value) if value.is_nan() => f.write_str("nan"),
            Const::F64(value) if value.is_nan() => f.write_str("nan"),
            // Debug is the shortest text that reads back to the same bits.
            Const::F32(value) => write!(f, "{value:?}"),
            Const::F64(value) => write!(f, "{value:?}"),
        }
    }
}
