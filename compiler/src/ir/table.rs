//! The op table: one row per op.
//!
//! In: an op code. Out: its name in text, the rule its operands and results keep, and what it may do beside computing.
//! Holds: print, parse and verify read names and rules from here and nowhere else; a new op begins as a row.

use kiln_lang::math::Function;

use super::{Func, OpCode, OpId, RegionData, RegionId, Terminator};
use kiln_lang::types::Generator;

/// What an op may do beside computing its results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Same operands, same results, nothing else: may be merged, moved and deleted.
    pub pure: bool,
    /// Reads elements of an array.
    pub reads: bool,
    /// Writes elements of an array, frees one, or prints.
    pub writes: bool,
    /// May leave the function with an error.
    pub may_fail: bool,
    /// Computes random numbers (from operands alone: it is still pure).
    pub draws: bool,
    /// Sends a term to a reduction of the innermost loop.
    pub sends: bool,
    /// Makes an array: pure otherwise, but two of them are never the same.
    pub allocates: bool,
    /// Has regions; what they do is not in this record, see [`effects_of`].
    pub regions: bool,
    /// A region of it breaks, continues or returns past the op. Only [`effects_of`] sets it.
    pub leaves: bool,
}

impl Effects {
    /// Either's effects.
    pub fn union(self, other: Effects) -> Effects {
        Effects {
            pure: self.pure && other.pure,
            reads: self.reads || other.reads,
            writes: self.writes || other.writes,
            may_fail: self.may_fail || other.may_fail,
            draws: self.draws || other.draws,
            sends: self.sends || other.sends,
            allocates: self.allocates || other.allocates,
            regions: self.regions || other.regions,
            leaves: self.leaves || other.leaves,
        }
    }

    /// May an op with these effects be deleted when nobody uses its results?
    pub fn is_removable(self) -> bool {
        !self.writes && !self.may_fail && !self.sends && !self.leaves
    }
}

const NONE: Effects = Effects {
    pure: false,
    reads: false,
    writes: false,
    may_fail: false,
    draws: false,
    sends: false,
    allocates: false,
    regions: false,
    leaves: false,
};
const PURE: Effects = Effects { pure: true, ..NONE };
const DRAW: Effects = Effects { draws: true, ..PURE };
const READ: Effects = Effects { reads: true, ..NONE };
const WRITE: Effects = Effects { writes: true, ..NONE };
const UPDATE: Effects = Effects { reads: true, writes: true, ..NONE };
const ALLOC: Effects = Effects { may_fail: true, allocates: true, ..NONE };
const CHECK: Effects = Effects { reads: true, may_fail: true, ..NONE };
const SEND: Effects = Effects { sends: true, ..NONE };
const CONTROL: Effects = Effects { regions: true, ..NONE };
const CALL: Effects = Effects { reads: true, writes: true, may_fail: true, allocates: true, ..NONE };

/// Which scalar types an op takes, alone or in lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// i32, i64, u32, u64.
    Ints,
    /// f32, f64.
    Floats,
    /// Ints and floats.
    Numbers,
    /// Ints, bool, masks.
    Bits,
    /// Everything but arrays.
    Any,
}

/// How operands and results of an op are related. `T` is any scalar, lanes or mask type of the class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `-> scalar`, the constant's type.
    Const,
    /// `-> u64`
    Seed,
    /// n times `T -> T`
    Same(usize, Class),
    /// `T, T -> T`, T being u64 or lanes of it.
    MulHi,
    /// The function's signature, or that in lanes.
    Math,
    /// `T, T -> bool` or a mask.
    Compare,
    /// `bool, T, T -> T`, or a mask before lanes.
    Select,
    /// `T -> U` of as many lanes.
    Convert,
    /// `T -> U` of as many lanes and bits; no bool, no mask.
    Bitcast,
    /// `u64, u64, u64 -> u64, u64`, or lanes.
    Draw,
    /// `scalar -> lanes`
    Splat,
    /// `int -> lanes`
    Iota,
    /// `lanes -> scalar`
    Extract,
    /// `mask -> bool`
    MaskTest,
    /// `array -> i64`
    Dim,
    /// `array, indices -> element`
    Load,
    /// `array, indices, element`
    Store,
    /// `array, mask, indices -> lanes`
    LoadMasked,
    /// `array, mask, indices, lanes`
    StoreMasked,
    /// `array, indices, element`; the operator takes the element type.
    Update,
    /// `array, indices, element, element`; floats.
    UpdateFma,
    /// `array, mask, indices, lanes`
    UpdateMasked,
    /// `array, mask, indices, lanes, lanes`; floats.
    UpdateFmaMasked,
    /// `sizes -> contiguous array`
    Alloc,
    /// `array`
    Free,
    /// As the site says.
    Check,
    /// `term`
    Send,
    /// `a, b`
    SendFma,
    /// `mask, term`
    SendMasked,
    /// `bool`, two regions.
    If,
    /// `extents, carried values`, one region; two if widened.
    For,
    /// `carried values`, two regions.
    While,
    /// The callee's signature.
    Call,
    /// As the site says.
    Print,
    /// `count, live-ins -> totals`
    RunLoop,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// In text.
    pub name: &'static str,
    /// Operands and results.
    pub rule: Rule,
    /// Effects.
    pub effects: Effects,
}

