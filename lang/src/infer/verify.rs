//! Checks that a tree keeps what [`crate::tree`] promises.
//!
//! In: a [`Program`]. Out: what is broken, as text. Holds: used by tests only; every expression and statement is looked at.

use super::ty::same_but_layout;
use crate::tree::*;
use crate::types::{Scalar, Type};

/// Everything that is broken.
pub(super) fn broken(program: &Program) -> Vec<String> {
    let mut found = Vec::new();
    for func in &program.funcs {
        let mut verify = Verify { program, func, found: Vec::new() };
        verify.stmts(&func.body);
        if func.result != Type::Unit && !super::walk::diverges(&func.body) {
            verify.found.push("the end is reached without a value".into());
        }
        found.extend(verify.found.into_iter().map(|text| format!("{}: {text}", func.name)));
    }
    found
}

struct Verify<'a> {
    program: &'a Program,
    func: &'a Func,
    found: Vec<String>,
}

impl Verify<'_> {
    fn same(&mut self, what: &str, left: &Type, right: &Type) {
        if !same_but_layout(left, right) {
            self.found.push(format!("{what}: {left} and {right}"));
        }
    }

    fn local(&self, local: LocalId) -> Type {
        self.func.locals[local.0 as usize].ty.clone()
    }

    fn stmts(&mut self, stmts: &[Stmt]) {
        stmts.iter().for_each(|stmt| self.stmt(stmt));
    }

    fn place(&mut self, place: &Place) {
        let ty = self.local(place.local);
        place.indices.iter().for_each(|index| self.typed(index, Scalar::I64));
        match &ty {
            Type::Array { elem, rank, .. } if usize::from(*rank) == place.indices.len() => {
                self.same("element", &Type::Scalar(*elem), &place.ty);
            }
            _ if place.indices.is_empty() => self.same("place", &ty, &place.ty),
            _ => self.found.push(format!("place with {} indices in {ty}", place.indices.len())),
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Let { local, value } => {
                self.expr(value);
                let ty = self.local(*local);
                self.same("let", &ty, &value.ty);
            }
            StmtKind::Set { place, value } => {
                self.place(place);
                self.expr(value);
                self.same("set", &place.ty, &value.ty);
            }
            StmtKind::Update { place, op, value, .. } => {
                self.place(place);
                if let UpdateOp::Binary(
                    BinaryOp::And | BinaryOp::Or | BinaryOp::Sub | BinaryOp::MatMul | BinaryOp::Pow,
                ) = op
                {
                    self.found.push(format!("update by {op:?}"));
                }
                match value {
                    UpdateValue::Plain(value) => {
                        self.expr(value);
                        self.same("update", &place.ty, &value.ty);
                    }
                    UpdateValue::Product(left, right) => {
                        for factor in [left, right] {
                            self.expr(factor);
                            self.same("factor", &place.ty, &factor.ty);
                        }
                    }
                }
            }
            StmtKind::SetMany { places, values } => {
                for (place, value) in places.iter().zip(values) {
                    self.place(place);
                    self.expr(value);
                    self.same("set many", &place.ty, &value.ty);
                }
            }
            StmtKind::Swap { targets, sources } => {
                for (target, source) in targets.iter().zip(sources) {
                    let (left, right) = (self.local(*target), self.local(*source));
                    self.same("swap", &left, &right);
                }
            }
            StmtKind::If { cond, then, otherwise } => {
                self.typed(cond, Scalar::Bool);
                self.stmts(then);
                self.stmts(otherwise);
            }
            StmtKind::For(node) => {
                self.indices(&node.indices);
                self.stmts(&node.body);
            }
            StmtKind::While { cond, body } => {
                self.typed(cond, Scalar::Bool);
                self.stmts(body);
            }
            StmtKind::Return(value) => {
                let ty = value.as_ref().map_or(Type::Unit, |value| value.ty.clone());
                value.iter().for_each(|value| self.expr(value));
                let result = self.func.result.clone();
                self.same("return", &result, &ty);
            }
            StmtKind::Expr(value) => self.expr(value),
            StmtKind::Print(parts) => {
                for part in parts {
                    if let PrintPart::Value(value) = part {
                        self.expr(value);
                    }
                }
            }
            StmtKind::Block(body) | StmtKind::Fast(body) => self.stmts(body),
            StmtKind::Break | StmtKind::Continue => {}
        }
    }

    fn indices(&mut self, indices: &[Index]) {
        for index in indices {
            self.typed(&index.lo, Scalar::I64);
            self.typed(&index.hi, Scalar::I64);
            index.step.iter().for_each(|step| self.typed(step, Scalar::I64));
        }
    }

    fn typed(&mut self, expr: &Expr, scalar: Scalar) {
        self.expr(expr);
        self.same("wanted", &Type::Scalar(scalar), &expr.ty);
    }

    fn block(&mut self, block: &BlockExpr, ty: &Type) {
        self.stmts(&block.stmts);
        if let Some(value) = &block.value {
            self.expr(value);
            self.same("value of a block", ty, &value.ty);
        }
    }

    fn expr(&mut self, expr: &Expr) {
        use ExprKind::*;
        let ty = &expr.ty;
        let scalar = ty.as_scalar();
        match &expr.kind {
            Const(value) => {
                let own = match value {
                    crate::tree::Const::Bool(_) => Scalar::Bool,
                    crate::tree::Const::I32(_) => Scalar::I32,
                    crate::tree::Const::I64(_) => Scalar::I64,
                    crate::tree::Const::U32(_) => Scalar::U32,
                    crate::tree::Const::U64(_) => Scalar::U64,
                    crate::tree::Const::F32(_) => Scalar::F32,
                    crate::tree::Const::F64(_) => Scalar::F64,
                };
                self.same("constant", ty, &Type::Scalar(own));
            }
            Local(local) => {
                let own = self.local(*local);
                self.same("local", ty, &own);
            }
            Unary(_, operand) => {
                self.expr(operand);
                self.same("unary", ty, &operand.ty);
            }
            Binary(op, left, right) => {
                self.expr(left);
                self.expr(right);
                self.same("left operand", ty, &left.ty);
                self.same("right operand", ty, &right.ty);
                if *op == BinaryOp::Div && !scalar.is_some_and(Scalar::is_float) {
                    self.found.push(format!("division of {ty}"));
                }
            }
            PowLiteral(base, _) => {
                self.expr(base);
                self.same("base", ty, &base.ty);
            }
            Pow(base, exponent) => {
                self.expr(base);
                self.expr(exponent);
                self.same("base", ty, &base.ty);
                let wanted =
                    if scalar.is_some_and(Scalar::is_float) { ty.clone() } else { Type::Scalar(Scalar::I64) };
                self.same("exponent", &wanted, &exponent.ty);
            }
            And(left, right) | Or(left, right) => {
                self.typed(left, Scalar::Bool);
                self.typed(right, Scalar::Bool);
            }
            Compare { operands, ops, types } => {
                operands.iter().for_each(|operand| self.expr(operand));
                if ops.len() + 1 != operands.len() || types.len() != ops.len() {
                    self.found.push("comparison".into());
                }
                if operands.iter().any(|operand| operand.ty.as_scalar().is_none()) {
                    self.found.push("comparison of no scalars".into());
                }
            }
            Convert(operand) => {
                self.expr(operand);
                if operand.ty.as_scalar().is_none() || scalar.is_none() || operand.ty == *ty {
                    self.found.push(format!("conversion from {} to {ty}", operand.ty));
                }
            }
            Math(function, args) => {
                args.iter().for_each(|arg| self.expr(arg));
                let differs = match function {
                    MathFn::IsNan | MathFn::IsInf | MathFn::IsFinite | MathFn::Bits | MathFn::FromBits => {
                        false
                    }
                    MathFn::Prelude(function) => {
                        let float = args.first().and_then(|arg| arg.ty.as_scalar()).unwrap_or(Scalar::Bool);
                        let (params, result) = function.signature(float);
                        let params: Vec<Type> = params.into_iter().map(Type::Scalar).collect();
                        let same = args.iter().map(|arg| &arg.ty).eq(&params);
                        !float.is_float() || !same || *ty != Type::Scalar(result)
                    }
                    _ => args.iter().any(|arg| arg.ty != *ty),
                };
                if differs {
                    self.found.push(format!(
                        "{function:?} of {:?} as {ty}",
                        args.iter().map(|arg| &arg.ty).collect::<Vec<_>>()
                    ));
                }
            }
            If(cond, then, otherwise) => {
                self.typed(cond, Scalar::Bool);
                self.block(then, ty);
                self.block(otherwise, ty);
            }
            Block(block) => self.block(block, ty),
            Require(value, _) => {
                self.expr(value);
                self.same("what is required", ty, &value.ty);
            }
            Call(callee, args) | CallOn { callee, args, .. } => {
                args.iter().for_each(|arg| self.expr(arg));
                let callee = &self.program.funcs[callee.0 as usize];
                self.same("result of a call", ty, &callee.result);
                for (param, arg) in callee.params.iter().zip(args) {
                    let wanted = &callee.locals[param.local.0 as usize].ty;
                    // layouts included: a callee is compiled for the layout it is called with
                    if *wanted != arg.ty {
                        self.found.push(format!("argument: {wanted:?} and {:?}", arg.ty));
                    }
                }
                if callee.params.len() != args.len() {
                    self.found.push("number of arguments".into());
                }
            }
            Index(base, indices) => {
                self.expr(base);
                indices.iter().for_each(|index| self.typed(index, Scalar::I64));
                match &base.ty {
                    Type::Array { elem, rank, .. } if usize::from(*rank) == indices.len() => {
                        self.same("element", ty, &Type::Scalar(*elem));
                    }
                    other => self.found.push(format!("element of {other}")),
                }
            }
            Dim(base, axis) => {
                self.expr(base);
                if !matches!(&base.ty, Type::Array { rank, .. } if *axis < usize::from(*rank)) {
                    self.found.push(format!("axis {axis} of {}", base.ty));
                }
            }
            Tuple(items) => {
                items.iter().for_each(|item| self.expr(item));
                self.same("tuple", ty, &Type::Tuple(items.iter().map(|item| item.ty.clone()).collect()));
            }
            TupleGet(base, index) => {
                self.expr(base);
                match &base.ty {
                    Type::Tuple(items) if *index < items.len() => self.same("part", ty, &items[*index]),
                    other => self.found.push(format!("part {index} of {other}")),
                }
            }
            Alloc(alloc) => match alloc {
                crate::tree::Alloc::Zeros(sizes) | crate::tree::Alloc::Ones(sizes) => {
                    sizes.iter().for_each(|size| self.typed(size, Scalar::I64));
                }
                crate::tree::Alloc::Full(value, sizes) => {
                    self.expr(value);
                    sizes.iter().for_each(|size| self.typed(size, Scalar::I64));
                    let fill = value.ty.as_scalar().unwrap_or(Scalar::Bool);
                    self.same("fill", ty, &Type::array(fill, sizes.len()));
                }
                crate::tree::Alloc::Arange(lo, hi, step) => {
                    for part in [lo, hi, step] {
                        self.expr(part);
                        let own = part.ty.as_scalar().unwrap_or(Scalar::Bool);
                        self.same("arange", ty, &Type::array(own, 1));
                    }
                }
                crate::tree::Alloc::Linspace(lo, hi, count) => {
                    self.expr(lo);
                    self.expr(hi);
                    self.typed(count, Scalar::I64);
                }
            },
            Copy(base) => {
                self.expr(base);
                self.same("copy", ty, &base.ty);
            }
            Reduce(reduce) => {
                self.indices(&reduce.indices);
                reduce.filter.iter().for_each(|filter| self.typed(filter, Scalar::Bool));
                self.expr(&reduce.term);
                if let Some((left, right)) = &reduce.product {
                    for factor in [left, right] {
                        self.expr(factor);
                        self.same("factor", ty, &factor.ty);
                    }
                }
                if !matches!(reduce.kind, ReduceKind::Argmin | ReduceKind::Argmax) {
                    self.same("term", ty, &reduce.term.ty);
                }
            }
            Draw(..) => {}
            RandInt { lo, hi, .. } => {
                self.typed(lo, Scalar::I64);
                self.typed(hi, Scalar::I64);
            }
            Rng(keys) => keys.iter().for_each(|key| self.typed(key, Scalar::I64)),
        }
    }
}
