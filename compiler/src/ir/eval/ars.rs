//! ARS-7, from its definition.
//!
//! In: key and counter. Out: a block of random bits. Holds: SEMANTICS section 6; the published known answers. (Salmon, Moraes, Dror, Shaw: Parallel
//! random numbers: as easy as 1, 2, 3. SC11.) The rounds are those of AES (FIPS 197, section 5.1), byte by byte, without tables.

/// Product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1.
fn product(mut a: u8, mut b: u8) -> u8 {
    let mut sum = 0;
    while b > 0 {
        if b & 1 == 1 {
            sum ^= a;
        }
        a = (a << 1) ^ if a & 0x80 == 0 { 0 } else { 0x1b };
        b >>= 1;
    }
    sum
}

/// SubBytes: x^254 is the inverse of x, and 0 for 0; then the affine map.
fn substitute(byte: u8) -> u8 {
    let squares: Vec<u8> = std::iter::successors(Some(byte), |&x| Some(product(x, x))).take(8).collect();
    let inverse = squares[1..].iter().fold(1, |sum, &square| product(sum, square));
    (0..5).fold(0x63, |sum, turn| sum ^ inverse.rotate_left(turn))
}

/// SubBytes and ShiftRows. Byte 4 c + r of a state is row r of column c.
fn substitute_and_shift(state: [u8; 16]) -> [u8; 16] {
    std::array::from_fn(|place| {
        let (column, row) = (place / 4, place % 4);
        substitute(state[4 * ((column + row) % 4) + row])
    })
}

fn mix_columns(state: [u8; 16]) -> [u8; 16] {
    std::array::from_fn(|place| {
        let (column, row) = (place / 4, place % 4);
        let byte = |down: usize| state[4 * column + (row + down) % 4];
        product(byte(0), 2) ^ product(byte(1), 3) ^ byte(2) ^ byte(3)
    })
}

fn add_key(state: [u8; 16], key: [u64; 2]) -> [u8; 16] {
    std::array::from_fn(|place| state[place] ^ key[place / 8].to_le_bytes()[place % 8])
}

/// Seven rounds on a counter under a key, each as two halves; the last without MixColumns, as in AES.
fn ars4x32_7(counter: [u64; 2], key: [u64; 2]) -> [u64; 2] {
    const ROUNDS: u64 = 7;
    const STEPS: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xBB67_AE85_84CA_A73B];
    let mut state = add_key([0; 16], counter);
    state = add_key(state, key);
    for round in 1..=ROUNDS {
        state = substitute_and_shift(state);
        if round < ROUNDS {
            state = mix_columns(state);
        }
        state = add_key(state, [0, 1].map(|half| key[half].wrapping_add(STEPS[half].wrapping_mul(round))));
    }
    let half =
        |half: usize| (0..8).fold(0, |sum, byte| sum | u64::from(state[8 * half + byte]) << (8 * byte));
    [half(0), half(1)]
}

/// Block `block` of kind `kind` of the stream (`key`, `index`), as X0 and X1.
pub fn ars_block(kind: u8, key: u64, index: u64, block: u64) -> (u64, u64) {
    let [low, high] = ars4x32_7([index, u64::from(kind) << 60 | block], [key, 0]);
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halves([a, b, c, d]: [u32; 4]) -> [u64; 2] {
        [u64::from(a) | u64::from(b) << 32, u64::from(c) | u64::from(d) << 32]
    }

    #[test]
    fn ars_gives_the_known_answers() {
        let pi = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344];
        let cases = [
            ([0; 4], [0; 4], [0xdacf61ff, 0xc45798f3, 0x113c7eeb, 0x101e27f3]),
            (
                pi,
                [0xa4093822, 0x299f31d0, 0x082efa98, 0xec4e6c89],
                [0xd1df87af, 0xf67d43ba, 0x4f66afdb, 0x393dcb2d],
            ),
            ([1, 0, 0, 0], [1, 0, 0, 0], [0x3523162b, 0xdc14d20c, 0x79184077, 0x72184193]),
        ];
        for (counter, key, words) in cases {
            assert_eq!(ars4x32_7(halves(counter), halves(key)), halves(words));
        }
    }

    #[test]
    fn substitution_is_that_of_aes() {
        // FIPS 197, figure 7: first row, and the example {53} -> {ed}.
        let row =
            [0x63, 0x7c, 0x77, 0x7b, 0xf2, 0x6b, 0x6f, 0xc5, 0x30, 0x01, 0x67, 0x2b, 0xfe, 0xd7, 0xab, 0x76];
        assert_eq!(std::array::from_fn::<u8, 16, _>(|byte| substitute(byte as u8)), row);
        assert_eq!(substitute(0x53), 0xed);
    }

    #[test]
    fn blocks_lay_out_counter_and_words() {
        let (low, high) = ars_block(1, 5, 0x0000_0002_0000_0001, 0x0000_0004_0000_0003);
        let words = ars4x32_7([0x0000_0002_0000_0001, 0x1000_0004_0000_0003], [5, 0]);
        assert_eq!([low, high], words);
    }
}
