//! Gives the functions of a program their final numbers.
//!
//! In: functions whose calls name specialisations. Out: functions whose calls name positions in the program. Holds: nothing else changes.

use crate::tree::{
    Alloc, BlockExpr, Expr, ExprKind, For, Func, FuncId, Index, Place, PrintPart, Reduce, Stmt, StmtKind,
    UpdateValue,
};

/// Renumbers every call in `func`.
pub(super) fn renumber(func: &mut Func, numbers: &[u32]) {
    stmts(&mut func.body, numbers);
}

fn stmts(list: &mut [Stmt], numbers: &[u32]) {
    for stmt in list {
        match &mut stmt.kind {
            StmtKind::Let { value, .. } | StmtKind::Return(Some(value)) | StmtKind::Expr(value) => {
                expr(value, numbers)
            }
            StmtKind::Set { place: target, value } => {
                place(target, numbers);
                expr(value, numbers);
            }
            StmtKind::Update { place: target, value, .. } => {
                place(target, numbers);
                match value {
                    UpdateValue::Plain(value) => expr(value, numbers),
                    UpdateValue::Product(left, right) => {
                        expr(left, numbers);
                        expr(right, numbers);
                    }
                }
            }
            StmtKind::SetMany { places, values } => {
                places.iter_mut().for_each(|target| place(target, numbers));
                exprs(values, numbers);
            }
            StmtKind::If { cond, then, otherwise } => {
                expr(cond, numbers);
                stmts(then, numbers);
                stmts(otherwise, numbers);
            }
            StmtKind::For(For { indices, body, .. }) => {
                ranges(indices, numbers);
                stmts(body, numbers);
            }
            StmtKind::While { cond, body } => {
                expr(cond, numbers);
                stmts(body, numbers);
            }
            StmtKind::Print(parts) => {
                for part in parts {
                    match part {
                        PrintPart::Text(_) => {}
                        PrintPart::Value(value) => expr(value, numbers),
                    }
                }
            }
            StmtKind::Block(body) | StmtKind::Fast(body) => stmts(body, numbers),
            StmtKind::Swap { .. } | StmtKind::Break | StmtKind::Continue | StmtKind::Return(None) => {}
        }
    }
}

fn place(place: &mut Place, numbers: &[u32]) {
    exprs(&mut place.indices, numbers);
}

fn exprs(list: &mut [Expr], numbers: &[u32]) {
    for item in list {
        expr(item, numbers);
    }
}

fn ranges(indices: &mut [Index], numbers: &[u32]) {
    for index in indices {
        expr(&mut index.lo, numbers);
        expr(&mut index.hi, numbers);
        index.step.iter_mut().for_each(|step| expr(step, numbers));
    }
}

fn block(block: &mut BlockExpr, numbers: &[u32]) {
    stmts(&mut block.stmts, numbers);
    block.value.iter_mut().for_each(|value| expr(value, numbers));
}

fn expr(root: &mut Expr, numbers: &[u32]) {
    match &mut root.kind {
        ExprKind::Const(_) | ExprKind::Local(_) | ExprKind::Draw(..) => {}
        ExprKind::Unary(_, operand)
        | ExprKind::PowLiteral(operand, _)
        | ExprKind::Convert(operand)
        | ExprKind::Dim(operand, _)
        | ExprKind::TupleGet(operand, _)
        | ExprKind::Copy(operand) => expr(operand, numbers),
        ExprKind::Binary(_, left, right)
        | ExprKind::Pow(left, right)
        | ExprKind::And(left, right)
        | ExprKind::Or(left, right)
        | ExprKind::RandInt { lo: left, hi: right, .. } => {
            expr(left, numbers);
            expr(right, numbers);
        }
        ExprKind::Compare { operands, .. } => exprs(operands, numbers),
        ExprKind::Math(_, args) | ExprKind::Tuple(args) | ExprKind::Rng(args) => exprs(args, numbers),
        ExprKind::If(cond, then, otherwise) => {
            expr(cond, numbers);
            block(then, numbers);
            block(otherwise, numbers);
        }
        ExprKind::Block(inner) => block(inner, numbers),
        ExprKind::Call(callee, args) => {
            *callee = FuncId(numbers[callee.0 as usize]);
            exprs(args, numbers);
        }
        ExprKind::CallOn { callee, args, .. } => {
            *callee = FuncId(numbers[callee.0 as usize]);
            exprs(args, numbers);
        }
        ExprKind::Require(value, _) => expr(value, numbers),
        ExprKind::Index(base, indices) => {
            expr(base, numbers);
            exprs(indices, numbers);
        }
        ExprKind::Alloc(alloc) => match alloc {
            Alloc::Zeros(sizes) | Alloc::Ones(sizes) => exprs(sizes, numbers),
            Alloc::Full(value, sizes) => {
                expr(value, numbers);
                exprs(sizes, numbers);
            }
            Alloc::Arange(lo, hi, last) | Alloc::Linspace(lo, hi, last) => {
                [lo, hi, last].into_iter().for_each(|part| expr(part, numbers));
            }
        },
        ExprKind::Reduce(reduce) => {
            let Reduce { indices, filter, term, product, .. } = &mut **reduce;
            ranges(indices, numbers);
            filter.iter_mut().for_each(|filter| expr(filter, numbers));
            expr(term, numbers);
            if let Some((left, right)) = product {
                expr(left, numbers);
                expr(right, numbers);
            }
        }
    }
}
