//! Philox4x32-10, from its definition.
//!
//! In: key and counter. Out: a block of random bits. Holds: SEMANTICS section 6; the published known answers.
//! (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3. SC11.)

/// Ten rounds on a counter under a key.
fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..10 {
        let p0 = 0xD251_1F53 * u64::from(c0);
        let p1 = 0xCD9E_8D57 * u64::from(c2);
        (c0, c1, c2, c3) = ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    [c0, c1, c2, c3]
}

/// Block `block` of kind `kind` of the stream (`key`, `index`), as X0 and X1.
pub fn philox_block(kind: u8, key: u64, index: u64, block: u64) -> (u64, u64) {
    let counter =
        [index as u32, (index >> 32) as u32, block as u32, u32::from(kind) << 28 | (block >> 32) as u32];
    let [w0, w1, w2, w3] = philox4x32_10(counter, [key as u32, (key >> 32) as u32]).map(u64::from);
    (w0 | w1 << 32, w2 | w3 << 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_known_answers() {
        const ONES: u32 = u32::MAX;
        let cases = [
            ([0; 4], [0; 2], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]),
            ([ONES; 4], [ONES; 2], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]),
            (
                [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
                [0xa4093822, 0x299f31d0],
                [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
            ),
            ([1, 0, 0, 0], [0, 0], [0xf8e4cca4, 0x5cb200db, 0xb1a574eb, 0x097eff67]),
            ([0, 0, 0, 0], [1, 0], [0xe3e80670, 0xe50a0ebc, 0x95f222c0, 0xb615aa27]),
            ([0, 0, 1, 0], [0, 0], [0x844515e1, 0xf08d6eaa, 0x0f19c053, 0x83f875f0]),
            ([1, 2, 3, 4], [5, 6], [0xc0c839bc, 0x889c87c5, 0x61986739, 0x2d4623d0]),
        ];
        for (counter, key, words) in cases {
            assert_eq!(philox4x32_10(counter, key), words);
        }
    }

    #[test]
    fn philox_default_engine_of_cpp_agrees() {
        // C++26 std::philox4x32: seed 20111115, the 10000th output; 4 outputs per counter, from the last word of block 2499.
        let block = philox4x32_10([2499, 0, 0, 0], [20111115, 0]);
        assert!(block.contains(&1955073260), "{block:?}");
    }

    #[test]
    fn blocks_lay_out_counter_and_words() {
        let (low, high) =
            philox_block(1, 0x0000_0006_0000_0005, 0x0000_0002_0000_0001, 0x0000_0004_0000_0003);
        let words = philox4x32_10([1, 2, 3, 1 << 28 | 4], [5, 6]);
        assert_eq!(low, u64::from(words[0]) | u64::from(words[1]) << 32);
        assert_eq!(high, u64::from(words[2]) | u64::from(words[3]) << 32);
    }
}
