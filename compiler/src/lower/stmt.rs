//! Statements, blocks and who owns the arrays.
//!
//! In: statements. Out: ops, and the environment after them. Holds: an array is freed once on every path: at the end of the block that
//! declares its owner (or of the statement, for one that nobody binds), or before a `break`, `continue` or `return` that leaves it; a returned one passes to the caller.

use super::build::OpType;
use super::effects::Part;
use super::expr::{CHEAP, cost};
use super::loops::{for_type, reduce_op};
use super::{Lower, Owner, Slot, flat};
use crate::ir::{self, CheckKind, OpCode, Terminator};
use kiln_abi::ReduceOp;
use kiln_lang::span::Span;
use kiln_lang::tree::{
    Expr, ExprKind, LocalId, Place, PrintPart, Stmt, StmtKind, StreamMode, UpdateOp, UpdateValue,
};
use kiln_lang::types::{Layout, Scalar, Type};

impl Lower<'_> {
    /// Statements in a scope of their own.
    pub(super) fn block(&mut self, stmts: &[Stmt], span: Span) {
        self.scopes.push(Vec::new());
        self.stmts(stmts);
        self.close_scope(span);
    }

    /// Statements in the current scope; those behind one that leaves are not lowered.
    pub(super) fn stmts(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            if self.dead || self.is_full() {
                return;
            }
            // What a statement makes and does not bind ends with it.
            self.scopes.push(Vec::new());
            self.stmt(stmt);
            self.close_scope(stmt.span);
        }
    }

    /// The statements of the function, and its end.
    pub(super) fn tail(&mut self, stmts: &[Stmt]) {
        let span = self.func.span;
        let no_arrays = !flat(&self.func.result).iter().any(|ty| ty.is_array());
        if let Some((last, before)) = stmts.split_last()
            && let StmtKind::If { cond, then, otherwise } = &last.kind
            && no_arrays
            && always_returns(then)
            && always_returns(otherwise)
        {
            self.stmts(before);
            if self.dead {
                return;
            }
            let values = self.returning_branch(cond, then, otherwise, last.span);
            return self.terminate(Terminator::Return(values));
        }
        self.stmts(stmts);
        if self.dead {
            return;
        }
        let end = match self.func.result {
            Type::Unit => self.return_values(None, span),
            // An endless loop, or too large a program: never reached.
            _ => self.result_types().into_iter().map(|ty| self.placeholder(ty, span)).collect(),
        };
        self.terminate(Terminator::Return(end));
    }

    /// A branch whose arms both return: their values.
    fn returning_branch(
        &mut self,
        cond: &Expr,
        then: &[Stmt],
        otherwise: &[Stmt],
        span: Span,
    ) -> Vec<ir::Value> {
        let cond = self.value(cond);
        let types = self.result_types();
        self.branch(
            cond,
            &[],
            &types,
            span,
            |lower| lower.returning_arm(then, &types),
            |lower| lower.returning_arm(otherwise, &types),
        )
    }

    fn returning_arm(&mut self, stmts: &[Stmt], types: &[ir::Type]) -> Vec<ir::Value> {
        let Some((last, before)) = stmts.split_last() else { return Vec::new() };
        self.stmts(before);
        let values = match &last.kind {
            _ if self.dead || self.is_full() => None,
            StmtKind::Return(value) => Some(self.return_values(value.as_ref(), last.span)),
            StmtKind::If { cond, then, otherwise } => {
                Some(self.returning_branch(cond, then, otherwise, last.span))
            }
            _ => None,
        };
        // Freed on the way to the values.
        self.scopes.pop();
        self.scopes.push(Vec::new());
        values.unwrap_or_else(|| types.iter().map(|&ty| self.placeholder(ty, last.span)).collect())
    }

    fn stmt(&mut self, stmt: &Stmt) {
        let span = stmt.span;
        match &stmt.kind {
            StmtKind::Let { local, value } => self.let_stmt(*local, value),
            StmtKind::Set { place, value } => {
                let values = self.values(value);
                self.assign(place, &values);
            }
            StmtKind::Update { place, op, value, spelled_out: _ } => self.update(place, *op, value, span),
            StmtKind::SetMany { places, values } => {
                let values: Vec<_> = values.iter().map(|value| self.values(value)).collect();
                for (place, values) in places.iter().zip(values) {
                    self.assign(place, &values);
                }
            }
            StmtKind::Swap { targets, sources } => self.swap(targets, sources),
            StmtKind::If { cond, then, otherwise } => {
                let cond = self.value(cond);
                let inside = self.effects.of(stmt, Part::Inside);
                let assigned = self.assigned(&inside);
                if assigned.sinks.is_empty() && are_cheap(then, otherwise) {
                    return self.select_arms(cond, &assigned.values, [then, otherwise], span);
                }
                let arm = |stmts| {
                    move |lower: &mut Self| {
                        lower.stmts(stmts);
                        Vec::new()
                    }
                };
                let (then, otherwise) = (arm(then.as_slice()), arm(otherwise.as_slice()));
                self.branch(cond, &assigned.values, &[], span, then, otherwise);
            }
            StmtKind::For(node) => self.for_stmt(node),
            StmtKind::While { cond, body } => self.while_stmt(stmt, cond, body),
            StmtKind::Break => self.leave_iteration_early(Terminator::Break, span),
            StmtKind::Continue => self.leave_iteration_early(Terminator::Continue, span),
            StmtKind::Return(value) => {
                let values = self.return_values(value.as_ref(), span);
                self.terminate(Terminator::Return(values));
            }
            StmtKind::Expr(value) => {
                self.values(value);
            }
            StmtKind::Print(parts) => self.print(parts, span),
            StmtKind::Block(stmts) => self.block(stmts, span),
            StmtKind::Fast(stmts) => {
                let fast = std::mem::replace(&mut self.fast, true);
                self.block(stmts, span);
                self.fast = fast;
            }
        }
    }

    /// Lowers both arms one after the other, and selects what they assign.
    fn select_arms(&mut self, cond: ir::Value, assigned: &[u32], arms: [&[Stmt]; 2], span: Span) {
        let before = self.slot_values(assigned);
        let [then, otherwise] = arms.map(|arm| {
            for (&slot, &value) in assigned.iter().zip(&before) {
                self.env[slot as usize] = Slot::Value(value);
            }
            self.stmts(arm);
            self.slot_values(assigned)
        });
        for (&slot, (then, otherwise)) in assigned.iter().zip(then.into_iter().zip(otherwise)) {
            let ty = self.slot_type(slot);
            let value = if then == otherwise {
                then
            } else {
                self.op(OpCode::Select, vec![cond, then, otherwise], ty, span)
            };
            self.set_slot(slot, value);
        }
    }

    /// Binds a local; arrays that the value made pass to it, others it only names.
    fn let_stmt(&mut self, local: LocalId, value: &Expr) {
        let values = self.values(value);
        self.set_local(local, &values);
        let slots = self.slots.of(local);
        for (slot, value) in slots.zip(values) {
            if !self.out.ty(value).is_array() {
                continue;
            }
            // The last scope is the statement's own.
            if self.disown(value)
                && let Some(block) = self.scopes.iter_mut().rev().nth(1)
            {
                block.push(Owner::Slot(slot as u32));
            }
        }
    }

    fn assign(&mut self, place: &Place, values: &[ir::Value]) {
        if place.indices.is_empty() {
            return self.set_local(place.local, values);
        }
        let (array, indices) = self.element(place);
        let mut args = vec![array];
        args.extend(indices);
        args.extend(values);
        self.push(OpCode::Store, args, &[], place.span);
    }

    /// An element's array and indices, checked.
    fn element(&mut self, place: &Place) -> (ir::Value, Vec<ir::Value>) {
        let array = self.local_value(place.local);
        let indices: Vec<ir::Value> = place.indices.iter().map(|index| self.value(index)).collect();
        let name = self.names[place.local.0 as usize].clone();
        self.check_bounds(array, &name, &indices, &place.indices);
        (array, indices)
    }

    fn update(&mut self, place: &Place, op: UpdateOp, value: &UpdateValue, span: Span) {
        let ty = place.ty.as_scalar().unwrap_or(Scalar::F64);
        let reduce = reduce_op(op).map(|op| for_type(op, ty));
        let terms = match value {
            UpdateValue::Plain(value) => vec![self.value(value)],
            UpdateValue::Product(left, right) => vec![self.value(left), self.value(right)],
        };
        if !place.indices.is_empty() {
            return self.update_element(place, op, reduce, &terms, span);
        }
        let slot = self.slots.first[place.local.0 as usize];
        if let Slot::Sink { reduction, .. } = self.env[slot as usize] {
            let code = match terms.as_slice() {
                [_, _] => OpCode::SendFma { reduction },
                _ => OpCode::Send { reduction },
            };
            self.push(code, terms, &[], span);
            return;
        }
        let before = self.slot_value(slot);
        let after = self.updated(before, op, reduce, &terms, ty, span);
        self.set_slot(slot, after);
    }

    fn update_element(
        &mut self,
        place: &Place,
        op: UpdateOp,
        reduce: Option<ReduceOp>,
        terms: &[ir::Value],
        span: Span,
    ) {
        let (array, indices) = self.element(place);
        let mut args = vec![array];
        args.extend(indices);
        match (reduce, terms) {
            (_, [_, _]) => {
                args.extend(terms);
                self.push(OpCode::UpdateFma, args, &[], span);
            }
            (Some(reduce), _) => {
                args.extend(terms);
                self.push(OpCode::Update(reduce), args, &[], span);
            }
            (None, _) => {
                let ty = self.out.ty(array).scalar();
                let before = self.op(OpCode::Load, args.clone(), ty, span);
                args.push(self.updated(before, op, None, terms, ty, span));
                self.push(OpCode::Store, args, &[], span);
            }
        }
    }

    /// `before op terms`: one term, or the two factors of a fused product.
    fn updated(
        &mut self,
        before: ir::Value,
        op: UpdateOp,
        reduce: Option<ReduceOp>,
        terms: &[ir::Value],
        ty: Scalar,
        span: Span,
    ) -> ir::Value {
        match (terms, reduce, op) {
            (&[left, right], _, _) => self.op(OpCode::Fma, vec![left, right, before], ty, span),
            (&[term], Some(reduce), _) => self.combine(reduce, before, term, span),
            (&[term], None, UpdateOp::Binary(op)) => self.binary(op, before, term, ty, span),
            _ => before,
        }
    }

    fn swap(&mut self, targets: &[LocalId], sources: &[LocalId]) {
        let values: Vec<ir::Value> = sources.iter().map(|&source| self.local_value(source)).collect();
        for (&target, value) in targets.iter().zip(values) {
            let slot = self.slots.first[target.0 as usize];
            self.env[slot as usize] = Slot::Value(value);
        }
    }

    fn print(&mut self, parts: &[PrintPart], span: Span) {
        let (mut pieces, mut args) = (Vec::new(), Vec::new());
        for part in parts {
            match part {
                PrintPart::Text(text) => add_text(&mut pieces, text),
                PrintPart::Value(value) => {
                    args.extend(self.values(value));
                    add_pieces(&mut pieces, &value.ty);
                }
            }
        }
        let site = ir::PrintId(self.out.prints.len() as u32);
        self.out.prints.push(ir::PrintSite { parts: pieces });
        self.push(OpCode::Print(site), args, &[], span);
    }

    /// What a `return` hands over: shapes checked, everything else that the function owns freed.
    fn return_values(&mut self, value: Option<&Expr>, span: Span) -> Vec<ir::Value> {
        self.scopes.push(Vec::new());
        let mut values = value.map(|value| self.values(value)).unwrap_or_default();
        self.check_result_shapes(&values, value.map_or(span, |value| value.span));
        let mut owned = self.owned_from(0);
        for value in &mut values {
            let ty = self.out.ty(*value);
            if !ty.is_array() {
                continue;
            }
            match owned.iter().position(|owned| owned == value) {
                Some(position) => {
                    owned.remove(position);
                }
                // Somebody else's array, or one that is returned twice.
                None => *value = self.copy_of(*value, span),
            }
        }
        self.free(&owned, span);
        self.scopes.pop();
        let mut results = Vec::new();
        if !self.is_entry && self.func.stream != StreamMode::None {
            results.extend(self.counters(span));
        }
        results.extend(values);
        results
    }

    fn check_result_shapes(&mut self, values: &[ir::Value], span: Span) {
        let func = self.func;
        let arrays: Vec<ir::Value> =
            values.iter().copied().filter(|&value| self.out.ty(value).is_array()).collect();
        let several = arrays.len() > 1;
        for (position, (array, shape)) in arrays.into_iter().zip(&func.result_shapes).enumerate() {
            let Some(dims) = shape else { continue };
            let what = if several {
                format!("size of result {}", position + 1)
            } else {
                "size of the result".to_owned()
            };
            self.check_shape(array, &what, dims, span);
        }
    }

    /// Ends a scope: what it owns is freed.
    pub(super) fn close_scope(&mut self, span: Span) {
        if !self.dead {
            let owned = self.owned_from(self.scopes.len() - 1);
            self.free(&owned, span);
        }
        self.scopes.pop();
    }

    /// Frees what the scopes from `first` on own, on the way out of them.
    pub(super) fn free_scopes_from(&mut self, first: usize, span: Span) {
        let owned = self.owned_from(first);
        self.free(&owned, span);
    }

    /// The arrays that the scopes from `first` on own, in order of their making.
    fn owned_from(&mut self, first: usize) -> Vec<ir::Value> {
        let owners: Vec<Owner> = self.scopes[first..].iter().flatten().copied().collect();
        owners
            .into_iter()
            .map(|owner| match owner {
                Owner::Slot(slot) => self.slot_value(slot),
                Owner::Value(value) => value,
            })
            .collect()
    }

    fn free(&mut self, arrays: &[ir::Value], span: Span) {
        for &array in arrays.iter().rev() {
            self.push(OpCode::Free, vec![array], &[], span);
        }
    }

    /// Notes that the statement at hand owns a fresh array.
    pub(super) fn own(&mut self, array: ir::Value) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(Owner::Value(array));
        }
    }

    /// Takes an array from the statement at hand, if that owns it.
    pub(super) fn disown(&mut self, array: ir::Value) -> bool {
        let Some(scope) = self.scopes.last_mut() else { return false };
        match scope.iter().rposition(|&owner| owner == Owner::Value(array)) {
            Some(position) => {
                scope.remove(position);
                true
            }
            None => false,
        }
    }

    /// Takes an array from the scope at hand, whoever owns it there: the value of a block that declares it.
    pub(super) fn disown_any(&mut self, array: ir::Value) -> bool {
        let Some(scope) = self.scopes.last() else { return false };
        let found = scope.iter().rposition(|&owner| match owner {
            Owner::Slot(slot) => self.env[slot as usize] == Slot::Value(array),
            Owner::Value(value) => value == array,
        });
        match (found, self.scopes.last_mut()) {
            (Some(position), Some(scope)) => {
                scope.remove(position);
                true
            }
            _ => false,
        }
    }

    /// A contiguous copy that the statement at hand does not own yet.
    pub(super) fn copy_of(&mut self, array: ir::Value, span: Span) -> ir::Value {
        let ir::Type::Array { elem, rank, .. } = self.out.ty(array) else { return array };
        let sizes: Vec<ir::Value> = (0..rank as usize).map(|axis| self.dim(array, axis, span)).collect();
        let ty = ir::Type::Array { elem, rank, layout: Layout::Contiguous };
        let copy = self.op(OpCode::AllocUninit, sizes.clone(), OpType(ty), span);
        self.fill(copy, &sizes, span, |lower, ordinals| {
            let mut args = vec![array];
            args.extend(ordinals);
            lower.op(OpCode::Load, args, elem, span)
        });
        copy
    }

    /// One bounds check per axis, in order.
    pub(super) fn check_bounds(
        &mut self,
        array: ir::Value,
        name: &std::sync::Arc<str>,
        indices: &[ir::Value],
        exprs: &[Expr],
    ) {
        for (axis, (&index, expr)) in indices.iter().zip(exprs).enumerate() {
            let size = self.dim(array, axis, expr.span);
            let kind = CheckKind::Bounds { array: name.clone(), axis: axis as u8 };
            self.check(kind, &[index, size], expr.span);
        }
    }

    /// The name of an array expression, for messages.
    pub(super) fn array_name(&self, expr: &Expr) -> std::sync::Arc<str> {
        match &expr.kind {
            ExprKind::Local(local) => self.names[local.0 as usize].clone(),
            ExprKind::TupleGet(tuple, position) => format!("{}.{position}", self.array_name(tuple)).into(),
            ExprKind::Call(callee, _) => format!("{}(…)", self.program.funcs[callee.0 as usize].name).into(),
            _ => "the array".into(),
        }
    }
}

