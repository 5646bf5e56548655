//! The order of nodes.

use std::cmp::Ordering;

use crate::Graph;

/// Node ids are numbers as a rule (`9` comes before `16`); those inside of subgraphs and expanded nodes are numbers with
/// `:` or `.` between them (`57:8`). The order in which a graph lists its nodes does not count: the API server keeps
/// objects with sorted keys.
#[must_use]
pub fn by_number(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (parts(a), parts(b));
    loop {
        let ordering = match (left.next(), right.next()) {
            (None, None) => return a.cmp(b),
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}

/// The ids of a graph's nodes, by their numbers.
#[must_use]
pub fn order(graph: &Graph) -> Vec<&str> {
    let mut ids: Vec<&str> = graph.keys().map(String::as_str).collect();
    ids.sort_by(|a, b| by_number(a, b));
    ids
}

fn parts(id: &str) -> impl Iterator<Item = &str> {
    id.split([':', '.'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn nodes_are_ordered_by_their_numbers() {
        let ordered =
            ["1", "9", "9.0.0.1", "9:2", "9:10", "16", "57:8", "57:12:1", "100", "a", "b:2", "b:10"];
        let graph: Graph =
            ordered.iter().rev().map(|id| ((*id).to_owned(), serde_json::Value::Null)).collect();
        assert_eq!(order(&graph), ordered);
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in "[0-9a:.]{0,6}", b in "[0-9a:.]{0,6}", c in "[0-9a:.]{0,6}") {
            prop_assert_eq!(by_number(&a, &b), by_number(&b, &a).reverse());
            if by_number(&a, &b).is_le() && by_number(&b, &c).is_le() {
                prop_assert!(by_number(&a, &c).is_le());
            }
        }
    }
}
