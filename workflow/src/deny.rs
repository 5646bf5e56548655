//! Node classes that a pool does not run.

use crate::{Graph, class_of, nodes::ObjectInfo, order::order, shown};

/// The rule that stands for all nodes that call a paid service on the internet (`api_node` in the engine's answer).
pub const API_NODES: &str = "@api";

/// A node whose class is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The node's id.
    pub node: String,
    /// Its class.
    pub class: String,
    /// The rule that denies it.
    pub rule: String,
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (node, class) = (shown(&self.node), shown(&self.class));
        write!(
            f,
            "node {node}: the pool does not run nodes of class {class:?} (its rule {:?})",
            shown(&self.rule)
        )
    }
}

/// Classes that reach out: that fetch from addresses, run programs or code, or read and write wherever they are told.
/// Rules for [`denied`].
#[must_use]
pub fn default_denied() -> Vec<String> {
    let lines =
        include_str!("deny.txt").lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// The nodes whose classes a rule denies, by their numbers. A rule is a class, in which `*` stands for any letters, or
/// [`API_NODES`], for which the engine's definitions are needed. Case does not count.
#[must_use]
pub fn denied(graph: &Graph, rules: &[String], known: Option<&ObjectInfo>) -> Vec<Denied> {
    let hit = |class: &str| {
        let is_api = || known.and_then(|known| known.class(class)).is_some_and(crate::Class::is_api);
        rules.iter().find(|rule| if *rule == API_NODES { is_api() } else { matches(rule, class) })
    };
    let nodes = order(graph).into_iter().map(|id| (id, class_of(&graph[id])));
    nodes
        .filter_map(|(id, class)| {
            let rule = hit(class)?;
            Some(Denied { node: id.to_owned(), class: class.to_owned(), rule: rule.clone() })
        })
        .collect()
}

fn matches(rule: &str, class: &str) -> bool {
    let (rule, class) = (rule.to_lowercase(), class.to_lowercase());
    let mut parts = rule.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = class.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_match_classes_with_stars_and_whatever_their_case() {
        let table = [
            ("LoadImage", "LoadImage", true),
            ("LoadImage", "LoadImageMask", false),
            ("loadimage*", "LoadImageMask", true),
            ("*Url*", "LoadImageFromURL", true),
            ("a*a", "a", false),
            ("*", "", true),
            ("*b*c", "abbc", true),
            ("*b*c", "acb", false),
        ];
        for (rule, class, want) in table {
            assert_eq!(matches(rule, class), want, "{rule} {class}");
        }
    }

    #[test]
    fn nodes_that_reach_out_are_denied_by_default_and_others_are_not() {
        let graph = json!({
            "2": {"class_type": "LoadImageFromUrl"}, "10": {"class_type": "VHS_LoadImagesPath"},
            "3": {"class_type": "LoadImage"}, "4": {"class_type": "KSampler"}, "5": {"class_type": "Dalle"},
        });
        let known = ObjectInfo::parse(br#"{"Dalle": {"api_node": true}}"#).unwrap();
        let denied = denied(graph.as_object().unwrap(), &default_denied(), Some(&known));
        let ids: Vec<&str> = denied.iter().map(|denied| denied.node.as_str()).collect();
        assert_eq!(ids, ["2", "5", "10"]);
        assert_eq!(
            denied[1].to_string(),
            "node 5: the pool does not run nodes of class \"Dalle\" (its rule \"@api\")"
        );
    }
}
