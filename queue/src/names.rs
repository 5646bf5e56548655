//! How names become keys. All keys of a pool carry its hash tag, so they live in one slot of a Cluster; names
//! of tenants and models stay data: where one must lead to a key, a digest of it does.

use sha2::{Digest, Sha256};

/// The layout of the records. Another layout gets another number: then the queue looks empty to newer
/// programs and the operator fills it again, instead of either misreading the other's records.
const LAYOUT: &str = "ij2";

/// What every key of the pool begins with.
pub(crate) fn prefix(pool: &str) -> String {
    // Only the first {…} of a key chooses its slot.
    let tag: String = pool.chars().map(|c| if matches!(c, '{' | '}') { '_' } else { c }).collect();
    format!("{LAYOUT}:{{{tag}}}:")
}

/// 64 bits of SHA-256: short, and nobody can find a name that meets another's.
pub(crate) fn digest(name: &str) -> String {
    Sha256::digest(name.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{digest, prefix};

    #[test]
    fn braces_in_a_pool_name_cant_move_its_keys() {
        assert_eq!(prefix("studio/sd15"), "ij2:{studio/sd15}:");
        assert_eq!(prefix("a}b{/c"), "ij2:{a_b_/c}:");
    }

    #[test]
    fn digests_are_short_and_stable() {
        assert_eq!(digest(""), "e3b0c44298fc1c14");
        assert_eq!(digest("acme{}"), digest("acme{}"));
    }
}
