//! `Range` headers (RFC 9110, section 14), as far as downloads use them: one range of bytes.

use std::ops::RangeInclusive;

/// What of a file is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of it; also of a header that is not understood, which may be ignored.
    Whole,
    /// These bytes, which it has.
    Part(RangeInclusive<u64>),
    /// Bytes that it does not have.
    Beyond,
}

/// What a header asks for of a file of `size` bytes.
pub(super) fn asked(header: Option<&str>, size: u64) -> Asked {
    let Some((first, last)) =
        header.and_then(|text| text.strip_prefix("bytes=")).and_then(|text| text.trim().split_once('-'))
    else {
        return Asked::Whole;
    };
    let end = size.saturating_sub(1);
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first > last => Asked::Whole,
        (Ok(first), _) if first >= size => Asked::Beyond,
        (Ok(first), Ok(last)) => Asked::Part(first..=last.min(end)),
        (Ok(first), Err(_)) if last.is_empty() => Asked::Part(first..=end),
        (Err(_), Ok(0)) if first.is_empty() => Asked::Beyond,
        (Err(_), Ok(_)) if first.is_empty() && size == 0 => Asked::Beyond,
        (Err(_), Ok(n)) if first.is_empty() => Asked::Part(size.saturating_sub(n)..=end),
        _ => Asked::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, asked};

    #[test]
    fn one_range_is_understood_and_anything_else_asks_for_all() {
        for (header, wanted) in [
            (None, Asked::Whole),
            (Some("bytes=0-9"), Asked::Part(0..=9)),
            (Some("bytes=90-"), Asked::Part(90..=99)),
            (Some("bytes=90-1000"), Asked::Part(90..=99)),
            (Some("bytes=-10"), Asked::Part(90..=99)),
            (Some("bytes=-1000"), Asked::Part(0..=99)),
            (Some("bytes=100-"), Asked::Beyond),
            (Some("bytes=-0"), Asked::Beyond),
            (Some("bytes=9-0"), Asked::Whole),
            (Some("bytes=0-1,3-4"), Asked::Whole),
            (Some("bytes=a-b"), Asked::Whole),
            (Some("pages=1-2"), Asked::Whole),
        ] {
            assert_eq!(asked(header, 100), wanted, "{header:?}");
        }
    }
}
