//! Philox4x32-10: one block of random words from a counter.
//!
//! In: key, index and block number (u64), and the kind. Out: X0 and X1 (SEMANTICS section 6). Method: Salmon, Moraes, Dror, Shaw, "Parallel random numbers:
//! as easy as 1, 2, 3", SC 2011; constants and vectors from Random123.
//! Holds: words that are known are folded here, so that a block with a constant number starts two multiplications ahead at every optimisation level;
//! the rest is 64-bit multiplications of 32-bit words, whose halves cost one shift.

use super::func::Emitter;
use crate::ir;
use cranelift_codegen::ir::{self as clif, InstBuilder, types};

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: u32 = 10;

/// A 32-bit word.
#[derive(Clone, Copy)]
enum Word {
    Known(u32),
    /// An i32.
    Value(clif::Value),
}

impl Emitter<'_> {
    pub(super) fn philox(&mut self, op: &ir::Op, kind: u8) {
        let key = self.halves(op.args[0]);
        let index = self.halves(op.args[1]);
        let block = self.halves(op.args[2]);
        let tag = u32::from(kind) << 28;
        let last = match block[1] {
            Word::Known(high) => Word::Known(high | tag),
            Word::Value(high) if tag == 0 => Word::Value(high),
            Word::Value(high) => {
                let tag = self.iconst(types::I32, i64::from(tag));
                Word::Value(self.b.ins().bor(high, tag))
            }
        };
        let [w0, w1, w2, w3] = self.rounds([index[0], index[1], block[0], last], key);
        let (x0, x1) = (self.join(w0, w1), self.join(w2, w3));
        self.bind(op.results[0], &[x0]);
        self.bind(op.results[1], &[x1]);
    }

    fn rounds(&mut self, mut counter: [Word; 4], key: [Word; 2]) -> [Word; 4] {
        for round in 0..ROUNDS {
            let key = [0, 1].map(|half: usize| self.add(key[half], KEY_STEPS[half].wrapping_mul(round)));
            let [c0, c1, c2, c3] = counter;
            let (high0, low0) = self.multiply(c0, MULTIPLIERS[0]);
            let (high1, low1) = self.multiply(c2, MULTIPLIERS[1]);
            counter = [self.xor(high1, c1, key[0]), low1, self.xor(high0, c3, key[1]), low0];
        }
        counter
    }

    fn halves(&mut self, value: ir::Value) -> [Word; 2] {
        if let Some(constant) = self.func.as_const(value) {
            let bits = ir::const_bits(constant);
            return [Word::Known(bits as u32), Word::Known((bits >> 32) as u32)];
        }
        let whole = self.scalar(value);
        let low = self.b.ins().ireduce(types::I32, whole);
        let high = self.b.ins().ushr_imm_u(whole, 32);
        [Word::Value(low), Word::Value(self.b.ins().ireduce(types::I32, high))]
    }

    /// High and low half of a product.
    fn multiply(&mut self, word: Word, multiplier: u32) -> (Word, Word) {
        match word {
            Word::Known(word) => {
                let product = u64::from(word) * u64::from(multiplier);
                (Word::Known((product >> 32) as u32), Word::Known(product as u32))
            }
            Word::Value(word) => {
                let word = self.b.ins().uextend(types::I64, word);
                let multiplier = self.iconst(types::I64, i64::from(multiplier));
                let product = self.b.ins().imul(word, multiplier);
                let high = self.b.ins().ushr_imm_u(product, 32);
                let high = self.b.ins().ireduce(types::I32, high);
                let low = self.b.ins().ireduce(types::I32, product);
                (Word::Value(high), Word::Value(low))
            }
        }
    }

    /// The known words first, then key and counter word, and the product, which comes last, last.
    fn xor(&mut self, product: Word, counter: Word, key: Word) -> Word {
        let mut known = 0;
        let mut sum = None;
        for word in [counter, key, product] {
            match word {
                Word::Known(word) => known ^= word,
                Word::Value(word) => sum = Some(sum.map_or(word, |sum| self.b.ins().bxor(sum, word))),
            }
        }
        match sum {
            None => Word::Known(known),
            Some(sum) if known == 0 => Word::Value(sum),
            Some(sum) => Word::Value(self.b.ins().bxor_imm_u(sum, i64::from(known))),
        }
    }

    fn add(&mut self, word: Word, step: u32) -> Word {
        match word {
            Word::Known(word) => Word::Known(word.wrapping_add(step)),
            Word::Value(word) if step == 0 => Word::Value(word),
            Word::Value(word) => {
                let step = self.iconst(types::I32, i64::from(step));
                Word::Value(self.b.ins().iadd(word, step))
            }
        }
    }

    /// `low | high << 32`
    fn join(&mut self, low: Word, high: Word) -> clif::Value {
        let low = self.word(low);
        let high = self.word(high);
        let low = self.b.ins().uextend(types::I64, low);
        let high = self.b.ins().uextend(types::I64, high);
        let high = self.b.ins().ishl_imm_u(high, 32);
        self.b.ins().bor(low, high)
    }

    fn word(&mut self, word: Word) -> clif::Value {
        match word {
            Word::Known(word) => self.iconst(types::I32, i64::from(word)),
            Word::Value(value) => value,
        }
    }
}
