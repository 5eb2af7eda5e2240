//! Philox4x32-10: blocks of random words from counters.
//!
//! In: key, index and block number (u64), and the kind. Out: X0 and X1 (SEMANTICS section 6). Method: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as
//! easy as 1, 2, 3", SC 2011. Holds: nothing branches; what is known or the same in all lanes is not computed per lane.
//!
//! A word has a lane of 64 bits to itself: VPMULUDQ multiplies the low halves and gives 64 bits, so a round is two products, two shifts and two exclusive-ors of
//! three for each register, and what lies in high halves does no harm until the end. Several registers in flight hide the chain of ten products. The round keys of a
//! key that is the same in all lanes are computed once, before the loop, and lie in the frame, from where they are broadcast.

use super::code::{Addr, Arg, Const};
use super::func::Selector;
use super::lanes::Bitwise;
use super::settle::Level;
use super::shape::{Group, Shape};
use super::table::{Op, Size};
use crate::ir;
use kiln_lang::types::Scalar;
use regalloc2::VReg;

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: u32 = 10;

/// A 32-bit word: known; in a general register, zeros above it; or one per lane, in the low halves of 64-bit lanes, anything above it.
#[derive(Clone, Copy)]
enum Word {
    Known(u32),
    General(VReg),
    Lanes(Group),
}

/// Half of a round key.
#[derive(Clone, Copy)]
enum KeyWord {
    Word(Word),
    /// A slot of the frame, clean: the high half is zero.
    Frame(i32),
}

/// A key, as words or as a table of round keys.
#[derive(Clone, Copy)]
enum Key {
    Words([Word; 2]),
    Table(i32),
}

