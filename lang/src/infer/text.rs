//! Writes a tree as text, one statement per line: for tests, and for looking at what inference did.
//!
//! In: a [`Program`]. Out: text. Holds: every conversion and every type that was inferred can be seen.

use crate::spell;
use crate::tree::*;

/// The program as text.
pub fn tree_text(program: &Program) -> String {
    let mut out = String::new();
    for (index, func) in program.funcs.iter().enumerate() {
        let mut text = Text { func, program, out: String::new(), depth: 0 };
        text.func(index);
        out.push_str(&text.out);
    }
    out
}

struct Text<'a> {
    func: &'a Func,
    program: &'a Program,
    out: String,
    depth: usize,
}

impl Text<'_> {
    fn line(&mut self, text: &str) {
        self.out.push_str(&"  ".repeat(self.depth));
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn name(&self, local: LocalId) -> String {
        self.func.locals[local.0 as usize].name.clone()
    }

    fn func(&mut self, index: usize) {
        let params: Vec<String> = self
            .func
            .params
            .iter()
            .map(|param| {
                let local = &self.func.locals[param.local.0 as usize];
                let dims = param.dims.as_ref().map_or(String::new(), |dims| {
                    let dims: Vec<String> = dims.iter().map(|dim| self.dim(dim)).collect();
                    format!(" {{{}}}", dims.join(", "))
                });
                format!("{}: {}{}{dims}", local.name, if param.is_mut { "mut " } else { "" }, local.ty)
            })
            .collect();
        let stream = match self.func.stream {
            StreamMode::None => "",
            StreamMode::Root => " draws(root)",
            StreamMode::Inner => " draws(inner)",
        };
        let fast = if self.func.fast { " fast" } else { "" };
        self.line(&format!(
            "fn {}#{index}({}) -> {}{stream}{fast}",
            self.func.name,
            params.join(", "),
            self.func.result
        ));
        self.depth += 1;
        self.stmts(&self.func.body);
        self.depth -= 1;
    }

    fn dim(&self, dim: &Dim) -> String {
        match dim {
            Dim::Any => "_".into(),
            Dim::Bind(local) => format!("{}:=", self.name(*local)),
            Dim::Equal(local, 0) => self.name(*local),
            Dim::Equal(local, offset) => format!("{}{offset:+}", self.name(*local)),
            Dim::Literal(size) => size.to_string(),
        }
    }

    fn stmts(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            self.stmt(stmt);
        }
    }

    fn nested(&mut self, header: &str, stmts: &[Stmt]) {
        self.line(header);
        self.depth += 1;
        self.stmts(stmts);
        self.depth -= 1;
    }

    fn place(&self, place: &Place) -> String {
        let indices: Vec<String> = place.indices.iter().map(|index| self.expr(index)).collect();
        match indices.is_empty() {
            true => self.name(place.local),
            false => format!("{}[{}]", self.name(place.local), indices.join(", ")),
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Let { local, value } => {
                let declared = &self.func.locals[local.0 as usize];
                let word = if declared.kind == LocalKind::Var { "var" } else { "let" };
                let text = format!("{word} {}: {} = {}", declared.name, declared.ty, self.expr(value));
                self.line(&text);
            }
            StmtKind::Set { place, value } => {
                let text = format!("{} = {}", self.place(place), self.expr(value));
                self.line(&text);
            }
            StmtKind::Update { place, op, value, spelled_out } => {
                let op = match op {
                    UpdateOp::Binary(op) => spell::binary(*op).to_string(),
                    UpdateOp::Min => "min".into(),
                    UpdateOp::Max => "max".into(),
                };
                let value = match value {
                    UpdateValue::Plain(value) => self.expr(value),
                    UpdateValue::Product(left, right) => {
                        format!("product({}, {})", self.expr(left), self.expr(right))
                    }
                };
                let mark = if *spelled_out { "  # spelled out" } else { "" };
                let text = format!("{} {op}= {value}{mark}", self.place(place));
                self.line(&text);
            }
            StmtKind::SetMany { places, values } => {
                let places: Vec<String> = places.iter().map(|place| self.place(place)).collect();
                let text = format!("{} = {}", places.join(", "), self.list(values));
                self.line(&text);
            }
            StmtKind::Swap { targets, sources } => {
                let names = |locals: &[LocalId]| {
                    locals.iter().map(|local| self.name(*local)).collect::<Vec<_>>().join(", ")
                };
                let text = format!("swap {} = {}", names(targets), names(sources));
                self.line(&text);
            }
            StmtKind::If { cond, then, otherwise } => {
                let header = format!("if {}", self.expr(cond));
                self.nested(&header, then);
                if !otherwise.is_empty() {
                    self.nested("else", otherwise);
                }
            }
            StmtKind::For(node) => {
                let marks = marks(&node.annotations, node.draws);
                let header = format!("{marks}for {}", self.indices(&node.indices));
                self.nested(&header, &node.body);
            }
            StmtKind::While { cond, body } => {
                let header = format!("while {}", self.expr(cond));
                self.nested(&header, body);
            }
            StmtKind::Break => self.line("break"),
            StmtKind::Continue => self.line("continue"),
            StmtKind::Return(None) => self.line("return"),
            StmtKind::Return(Some(value)) => {
                let text = format!("return {}", self.expr(value));
                self.line(&text);
            }
            StmtKind::Expr(value) => {
                let text = self.expr(value);
                self.line(&text);
            }
            StmtKind::Print(parts) => {
                let parts: Vec<String> = parts
                    .iter()
                    .map(|part| match part {
                        PrintPart::Text(text) => format!("{text:?}"),
                        PrintPart::Value(value) => self.expr(value),
                    })
                    .collect();
                let text = format!("print {}", parts.join(" "));
                self.line(&text);
            }
            StmtKind::Block(body) => self.nested("block", body),
            StmtKind::Fast(body) => self.nested("fast", body),
        }
    }

    fn indices(&self, indices: &[Index]) -> String {
        let shown: Vec<String> = indices
            .iter()
            .map(|index| {
                let dots = if index.inclusive { "..=" } else { ".." };
                let step =
                    index.step.as_ref().map_or(String::new(), |step| format!(" step {}", self.expr(step)));
                format!(
                    "{} in {}{dots}{}{step}",
                    self.name(index.local),
                    self.expr(&index.lo),
                    self.expr(&index.hi)
                )
            })
            .collect();
        shown.join(", ")
    }

    fn list(&self, exprs: &[Expr]) -> String {
        exprs.iter().map(|expr| self.expr(expr)).collect::<Vec<_>>().join(", ")
    }

    fn block(&self, block: &BlockExpr) -> String {
        let mut inner = Text { func: self.func, program: self.program, out: String::new(), depth: 0 };
        inner.stmts(&block.stmts);
        let mut parts: Vec<String> = inner.out.lines().map(|line| line.trim().to_string()).collect();
        parts.extend(block.value.as_ref().map(|value| self.expr(value)));
        format!("{{ {} }}", parts.join("; "))
    }

    fn expr(&self, expr: &Expr) -> String {
        use ExprKind::*;
        match &expr.kind {
            Const(value) => constant(*value),
            Local(local) => self.name(*local),
            Unary(op, operand) => {
                let op = match op {
                    UnaryOp::Neg => "-",
                    UnaryOp::Not => "not ",
                    UnaryOp::BitNot => "~",
                };
                format!("{op}{}", self.expr(operand))
            }
            Binary(op, left, right) => {
                format!("({} {} {})", self.expr(left), spell::binary(*op), self.expr(right))
            }
            PowLiteral(base, power) => format!("({} ** #{power})", self.expr(base)),
            Pow(base, power) => format!("({} ** {})", self.expr(base), self.expr(power)),
            And(left, right) => format!("({} and {})", self.expr(left), self.expr(right)),
            Or(left, right) => format!("({} or {})", self.expr(left), self.expr(right)),
            Compare { operands, ops, types } => {
                let mut out = format!("({}", self.expr(&operands[0]));
                for ((op, ty), operand) in ops.iter().zip(types).zip(&operands[1..]) {
                    out.push_str(&format!(" {}:{ty} {}", spell::compare(*op), self.expr(operand)));
                }
                out.push(')');
                out
            }
            Convert(operand) => format!("{}<-{}({})", expr.ty, operand.ty, self.expr(operand)),
            Math(function, args) => {
                format!("{}({})", format!("{function:?}").to_lowercase(), self.list(args))
            }
            If(cond, then, otherwise) => {
                format!("if {} {} else {}", self.expr(cond), self.block(then), self.block(otherwise))
            }
            Block(inner) => self.block(inner),
            Call(callee, args) => {
                format!("{}#{}({})", self.program.funcs[callee.0 as usize].name, callee.0, self.list(args))
            }
            Index(base, indices) => format!("{}[{}]", self.expr(base), self.list(indices)),
            Dim(base, axis) => format!("dim({}, {axis})", self.expr(base)),
            Tuple(items) => format!("({})", self.list(items)),
            TupleGet(base, index) => format!("{}.{index}", self.expr(base)),
            Alloc(alloc) => {
                let text = match alloc {
                    crate::tree::Alloc::Zeros(sizes) => format!("zeros({})", self.list(sizes)),
                    crate::tree::Alloc::Ones(sizes) => format!("ones({})", self.list(sizes)),
                    crate::tree::Alloc::Full(value, sizes) => {
                        format!("full({}, {})", self.expr(value), self.list(sizes))
                    }
                    crate::tree::Alloc::Arange(lo, hi, step) => {
                        format!("arange({}, {}, {})", self.expr(lo), self.expr(hi), self.expr(step))
                    }
                    crate::tree::Alloc::Linspace(lo, hi, count) => {
                        format!("linspace({}, {}, {})", self.expr(lo), self.expr(hi), self.expr(count))
                    }
                };
                format!("{text}:{}", expr.ty)
            }
            Copy(base) => format!("copy({})", self.expr(base)),
            Reduce(reduce) => {
                let term = match &reduce.product {
                    Some((left, right)) => format!("product({}, {})", self.expr(left), self.expr(right)),
                    None => self.expr(&reduce.term),
                };
                let filter = reduce
                    .filter
                    .as_ref()
                    .map_or(String::new(), |filter| format!(" if {}", self.expr(filter)));
                let marks = marks(&reduce.annotations, reduce.draws);
                let kind = format!("{:?}", reduce.kind).to_lowercase();
                format!("{kind}:{}({term} {marks}for {}{filter})", expr.ty, self.indices(&reduce.indices))
            }
            Draw(variate, stream) => {
                format!(
                    "{}:{}({})",
                    variate.name(),
                    expr.ty,
                    stream.map_or(String::new(), |local| self.name(local))
                )
            }
            RandInt { stream, lo, hi } => {
                let stream = stream.map_or(String::new(), |local| format!("{}, ", self.name(local)));
                format!("rand_int({stream}{}, {})", self.expr(lo), self.expr(hi))
            }
            CallOn { stream, callee, args } => {
                let name = &self.program.funcs[callee.0 as usize].name;
                format!("{name}#{}(from {}, {})", callee.0, self.name(*stream), self.list(args))
            }
            Require(value, requirement) => format!("require({}, {:?})", self.expr(value), requirement.needs),
            Rng(keys) => format!("rng({})", self.list(keys)),
        }
    }
}

fn marks(annotations: &LoopAnnotations, draws: bool) -> String {
    let mut out = String::new();
    for (name, set) in
        [("parallel", annotations.parallel), ("vectorize", annotations.vectorize), ("fast", annotations.fast)]
    {
        if set {
            out.push_str(&format!("@{name} "));
        }
    }
    if let Some(generator) = annotations.generator {
        out.push_str(&format!("@rng({}) ", generator.name()));
    }
    if !annotations.unique.is_empty() {
        out.push_str("@unique ");
    }
    if draws {
        out.push_str("draws ");
    }
    out
}

fn constant(value: Const) -> String {
    match value {
        Const::Bool(value) => value.to_string(),
        Const::I32(value) => format!("{value}i32"),
        Const::I64(value) => value.to_string(),
        Const::U32(value) => format!("{value}u32"),
        Const::U64(value) => format!("{value}u64"),
        Const::F32(value) => format!("{value:?}f32"),
        Const::F64(value) => format!("{value:?}"),
    }
}
