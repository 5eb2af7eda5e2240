//! What is known of the type of an expression while a function is inferred.
//!
//! In: literals, variables and what is assigned to them. Out: [`Ty`], and the [`Estimate`] of each variable that starts as a literal.
//! Holds: SEMANTICS section 2; estimates only ever rise, so that repeating the walk over a body ends.

use crate::tree;
use crate::types::{Layout, Scalar, Type};

/// Kind of a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lit {
    /// An element of `zeros(n)`: any type may be stored; f64 if only literals are, as in NumPy.
    Any,
    Int,
    Float,
}

impl Lit {
    /// The type that it takes if nothing else decides.
    pub fn default(self) -> Scalar {
        match self {
            Lit::Int => Scalar::I64,
            Lit::Any | Lit::Float => Scalar::F64,
        }
    }

    /// Can it take this type?
    pub fn adapts_to(self, scalar: Scalar) -> bool {
        match self {
            Lit::Any => true,
            Lit::Int => scalar != Scalar::Bool,
            Lit::Float => scalar.is_float(),
        }
    }
}

/// Where an open type comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Literals in the text: they take the type of their context.
    Text,
    /// A variable whose type is not settled yet: the walk will be repeated.
    Var,
}

/// What is known of a type.
#[derive(Clone, Debug, PartialEq)]
pub enum Ty {
    /// An error has been reported, or the walk will be repeated; anything goes with it.
    Poison,
    /// The expression has no end: it returns or breaks.
    Never,
    /// All is known.
    Known(Type),
    /// Made of literals only.
    Lit(Lit, Origin),
    /// An array of this rank whose element type is open.
    FlexArray(Lit, Origin, usize),
    /// A tuple of which not all is known.
    Tuple(Vec<Ty>),
}

impl Ty {
    pub fn scalar(scalar: Scalar) -> Ty {
        Ty::Known(Type::Scalar(scalar))
    }

    pub const UNIT: Ty = Ty::Known(Type::Unit);

    /// A tuple, known if all its parts are.
    pub fn tuple(items: Vec<Ty>) -> Ty {
        if items.contains(&Ty::Poison) {
            return Ty::Poison;
        }
        let known: Option<Vec<Type>> = items
            .iter()
            .map(|item| match item {
                Ty::Known(ty) => Some(ty.clone()),
                _ => None,
            })
            .collect();
        known.map_or(Ty::Tuple(items), |known| Ty::Known(Type::Tuple(known)))
    }

    /// The parts of a tuple.
    pub fn parts(&self) -> Option<Vec<Ty>> {
        match self {
            Ty::Tuple(items) => Some(items.clone()),
            Ty::Known(Type::Tuple(items)) => Some(items.iter().cloned().map(Ty::Known).collect()),
            _ => None,
        }
    }

    /// The type with every open place set to its default.
    pub fn settled(&self) -> Type {
        match self {
            Ty::Poison | Ty::Never => Type::Unit,
            Ty::Known(ty) => ty.clone(),
            Ty::Lit(lit, _) => Type::Scalar(lit.default()),
            Ty::FlexArray(lit, _, rank) => Type::array(lit.default(), *rank),
            Ty::Tuple(items) => Type::Tuple(items.iter().map(Ty::settled).collect()),
        }
    }

    /// Is something open because of a variable?
    pub fn waits(&self) -> bool {
        match self {
            Ty::Lit(_, origin) | Ty::FlexArray(_, origin, _) => *origin == Origin::Var,
            Ty::Tuple(items) => items.iter().any(Ty::waits),
            Ty::Poison | Ty::Never | Ty::Known(_) => false,
        }
    }

    pub fn is_array(&self) -> bool {
        matches!(self, Ty::FlexArray(..) | Ty::Known(Type::Array { .. }))
    }

    /// Rank of an array.
    pub fn rank(&self) -> Option<usize> {
        match self {
            Ty::FlexArray(_, _, rank) => Some(*rank),
            Ty::Known(Type::Array { rank, .. }) => Some(usize::from(*rank)),
            _ => None,
        }
    }