impl Selector<'_> {
    pub(super) fn philox(&mut self, op: &ir::Op, kind: u8) {
        let shape = self.shape(op.results[0]);
        let key = self.philox_key(op.args[0], shape);
        let [c0, c1] = self.halves_of(op.args[1], shape);
        let [c2, high] = self.halves_of(op.args[2], shape);
        let tag = u32::from(kind) << 28;
        let c3 = match high {
            Word::Known(high) => Word::Known(high | tag),
            word if tag == 0 => word,
            Word::General(high) => {
                Word::General(self.m.op_imm(Op::OrImm, Size::Q, &[high.into()], tag as i32))
            }
            Word::Lanes(high) => {
                let tags = self.splat_group(shape, tag.into());
                Word::Lanes(self.bitwise(Bitwise::Or, shape, &high, &tags))
            }
        };
        let mut counter = [c0, c1, c2, c3];
        for round in 0..ROUNDS {
            let [c0, c1, c2, c3] = counter;
            let product0 = self.multiply_word(shape, c0, MULTIPLIERS[0]);
            let product1 = self.multiply_word(shape, c2, MULTIPLIERS[1]);
            let key0 = self.round_key(shape, key, round, 0);
            let next0 = self.mix(shape, product1.0, c1, key0);
            let key1 = self.round_key(shape, key, round, 1);
            let next2 = self.mix(shape, product0.0, c3, key1);
            counter = [next0, product1.1, next2, product0.1];
        }
        let [c0, c1, c2, c3] = counter;
        for (&result, (low, high)) in op.results.iter().zip([(c0, c1), (c2, c3)]) {
            let group = self.join_words(shape, low, high);
            self.bind(result, &group);
        }
    }

    /// The key of a draw: if it is the same in all lanes, a table of its round keys.
    fn philox_key(&mut self, key: ir::Value, shape: Shape) -> Key {
        let uniform = if shape.is_scalar() { None } else { self.known_splat(key) };
        match uniform {
            Some(scalar) if self.func.as_const(scalar).is_none() => Key::Table(self.key_table(scalar)),
            Some(scalar) => {
                let bits = self.func.as_const(scalar).map_or(0, ir::const_bits);
                Key::Words([Word::Known(bits as u32), Word::Known((bits >> 32) as u32)])
            }
            None => Key::Words(self.halves_of(key, shape)),
        }
    }

    /// Where in the frame the round keys of a key lie; they are computed here if they do not yet.
    pub(super) fn key_table(&mut self, key: ir::Value) -> i32 {
        if let Some(known) = self.known.key(key) {
            return known;
        }
        let start = self.m.take_frame(16 * ROUNDS as i32);
        let whole = self.scalar(key);
        let high = self.m.op_imm(Op::ShrImm, Size::Q, &[whole.into()], 32);
        for round in 0..ROUNDS {
            for (half, word) in [whole, high].into_iter().enumerate() {
                // A result of 32 bits has zeros above it.
                let step = KEY_STEPS[half].wrapping_mul(round) as i32;
                let clean = match round {
                    0 => self.m.op(Op::Mov, Size::D, &[word.into()]),
                    _ => self.m.op_imm(Op::AddImm, Size::D, &[word.into()], step),
                };
                let addr = Addr::frame(start + 8 * (2 * round as i32 + half as i32));
                self.m.op(Op::MovStore, Size::Q, &[clean.into(), addr.into()]);
            }
        }
        self.known.add_key(key, start);
        start
    }

    fn round_key(&mut self, shape: Shape, key: Key, round: u32, half: usize) -> KeyWord {
        let words = match key {
            Key::Table(start) => return KeyWord::Frame(start + 8 * (2 * round as i32 + half as i32)),
            Key::Words(words) => words,
        };
        let step = KEY_STEPS[half].wrapping_mul(round);
        KeyWord::Word(match words[half] {
            Word::Known(word) => Word::Known(word.wrapping_add(step)),
            word if round == 0 => word,
            Word::General(word) => {
                Word::General(self.m.op_imm(Op::AddImm, Size::D, &[word.into()], step as i32))
            }
            Word::Lanes(word) => {
                let steps = self.splat_group(shape, step.into());
                Word::Lanes(self.each2(Op::Vpaddd, shape.size(), &word, &steps))
            }
        })
    }

    /// Low and high word of a value; the high one is clean.
    fn halves_of(&mut self, value: ir::Value, shape: Shape) -> [Word; 2] {
        let known = match self.func.as_const(value) {
            None => self.known_splat(value).and_then(|scalar| self.func.as_const(scalar)),
            known => known,
        };
        if let Some(constant) = known {
            let bits = ir::const_bits(constant);
            return [Word::Known(bits as u32), Word::Known((bits >> 32) as u32)];
        }
        if shape.is_scalar() {
            let whole = self.scalar(value);
            let low = self.m.op(Op::Mov, Size::D, &[whole.into()]);
            let high = self.m.op_imm(Op::ShrImm, Size::Q, &[whole.into()], 32);
            return [Word::General(low), Word::General(high)];
        }
        let whole = self.group(value);
        let high = self.each_imm(Op::Vpsrlq, shape.size(), &whole, 32);
        [Word::Lanes(whole), Word::Lanes(high)]
    }

    /// High and low word of a product; the high one is clean.
    fn multiply_word(&mut self, shape: Shape, word: Word, multiplier: u32) -> (Word, Word) {
        match word {
            Word::Known(word) => {
                let product = u64::from(word) * u64::from(multiplier);
                (Word::Known((product >> 32) as u32), Word::Known(product as u32))
            }
            Word::General(word) => {
                let multiplier = self.m.imm64(i64::from(multiplier));
                let product = self.m.op(Op::Imul, Size::Q, &[word.into(), multiplier.into()]);
                let high = self.m.op_imm(Op::ShrImm, Size::Q, &[product.into()], 32);
                let low = self.m.op(Op::Mov, Size::D, &[product.into()]);
                (Word::General(high), Word::General(low))
            }
            Word::Lanes(word) => {
                let multipliers = self.splat_group(shape, multiplier.into());
                let product = self.each2(Op::Vpmuludq, shape.size(), &word, &multipliers);
                let high = self.each_imm(Op::Vpsrlq, shape.size(), &product, 32);
                (Word::Lanes(high), Word::Lanes(product))
            }
        }
    }

    /// `high ^ counter ^ key`
    fn mix(&mut self, shape: Shape, high: Word, counter: Word, key: KeyWord) -> Word {
        let slot = match key {
            KeyWord::Word(key) => {
                let early = self.xor(shape, counter, key);
                return self.xor(shape, high, early);
            }
            KeyWord::Frame(slot) => Addr::frame(slot),
        };
        let known = |s: &mut Self, word: u32| s.splat_group(shape, word.into());
        let (a, b) = match (high, counter) {
            (Word::Lanes(a), Word::Lanes(b)) => (a, Some(b)),
            (Word::Lanes(a), Word::Known(0)) | (Word::Known(0), Word::Lanes(a)) => (a, None),
            (Word::Lanes(a), Word::Known(b)) | (Word::Known(b), Word::Lanes(a)) => {
                let b = known(self, b);
                (a, Some(b))
            }
            (Word::Known(a), Word::Known(b)) => {
                let both = known(self, a ^ b);
                (both, None)
            }
            (Word::General(_), _) | (_, Word::General(_)) => unreachable!("lanes draw in lanes"),
        };
        let size = shape.size();
        let key: Arg = match self.level {
            Level::Avx512 => Arg::Broadcast(slot),
            Level::Avx2 => self.m.op(Op::Vpbroadcastq, size, &[slot.into()]).into(),
        };
        Word::Lanes(match (self.level, b) {
            // A truth table of three exclusive-ors.
            (Level::Avx512, Some(b)) => Group::from_fn(a.len(), |k| {
                self.m.op_imm(Op::Vpternlogq, size, &[a[k].into(), b[k].into(), key], 0x96u8 as i8 as i32)
            }),
            (Level::Avx512, None) => self.each(&a, |s, a| s.m.op(Op::Vpxorq, size, &[a.into(), key])),
            (Level::Avx2, b) => {
                // The product comes last, so the key goes to the counter.
                let early = b.unwrap_or(a);
                let early = self.each(&early, |s, early| s.m.op(Op::Vpxor, size, &[early.into(), key]));
                if b.is_some() { self.each2(Op::Vpxor, size, &a, &early) } else { early }
            }
        })
    }

    fn xor(&mut self, shape: Shape, a: Word, b: Word) -> Word {
        match (a, b) {
            (Word::Known(a), Word::Known(b)) => Word::Known(a ^ b),
            (Word::Known(0), other) | (other, Word::Known(0)) => other,
            (Word::Known(known), Word::General(value)) | (Word::General(value), Word::Known(known)) => {
                Word::General(self.m.op_imm(Op::XorImm, Size::D, &[value.into()], known as i32))
            }
            (Word::General(a), Word::General(b)) => {
                Word::General(self.m.op(Op::Xor, Size::D, &[a.into(), b.into()]))
            }
            (Word::Known(known), Word::Lanes(value)) | (Word::Lanes(value), Word::Known(known)) => {
                let known = self.splat_group(shape, known.into());
                Word::Lanes(self.bitwise(Bitwise::Xor, shape, &value, &known))
            }
            (Word::Lanes(a), Word::Lanes(b)) => Word::Lanes(self.bitwise(Bitwise::Xor, shape, &a, &b)),
            (Word::General(_), Word::Lanes(_)) | (Word::Lanes(_), Word::General(_)) => {
                unreachable!("lanes draw in lanes")
            }
        }
    }

    /// `low | high << 32`
    fn join_words(&mut self, shape: Shape, low: Word, high: Word) -> Group {
        if shape.is_scalar() {
            let [low, high] = [low, high].map(|word| match word {
                Word::Known(word) => self.m.imm64(i64::from(word)),
                Word::General(reg) => reg,
                Word::Lanes(_) => unreachable!("scalars draw in general registers"),
            });
            let low = self.m.op(Op::Mov, Size::D, &[low.into()]);
            let high = self.m.op_imm(Op::ShlImm, Size::Q, &[high.into()], 32);
            return Group::one(self.m.op(Op::Or, Size::Q, &[low.into(), high.into()]));
        }
        let [low, high] = [low, high].map(|word| match word {
            Word::Known(word) => self.splat_group(shape, word.into()),
            Word::Lanes(group) => group,
            Word::General(_) => unreachable!("lanes draw in lanes"),
        });
        let size = shape.size();
        let raised = self.each_imm(Op::Vpsllq, size, &high, 32);
        match self.level {
            Level::Avx2 => self.each2_imm(Op::Vpblendd, size, &low, &raised, 0b1010_1010),
            Level::Avx512 => {
                // low & mask | raised
                let mask =
                    Group::repeat(self.m.constant(Const::Splat { bits: 0xffff_ffff, bytes: 8 }), low.len());
                self.ternary_group(shape.with(Scalar::U64), 0b1110_1010, &low, &mask, &raised)
            }
        }
    }
}
