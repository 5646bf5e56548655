/// The beginning of a text, at most so many bytes, cut between characters and marked as cut.
#[must_use]
pub(crate) fn cut(text: &str, bytes: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes.saturating_sub(MARK.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    format!("{}{MARK}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("lighthouse", 10), "lighthouse");
        assert_eq!(cut("lighthouse", 9), "lighth…");
        assert_eq!(cut("üüüü", 7), "üü…");
        assert_eq!(cut("üüüü", 6), "ü…");
    }
}