    /// Type of an array's elements.
    pub fn elem(&self) -> Ty {
        match self {
            Ty::FlexArray(lit, origin, _) => Ty::Lit(*lit, *origin),
            Ty::Known(Type::Array { elem, .. }) => Ty::scalar(*elem),
            _ => Ty::Poison,
        }
    }

    /// Are there arrays in it?
    pub fn has_array(&self) -> bool {
        match self {
            Ty::FlexArray(..) => true,
            Ty::Tuple(items) => items.iter().any(Ty::has_array),
            Ty::Known(ty) => type_has_array(ty),
            Ty::Poison | Ty::Never | Ty::Lit(..) => false,
        }
    }

    /// For messages.
    pub fn show(&self) -> String {
        match self {
            Ty::Poison | Ty::Never => "nothing".into(),
            Ty::Known(Type::Unit) => "nothing".into(),
            Ty::Known(Type::Stream(_)) => "a random stream".into(),
            Ty::Known(ty) => ty.to_string(),
            Ty::Lit(Lit::Any, _) => "a number".into(),
            Ty::Lit(Lit::Int, _) => "an int literal".into(),
            Ty::Lit(Lit::Float, _) => "a float literal".into(),
            Ty::FlexArray(..) | Ty::Tuple(_) => self.settled().to_string(),
        }
    }
}

/// Are there arrays in it?
pub fn type_has_array(ty: &Type) -> bool {
    match ty {
        Type::Array { .. } => true,
        Type::Tuple(items) => items.iter().any(type_has_array),
        Type::Unit | Type::Scalar(_) | Type::Stream(_) => false,
    }
}

/// The number of scalars, arrays and streams in it.
pub fn flat_len(ty: &Ty) -> usize {
    fn of_type(ty: &Type) -> usize {
        match ty {
            Type::Tuple(items) => items.iter().map(of_type).sum(),
            Type::Unit | Type::Scalar(_) | Type::Array { .. } | Type::Stream(_) => 1,
        }
    }
    match ty {
        Ty::Tuple(items) => items.iter().map(flat_len).sum(),
        Ty::Known(ty) => of_type(ty),
        Ty::Poison | Ty::Never | Ty::Lit(..) | Ty::FlexArray(..) => 1,
    }
}

/// Does `from` convert to `to` without being asked to?
pub fn widens(from: Scalar, to: Scalar) -> bool {
    from.join(to) == Some(to)
}

/// Equal but for the layout of arrays.
pub fn same_but_layout(left: &Type, right: &Type) -> bool {
    match (left, right) {
        (Type::Array { elem: a, rank: m, .. }, Type::Array { elem: b, rank: n, .. }) => a == b && m == n,
        (Type::Tuple(a), Type::Tuple(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(left, right)| same_but_layout(left, right))
        }
        _ => left == right,
    }
}

/// The type of two values of which one is taken, if there is one.
pub fn join(left: &Ty, right: &Ty) -> Option<Ty> {
    match (left, right) {
        (Ty::Poison, _) | (_, Ty::Poison) => Some(Ty::Poison),
        (Ty::Never, other) | (other, Ty::Never) => Some(other.clone()),
        (Ty::Lit(a, from_a), Ty::Lit(b, from_b)) => Some(Ty::Lit(*a.max(b), either(*from_a, *from_b))),
        (Ty::Lit(lit, origin), Ty::Known(Type::Scalar(scalar)))
        | (Ty::Known(Type::Scalar(scalar)), Ty::Lit(lit, origin)) => {
            Some(match literal_with(*lit, *origin, *scalar) {
                Number::Known(scalar) => Ty::scalar(scalar),
                Number::Lit(lit, origin) => Ty::Lit(lit, origin),
            })
        }
        (Ty::Known(Type::Scalar(a)), Ty::Known(Type::Scalar(b))) => a.join(*b).map(Ty::scalar),
        (Ty::FlexArray(a, from_a, m), Ty::FlexArray(b, from_b, n)) if m == n => {
            Some(Ty::FlexArray(*a.max(b), either(*from_a, *from_b), *m))
        }
        (Ty::FlexArray(lit, _, m), Ty::Known(Type::Array { elem, rank, .. }))
        | (Ty::Known(Type::Array { elem, rank, .. }), Ty::FlexArray(lit, _, m))
            if *m == usize::from(*rank) && lit.adapts_to(*elem) =>
        {
            Some(Ty::Known(Type::array(*elem, *m)))
        }
        (Ty::Known(a), Ty::Known(b)) if same_but_layout(a, b) => Some(Ty::Known(contiguous(a))),
        _ => {
            let (left, right) = (left.parts()?, right.parts()?);
            if left.len() != right.len() {
                return None;
            }
            let items: Option<Vec<Ty>> =
                left.iter().zip(&right).map(|(left, right)| join(left, right)).collect();
            items.map(Ty::tuple)
        }
    }
}

