//! What leads to the output nodes.

use std::collections::BTreeSet;

pub(super) struct Walked<'a> {
    pub(super) reached: BTreeSet<&'a str>,
    /// The first way that leads back to where it began, if there is one; its last node is linked to its first.
    pub(super) cycle: Option<Vec<&'a str>>,
}

/// Follows the links back from the outputs. Graphs may be deep, so the way is kept in a list and not on the stack.
pub(super) fn walk<'a>(outputs: &[&'a str], links: impl Fn(&str) -> Vec<&'a str>) -> Walked<'a> {
    let mut reached = BTreeSet::new();
    let mut cycle = None;
    for output in outputs {
        if !reached.insert(*output) {
            continue;
        }
        let mut way: Vec<(&str, Vec<&str>)> = vec![(output, links(output))];
        let mut on_way = BTreeSet::from([*output]);
        while let Some((id, left)) = way.last_mut() {
            let Some(next) = left.pop() else {
                on_way.remove(id);
                way.pop();
                continue;
            };
            if on_way.contains(next) {
                let start = way.iter().position(|(id, _)| *id == next).unwrap_or_default();
                cycle = cycle.or_else(|| Some(way[start..].iter().map(|(id, _)| *id).collect()));
            } else if reached.insert(next) {
                on_way.insert(next);
                way.push((next, links(next)));
            }
        }
    }
    Walked { reached, cycle }
}