/// Writes the table once and derives the readers: [`OpCode::row`] by code, [`OpCode::plain`] by name.
macro_rules! ops {
    (plain { $($plain:ident $name:literal $rule:expr, $effects:expr;)* }
     data { $($data:ident $pattern:tt $data_name:literal $data_rule:expr, $data_effects:expr;)* }) => {
        impl OpCode {
            /// The op's row of the table.
            pub fn row(&self) -> &'static Row {
                use Class::*;
                match self {
                    $(OpCode::$plain => { const ROW: Row = Row { name: $name, rule: $rule, effects: $effects }; &ROW })*
                    $(OpCode::$data $pattern => { const ROW: Row = Row { name: $data_name, rule: $data_rule, effects: $data_effects }; &ROW })*
                }
            }

            /// The op of that name, if it is one that carries no data, or a function of mathematics.
            pub fn plain(name: &str) -> Option<OpCode> {
                match name {
                    $($name => Some(OpCode::$plain),)*
                    _ => Function::named(name).map(OpCode::Math),
                }
            }
        }

        /// Names of all ops, in the order of the table; `math` stands for the names of the functions.
        pub const NAMES: &[&str] = &[$($name,)* $($data_name,)*];
    };
}

ops! {
    plain {
        Seed "seed" Rule::Seed, PURE;
        Add "add" Rule::Same(2, Numbers), PURE;
        Sub "sub" Rule::Same(2, Numbers), PURE;
        Mul "mul" Rule::Same(2, Numbers), PURE;
        Div "div" Rule::Same(2, Floats), PURE;
        FloorDiv "floor_div" Rule::Same(2, Ints), PURE;
        Rem "rem" Rule::Same(2, Ints), PURE;
        Neg "neg" Rule::Same(1, Numbers), PURE;
        Abs "abs" Rule::Same(1, Numbers), PURE;
        Min "min" Rule::Same(2, Numbers), PURE;
        Max "max" Rule::Same(2, Numbers), PURE;
        Fma "fma" Rule::Same(3, Floats), PURE;
        Sqrt "sqrt" Rule::Same(1, Floats), PURE;
        Floor "floor" Rule::Same(1, Floats), PURE;
        Ceil "ceil" Rule::Same(1, Floats), PURE;
        Trunc "trunc" Rule::Same(1, Floats), PURE;
        Nearest "nearest" Rule::Same(1, Floats), PURE;
        And "and" Rule::Same(2, Bits), PURE;
        Or "or" Rule::Same(2, Bits), PURE;
        Xor "xor" Rule::Same(2, Bits), PURE;
        Not "not" Rule::Same(1, Bits), PURE;
        Shl "shl" Rule::Same(2, Ints), PURE;
        Shr "shr" Rule::Same(2, Ints), PURE;
        MulHi "mul_hi" Rule::MulHi, PURE;
        Eq "eq" Rule::Compare, PURE;
        Ne "ne" Rule::Compare, PURE;
        Lt "lt" Rule::Compare, PURE;
        Le "le" Rule::Compare, PURE;
        Gt "gt" Rule::Compare, PURE;
        Ge "ge" Rule::Compare, PURE;
        Select "select" Rule::Select, PURE;
        Convert "convert" Rule::Convert, PURE;
        Bitcast "bitcast" Rule::Bitcast, PURE;
        Splat "splat" Rule::Splat, PURE;
        Iota "iota" Rule::Iota, PURE;
        Any "any" Rule::MaskTest, PURE;
        All "all" Rule::MaskTest, PURE;
        Load "load" Rule::Load, READ;
        Store "store" Rule::Store, WRITE;
        LoadMasked "load_masked" Rule::LoadMasked, READ;
        StoreMasked "store_masked" Rule::StoreMasked, WRITE;
        UpdateFma "update_fma" Rule::UpdateFma, UPDATE;
        UpdateFmaMasked "update_fma_masked" Rule::UpdateFmaMasked, UPDATE;
        Alloc "alloc" Rule::Alloc, ALLOC;
        AllocUninit "alloc_uninit" Rule::Alloc, ALLOC;
        Free "free" Rule::Free, WRITE;
        If "if" Rule::If, CONTROL;
        While "while" Rule::While, CONTROL;
    }
    data {
        Math (_) "math" Rule::Math, PURE;
        Const (_) "const" Rule::Const, PURE;
        Draw { generator: Generator::Philox, .. } "philox" Rule::Draw, DRAW;
        Draw { generator: Generator::Ars, .. } "ars" Rule::Draw, DRAW;
        Extract { .. } "extract" Rule::Extract, PURE;
        Dim { .. } "dim" Rule::Dim, PURE;
        Update (_) "update" Rule::Update, UPDATE;
        UpdateMasked (_) "update_masked" Rule::UpdateMasked, UPDATE;
        Check (_) "check" Rule::Check, CHECK;
        Send { .. } "send" Rule::Send, SEND;
        SendFma { .. } "send_fma" Rule::SendFma, SEND;
        SendMasked { .. } "send_masked" Rule::SendMasked, SEND;
        For (_) "for" Rule::For, CONTROL;
        Call (_) "call" Rule::Call, CALL;
        Print (_) "print" Rule::Print, UPDATE;
        RunLoop { .. } "run_loop" Rule::RunLoop, CALL;
    }
}