/// The same type with contiguous arrays: that of a fresh value.
pub fn contiguous(ty: &Type) -> Type {
    match ty {
        Type::Array { elem, rank, .. } => {
            Type::Array { elem: *elem, rank: *rank, layout: Layout::Contiguous }
        }
        Type::Tuple(items) => Type::Tuple(items.iter().map(contiguous).collect()),
        Type::Unit | Type::Scalar(_) | Type::Stream(_) => ty.clone(),
    }
}

fn either(left: Origin, right: Origin) -> Origin {
    if left == Origin::Var { left } else { right }
}

/// What is known of a scalar operand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Known(Scalar),
    Lit(Lit, Origin),
}

/// A literal beside a typed operand. What hangs on an unsettled variable stays open where a later assignment could still change it.
fn literal_with(lit: Lit, origin: Origin, scalar: Scalar) -> Number {
    match (lit.adapts_to(scalar), origin) {
        (true, _) => Number::Known(scalar),
        (false, Origin::Var) => Number::Lit(lit, origin),
        (false, Origin::Text) => Number::Known(lit.default()),
    }
}

/// The common type of two operands; `None` for i64 with u64.
pub fn common(left: Number, right: Number) -> Option<Number> {
    Some(match (left, right) {
        (Number::Lit(a, from_a), Number::Lit(b, from_b)) => Number::Lit(a.max(b), either(from_a, from_b)),
        (Number::Lit(lit, origin), Number::Known(scalar))
        | (Number::Known(scalar), Number::Lit(lit, origin)) => literal_with(lit, origin, scalar),
        (Number::Known(a), Number::Known(b)) => Number::Known(a.join(b)?),
    })
}

/// What has been assigned so far to a variable, or stored into an array, that starts as a literal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    lit: Lit,
    typed: Option<Scalar>,
}

impl Estimate {
    pub fn new(lit: Lit) -> Estimate {
        Estimate { lit, typed: None }
    }

    pub fn of(scalar: Scalar) -> Estimate {
        Estimate { lit: Lit::Any, typed: Some(scalar) }
    }

    /// The type so far.
    pub fn read(self) -> Number {
        match self.typed {
            Some(scalar) if self.lit.adapts_to(scalar) => Number::Known(scalar),
            _ => Number::Lit(self.lit, Origin::Var),
        }
    }

    /// Takes in one more value. True if that changes anything; values without a common type change nothing (the assignment
    /// will be reported).
    pub fn take(&mut self, value: Number) -> bool {
        let before = *self;
        match value {
            // an int literal adapts to whatever the elements of `zeros(n)` become
            Number::Lit(Lit::Int, _) if self.lit == Lit::Any => {}
            Number::Lit(lit, _) => self.lit = self.lit.max(lit),
            Number::Known(scalar) => match self.typed {
                None => self.typed = Some(scalar),
                Some(typed) => self.typed = typed.join(scalar).or(self.typed),
            },
        }
        before != *self
    }

    /// Nothing else will come: takes the default if it is still open. True if it was.
    pub fn close(&mut self) -> bool {
        let Number::Lit(lit, _) = self.read() else { return false };
        self.typed = Some(lit.default());
        true
    }
}

/// An expression and what is known of its type. While that is open, so is the type inside the expression.
#[derive(Clone, Debug)]
pub struct Typed {
    pub expr: tree::Expr,
    pub ty: Ty,
}