/// Do the arms only assign scalars, and is all that they compute cheap, pure and unable to fail?
fn are_cheap(then: &[Stmt], otherwise: &[Stmt]) -> bool {
    let mut room = CHEAP;
    then.iter().chain(otherwise).all(|stmt| {
        let cost = assignment_cost(stmt, room);
        room -= cost.unwrap_or(0);
        cost.is_some()
    })
}

fn assignment_cost(stmt: &Stmt, most: u32) -> Option<u32> {
    let (place, cost) = match &stmt.kind {
        StmtKind::Set { place, value } => (place, cost(value, most)?),
        StmtKind::Update { place, op, value, .. } => {
            reduce_op(*op)?;
            let cost = match value {
                UpdateValue::Plain(value) => cost(value, most)?,
                UpdateValue::Product(left, right) => cost(left, most)? + cost(right, most)?,
            };
            (place, cost + 1)
        }
        _ => return None,
    };
    (place.indices.is_empty() && place.ty.as_scalar().is_some() && cost <= most).then_some(cost)
}

/// Does every way through the statements visibly end in a `return`?
fn always_returns(stmts: &[Stmt]) -> bool {
    match stmts.last().map(|stmt| &stmt.kind) {
        Some(StmtKind::Return(_)) => true,
        Some(StmtKind::If { then, otherwise, .. }) => always_returns(then) && always_returns(otherwise),
        _ => false,
    }
}

fn add_text(pieces: &mut Vec<ir::PrintPart>, text: &str) {
    match pieces.last_mut() {
        Some(ir::PrintPart::Text(before)) => before.push_str(text),
        Some(ir::PrintPart::Value) | None => pieces.push(ir::PrintPart::Text(text.to_owned())),
    }
}

/// A tuple prints as `(a, b)`.
fn add_pieces(pieces: &mut Vec<ir::PrintPart>, ty: &Type) {
    match ty {
        Type::Unit => add_text(pieces, "()"),
        Type::Scalar(_) | Type::Array { .. } => pieces.push(ir::PrintPart::Value),
        Type::Tuple(items) => {
            add_text(pieces, "(");
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    add_text(pieces, ", ");
                }
                add_pieces(pieces, item);
            }
            add_text(pieces, ")");
        }
        // Infer refuses to print streams; their five values would be these.
        Type::Stream(_) => pieces.extend(std::iter::repeat_n(ir::PrintPart::Value, super::streams::PARTS)),
    }
}
