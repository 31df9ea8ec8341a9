//! Names a sender of messages by a number that is the same on every run and every machine.

/// The source of messages that `client_id` sends, or is sent, at `broker`: 64-bit FNV-1a over both, with a zero byte
/// between them.
///
/// Kept in the journal, so std's hashers will not do: they differ between runs or may change with a release.
pub(crate) fn source(broker: &str, client_id: &str) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = broker.bytes().chain([0]).chain(client_id.bytes());
    bytes.fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_the_fnv_1a_hash_of_its_names() {
        assert_eq!(source("", ""), 0xaf63_bd4c_8601_b7df); // The published vector for one zero byte.
        assert_eq!(source("broker.example", "citywire"), 0x6bc3_66d0_f807_0252);
        assert_ne!(source("a", "bc"), source("ab", "c"));
    }
}
