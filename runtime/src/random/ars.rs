//! ARS-7: seven rounds of AES on a counter, under keys that step instead of AES's key schedule.
//!
//! In: counters and a key, 128 bits each, little-endian. Out: 128 random bits for each counter. Holds: the definition of Salmon, Moraes, Dror and
//! Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), by the known answers of Random123; the CPU's AES instructions and the tables of
//! this file give the same bits.

/// Added to the two halves of the key after each round: the golden ratio, and the square root of 3 less 1.
const WEYL: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xBB67_AE85_84CA_A73B];
const ROUNDS: usize = 7;

/// Round keys 0 to 7 of a key.
fn round_keys(key: u128) -> [u128; ROUNDS + 1] {
    let (low, high) = (key as u64, (key >> 64) as u64);
    std::array::from_fn(|round| {
        let step = |half: u64, weyl: u64| u128::from(half.wrapping_add(weyl.wrapping_mul(round as u64)));
        step(low, WEYL[0]) | step(high, WEYL[1]) << 64
    })
}

/// One block per counter, in place.
pub(super) fn ars4x32_7(counters: &mut [u128], key: u128) {
    let keys = round_keys(key);
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("aes") {
        // SAFETY: the CPU has the instructions.
        unsafe { instructions::blocks(counters, &keys) };
        return;
    }
    for counter in counters {
        *counter = tables::block(*counter, &keys);
    }
}

#[cfg(target_arch = "x86_64")]
mod instructions {
    //! With AESENC and AESENCLAST. The latency of a round hides behind the other blocks in flight.

    use super::ROUNDS;
    use std::arch::x86_64::{
        __m128i, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_loadu_si128, _mm_storeu_si128, _mm_xor_si128,
    };

    const IN_FLIGHT: usize = 8;

    #[target_feature(enable = "aes")]
    pub(super) fn blocks(counters: &mut [u128], keys: &[u128; ROUNDS + 1]) {
        let keys = keys.each_ref().map(load);
        let mut groups = counters.chunks_exact_mut(IN_FLIGHT);
        for group in &mut groups {
            let group: &mut [u128; IN_FLIGHT] = group.try_into().expect("a whole group");
            encrypt(group, &keys);
        }
        for counter in groups.into_remainder() {
            encrypt(std::array::from_mut(counter), &keys);
        }
    }

    #[target_feature(enable = "aes")]
    fn encrypt<const N: usize>(counters: &mut [u128; N], keys: &[__m128i; ROUNDS + 1]) {
        let mut states: [__m128i; N] = std::array::from_fn(|k| _mm_xor_si128(load(&counters[k]), keys[0]));
        for key in &keys[1..ROUNDS] {
            for state in &mut states {
                *state = _mm_aesenc_si128(*state, *key);
            }
        }
        for (counter, state) in counters.iter_mut().zip(states) {
            store(counter, _mm_aesenclast_si128(state, keys[ROUNDS]));
        }
    }

    fn load(word: &u128) -> __m128i {
        // SAFETY: 16 bytes, any alignment.
        unsafe { _mm_loadu_si128(std::ptr::from_ref(word).cast()) }
    }

    fn store(word: &mut u128, value: __m128i) {
        // SAFETY: 16 bytes, any alignment.
        unsafe { _mm_storeu_si128(std::ptr::from_mut(word).cast(), value) }
    }
}

mod tables {
    //! Without instructions: the substitution, and its products in a column of MixColumns, from tables (FIPS 197, sections 4 and 5).

    use super::ROUNDS;

    /// Multiplication by x in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1.
    const fn times_2(byte: u8) -> u8 {
        (byte << 1) ^ if byte & 0x80 == 0 { 0 } else { 0x1b }
    }

    /// SubBytes: the inverse, then the affine map. 3 generates the field, 0xf6 is its inverse: both run around it in opposite directions.
    const SUBSTITUTION: [u8; 256] = {
        let mut table = [0x63; 256];
        let (mut value, mut inverse) = (1u8, 1u8);
        let mut step = 0;
        while step < 255 {
            let mut word = inverse;
            let mut turn = 1;
            while turn < 5 {
                word ^= inverse.rotate_left(turn);
                turn += 1;
            }
            table[value as usize] = word ^ 0x63;
            value ^= times_2(value);
            // Division by 3.
            inverse ^= inverse << 1;
            inverse ^= inverse << 2;
            inverse ^= inverse << 4;
            if inverse & 0x80 != 0 {
                inverse ^= 0x09;
            }
            step += 1;
        }
        table
    };

    /// What the first byte of a column becomes: (2s, s, s, 3s), little-endian. The other bytes' columns are rotations.
    const COLUMN: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let s = SUBSTITUTION[byte];
            let twice = times_2(s);
            table[byte] = u32::from_le_bytes([twice, s, s, twice ^ s]);
            byte += 1;
        }
        table
    };

    pub(super) fn block(counter: u128, keys: &[u128; ROUNDS + 1]) -> u128 {
        let mut state = counter ^ keys[0];
        for key in &keys[1..ROUNDS] {
            state = columns(state, |bytes| {
                let products = bytes.map(|byte| COLUMN[usize::from(byte)]);
                products[0]
                    ^ products[1].rotate_left(8)
                    ^ products[2].rotate_left(16)
                    ^ products[3].rotate_left(24)
            }) ^ key;
        }
        columns(state, |bytes| u32::from_le_bytes(bytes.map(|byte| SUBSTITUTION[usize::from(byte)])))
            ^ keys[ROUNDS]
    }

    /// ShiftRows, then `column` on each column.
    fn columns(state: u128, column: impl Fn([u8; 4]) -> u32) -> u128 {
        let bytes = state.to_le_bytes();
        (0..4).fold(0, |result, c| {
            let shifted = std::array::from_fn(|row| bytes[4 * ((c + row) % 4) + row]);
            result | u128::from(column(shifted)) << (32 * c)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{ars4x32_7, round_keys, tables};

    fn join([a, b, c, d]: [u32; 4]) -> u128 {
        u128::from(a) | u128::from(b) << 32 | u128::from(c) << 64 | u128::from(d) << 96
    }

    #[test]
    fn ars_gives_the_known_answers_of_random123() {
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        let pi_key = [0xa409_3822, 0x299f_31d0, 0x082e_fa98, 0xec4e_6c89];
        for (counter, key, wanted) in [
            ([0; 4], [0; 4], [0xdacf_61ff, 0xc457_98f3, 0x113c_7eeb, 0x101e_27f3]),
            (pi, pi_key, [0xd1df_87af, 0xf67d_43ba, 0x4f66_afdb, 0x393d_cb2d]),
            ([1, 0, 0, 0], [1, 0, 0, 0], [0x3523_162b, 0xdc14_d20c, 0x7918_4077, 0x7218_4193]),
        ] {
            let mut blocks = [join(counter)];
            ars4x32_7(&mut blocks, join(key));
            assert_eq!(blocks[0], join(wanted), "counter {counter:x?}, key {key:x?}");
        }
    }

    #[test]
    fn tables_and_instructions_give_the_same_blocks() {
        let key = 0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6978;
        let counters: Vec<u128> =
            (0..1001u128).map(|k| k.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).collect();
        let mut blocks = counters.clone();
        ars4x32_7(&mut blocks, key);
        for (counter, block) in counters.iter().zip(blocks) {
            assert_eq!(tables::block(*counter, &round_keys(key)), block, "counter {counter:x}");
        }
    }
}
