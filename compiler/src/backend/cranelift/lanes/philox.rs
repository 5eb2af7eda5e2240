//! Random words in lanes: as many blocks as there are lanes.
//!
//! In: key, index and block number per lane, and the kind. Out: X0 and X1 per lane. Holds: as for scalars; nothing branches.
//!
//! Philox4x32-10: the four words of four lanes lie packed in one register each, because Cranelift multiplies 32-bit words to 64 bits (PMULUDQ) only out of packed words. A round
//! of four lanes is four such multiplications and eleven other instructions; the chains of all registers of the group run side by side.

use super::{Group, registers};
use crate::backend::cranelift::func::Emitter;
use crate::backend::cranelift::philox::{KEY_STEPS, MULTIPLIERS, ROUNDS};
use crate::ir;
use cranelift_codegen::ir::{self as clif, InstBuilder, types};
use kiln_lang::types::{Generator, Scalar};

impl Emitter<'_> {
    pub(super) fn lanes_draw(&mut self, op: &ir::Op, generator: Generator, kind: u8) {
        match generator {
            Generator::Philox => self.lanes_philox(op, kind),
            Generator::Ars => self.lanes_ars(op, kind),
        }
    }

    /// Cranelift has no AES instructions: the host computes block by block.
    fn lanes_ars(&mut self, op: &ir::Op, kind: u8) {
        let lanes = self.func.ty(op.results[0]).lanes();
        let [keys, indices, blocks] = [0, 1, 2].map(|position: usize| {
            let group = self.group(op.args[position]);
            self.split(&group, lanes)
        });
        let mut words = [Vec::new(), Vec::new()];
        for ((key, index), block) in keys.into_iter().zip(indices).zip(blocks) {
            let block = self.ars_block(key, index, block, kind);
            words[0].push(block[0]);
            words[1].push(block[1]);
        }
        for (&result, words) in op.results.iter().zip(&words) {
            let group = self.merge(Scalar::U64, words);
            self.bind(result, &group);
        }
    }

    fn lanes_philox(&mut self, op: &ir::Op, kind: u8) {
        let lanes = self.func.ty(op.results[0]).lanes();
        let [[k0, k1], [c0, c1], [c2, c3]] = [0, 1, 2].map(|position: usize| {
            let group = self.group(op.args[position]);
            [[0, 2, 4, 6], [1, 3, 5, 7]].map(|numbers| self.words_of(&group, numbers))
        });
        let tag = self.splat_bits(Scalar::U32, u64::from(kind) << 28);
        let c3 = match kind {
            0 => c3,
            _ => self.each([&c3], |emitter, [word]| emitter.b.ins().bor(word, tag)),
        };
        let (mut keys, mut counter) = ([k0, k1], [c0, c1, c2, c3]);
        for round in 0..ROUNDS {
            if round > 0 {
                keys = [0, 1].map(|half: usize| {
                    let step = self.splat_bits(Scalar::U32, u64::from(KEY_STEPS[half]));
                    self.each([&keys[half]], |emitter, [key]| emitter.b.ins().iadd(key, step))
                });
            }
            let [c0, c1, c2, c3] = &counter;
            let (high0, low0) = self.products(c0, MULTIPLIERS[0]);
            let (high1, low1) = self.products(c2, MULTIPLIERS[1]);
            let next0 = self.mixed(&high1, c1, &keys[0]);
            let next2 = self.mixed(&high0, c3, &keys[1]);
            counter = [next0, low1, next2, low0];
        }
        let [c0, c1, c2, c3] = counter;
        for (&result, (low, high)) in op.results.iter().zip([(c0, c1), (c2, c3)]) {
            let group: Group = (0..registers(8, lanes))
                .map(|k| {
                    let numbers = if k % 2 == 0 { [0, 4, 1, 5] } else { [2, 6, 3, 7] };
                    self.double_words(types::I64X2, low[k / 2], high[k / 2], numbers)
                })
                .collect();
            self.bind(result, &group);
        }
    }

    /// The low or the high words of 64-bit lanes, packed.
    fn words_of(&mut self, group: &Group, numbers: [u8; 4]) -> Group {
        let is_uniform = group.iter().all(|register| *register == group[0]);
        let pairs = group.chunks(2);
        if is_uniform {
            let count = pairs.len();
            let words = self.double_words(types::I32X4, group[0], group[0], numbers);
            return vec![words; count];
        }
        pairs.map(|pair| self.double_words(types::I32X4, pair[0], pair[pair.len() - 1], numbers)).collect()
    }

    /// High and low words of the products with a known word.
    fn products(&mut self, words: &Group, multiplier: u32) -> (Group, Group) {
        let by = self.splat_bits(Scalar::U32, u64::from(multiplier));
        let wide = |emitter: &mut Self, high: bool, words: clif::Value| {
            let [a, b] = [words, by].map(|words| match high {
                false => emitter.b.ins().uwiden_low(words),
                true => emitter.b.ins().uwiden_high(words),
            });
            emitter.b.ins().imul(a, b)
        };
        let low_lanes = self.each([words], |emitter, [words]| wide(emitter, false, words));
        let high_lanes = self.each([words], |emitter, [words]| wide(emitter, true, words));
        let mut pick = |numbers| {
            self.each([&low_lanes, &high_lanes], |emitter, [low, high]| {
                emitter.double_words(types::I32X4, low, high, numbers)
            })
        };
        (pick([1, 3, 5, 7]), pick([0, 2, 4, 6]))
    }

    fn mixed(&mut self, high: &Group, counter: &Group, key: &Group) -> Group {
        let early = self.each([counter, key], |emitter, [counter, key]| emitter.b.ins().bxor(counter, key));
        self.each([high, &early], |emitter, [high, early]| emitter.b.ins().bxor(high, early))
    }
}
