//! The masking of payloads.

/// Applies a masking key to bytes in place; doing it twice undoes it (RFC 6455 section 5.3).
///
/// `phase` is how many bytes of the same payload were unmasked before.
pub(crate) fn unmask(bytes: &mut [u8], mut key: [u8; 4], phase: usize) {
    key.rotate_left(phase % 4);
    let half = u64::from(u32::from_ne_bytes(key));
    let wide_key = half << 32 | half;
    // Whole words first: the compiler turns this loop into vector instructions.
    let (words, rest) = bytes.as_chunks_mut();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide_key).to_ne_bytes();
    }
    // A word is a multiple of the key, so the key starts anew after the last one.
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_phase_agrees_with_the_definition() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for len in 0..200 {
            for phase in [0, 1, 2, 3, 4, 7, 4_094, usize::MAX] {
                let original: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
                let masked = |i: usize| original[i] ^ key[(i % 4 + phase % 4) % 4];
                let expected: Vec<u8> = (0..len).map(masked).collect();
                let mut bytes = original.clone();
                unmask(&mut bytes, key, phase);
                assert_eq!(bytes, expected, "{len} bytes at phase {phase}");
            }
        }
    }

    #[test]
    fn pieces_unmask_like_the_whole() {
        let key = [1, 20, 31, 44];
        let mut whole: Vec<u8> = (0..=255).collect();
        let mut pieces = whole.clone();
        unmask(&mut whole, key, 0);
        for cut in [0, 1, 2, 3, 5, 8, 33, 255, 256] {
            let mut cut_once = pieces.clone();
            let (left, right) = cut_once.split_at_mut(cut);
            unmask(left, key, 0);
            unmask(right, key, cut);
            assert_eq!(cut_once, whole, "cut at {cut}");
        }
        unmask(&mut pieces, key, 0);
        unmask(&mut pieces, key, 0);
        assert_eq!(pieces, (0..=255).collect::<Vec<u8>>(), "twice is nothing");
    }
}