impl OpCode {
    /// The op's name in text.
    pub fn name(&self) -> &'static str {
        match self {
            OpCode::Math(function) => function.name(),
            _ => self.row().name,
        }
    }

    /// What the op itself may do; of a control op, without its regions (see [`effects_of`]).
    pub fn effects(&self) -> Effects {
        self.row().effects
    }
}

/// What an op may do, with everything in its regions. `pure` means that nothing in them has an effect and nothing leaves.
pub fn effects_of(func: &Func, op: OpId) -> Effects {
    nested_effects(func, op, 0)
}

/// `loops` loops stand between `op` and the op that is asked about (that one included).
fn nested_effects(func: &Func, op: OpId, loops: u32) -> Effects {
    let op = func.op(op);
    let mut all = op.code.effects();
    if !all.regions {
        return all;
    }
    let loops = loops + u32::from(matches!(op.code, OpCode::For(_) | OpCode::While));
    for &region in &op.regions {
        let region: &RegionData = func.region(region);
        for &inner in &region.ops {
            all = all.union(nested_effects(func, inner, loops));
        }
        match region.end {
            Terminator::Open | Terminator::Yield(_) => {}
            Terminator::Break(depth, _) | Terminator::Continue(depth, _) => all.leaves |= depth >= loops,
            Terminator::Return(_) => all.leaves = true,
        }
    }
    // The sends of a loop's body are its own business: its totals are results.
    all.sends &= !matches!(op.code, OpCode::For(_));
    all.pure = !(all.reads || all.writes || all.may_fail || all.sends || all.allocates || all.leaves);
    all
}

/// Adds to `sends` how many static sends a region holds for each reduction of the loop whose body it is (or lies in).
pub fn count_sends(func: &Func, region: RegionId, sends: &mut [u32]) {
    for &op in &func.region(region).ops {
        match func.op(op).code {
            OpCode::Send { reduction } | OpCode::SendFma { reduction } | OpCode::SendMasked { reduction } => {
                sends[reduction as usize] += 1;
            }
            // Sends in there are to that loop.
            OpCode::For(_) => {}
            _ => {
                for &inner in &func.op(op).regions {
                    count_sends(func, inner, sends);
                }
            }
        }
    }
}
