//! The names that are most like a given one.

/// Longer names are compared by their beginnings, characters.
const COMPARED: usize = 80;

/// Up to `most` of the names that a slip may have made into `word`, the likest first.
pub(crate) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>, most: usize) -> Vec<String> {
    let plain = plain(word);
    let mut scored: Vec<(usize, &str)> =
        names.filter_map(|name| score(&plain, &self::plain(name)).map(|score| (score, name))).collect();
    scored.sort();
    scored.dedup();
    scored.into_iter().take(most).map(|(_, name)| name.to_owned()).collect()
}

/// Whether one is a slip of the other.
pub(crate) fn is_near(a: &str, b: &str) -> bool {
    let (a, b) = (plain(a), plain(b));
    distance(&a, &b) <= slips(&a, &b)
}

/// So many letters may be wrong.
fn slips(a: &[char], b: &[char]) -> usize {
    (a.len().max(b.len()) / 4).clamp(1, 6)
}

/// Case, separators and a file's folder and kind tell no names apart.
fn plain(name: &str) -> Vec<char> {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let stem = match file.rsplit_once('.') {
        Some((stem, kind)) if (2..=11).contains(&kind.len()) && !stem.is_empty() => stem,
        _ => file,
    };
    let letters = stem.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase);
    letters.take(COMPARED).collect()
}

fn score(a: &[char], b: &[char]) -> Option<usize> {
    const SHORTEST_PART: usize = 3;
    let distance = distance(a, b);
    let slips = slips(a, b);
    if distance <= slips {
        return Some(distance);
    }
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    let part = short.len() >= SHORTEST_PART && long.windows(short.len()).any(|window| window == short);
    part.then_some(slips + distance)
}

/// Letters left out, put in, exchanged, or swapped with their neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let exchanged = last[j] + usize::from(x != y);
            let mut least = exchanged.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_name_that_was_meant() {
        let names = ["KSampler", "KSamplerAdvanced", "VAEDecode", "VAEDecodeTiled", "SaveImage"];
        let models = ["sd_xl_base_1.0.safetensors", "sub/v1-5-pruned.ckpt", "flux1-dev.safetensors"];
        let table: [(&str, &[&str], &[&str]); 7] = [
            ("KSampller", &names, &["KSampler"]),
            ("VAEdecode", &names, &["VAEDecode", "VAEDecodeTiled"]),
            ("Nothing", &names, &[]),
            ("sdxl_base_1.0.safetensors", &models, &["sd_xl_base_1.0.safetensors"]),
            ("v1-5-pruned.safetensors", &models, &["sub/v1-5-pruned.ckpt"]),
            ("flux1dev", &models, &["flux1-dev.safetensors"]),
            ("", &models, &[]),
        ];
        for (word, names, want) in table {
            assert_eq!(nearest(word, names.iter().copied(), 2), want, "{word}");
        }
        assert!(is_near("txet", "text") && is_near("denoize", "denoise") && !is_near("cfg", "steps"));
        assert!(!is_near("seed", "noise_seed"), "one is a part of the other");
    }
}
