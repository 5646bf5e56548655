//! Node classes that a pool does not run.

use std::sync::{Arc, LazyLock};

use crate::{Graph, class_of, nodes::ObjectInfo, order::order, shown};

/// The rule that stands for all nodes that call a paid service on the internet (`api_node` in the engine's answer).
pub const API_NODES: &str = "@api";
/// The rule that stands for the list that ships, [`default_denied`].
pub const DEFAULT_RULES: &str = "@default";

/// A node whose class is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The node's id.
    pub node: String,
    /// Its class.
    pub class: String,
    /// The rule that denies it: a class with stars, or [`API_NODES`].
    pub rule: String,
    /// Whether the rule is one of the list that ships.
    pub is_default: bool,
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (node, class, rule) = (shown(&self.node), shown(&self.class), shown(&self.rule));
        let of = if self.is_default { format!(" of {DEFAULT_RULES}") } else { String::new() };
        write!(f, "node {node}: the pool does not run nodes of class {class:?}, by its rule {rule:?}{of}")
    }
}

/// Classes that reach out: that fetch from addresses, run programs or code, or read and write wherever they are told.
/// Rules for [`denied`].
#[must_use]
pub fn default_denied() -> Vec<String> {
    SHIPPED.iter().map(|rule| rule.text.to_string()).collect()
}

/// A rule, read once for all nodes: every graph that is accepted is held against them.
#[derive(Debug, Clone)]
struct Rule {
    text: Arc<str>,
    /// The text in small letters.
    lower: Arc<str>,
    is_default: bool,
}

static SHIPPED: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let lines =
        include_str!("deny.txt").lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(|line| Rule::new(line, true)).collect()
});

impl Rule {
    fn new(text: &str, is_default: bool) -> Self {
        Self { text: text.into(), lower: text.to_lowercase().into(), is_default }
    }
}

/// The nodes whose classes a rule denies, by their numbers. A rule is a class, in which `*` stands for any letters,
/// [`API_NODES`], for which the engine's definitions are needed, or [`DEFAULT_RULES`]. Case does not count.
#[must_use]
pub fn denied(graph: &Graph, rules: &[String], known: Option<&ObjectInfo>) -> Vec<Denied> {
    let mut all = Vec::new();
    for rule in rules {
        if rule == DEFAULT_RULES {
            all.extend_from_slice(&SHIPPED);
        } else {
            all.push(Rule::new(rule, false));
        }
    }
    let hit = |class: &str| {
        let is_api = || known.and_then(|known| known.class(class)).is_some_and(crate::Class::is_api);
        let class = class.to_lowercase();
        all.iter().find(|rule| if *rule.text == *API_NODES { is_api() } else { is_like(&rule.lower, &class) })
    };
    let nodes = order(graph).into_iter().map(|id| (id, class_of(&graph[id])));
    nodes
        .filter_map(|(id, class)| {
            let Rule { text, is_default, .. } = hit(class)?;
            let (node, class, rule) = (id.to_owned(), class.to_owned(), text.to_string());
            Some(Denied { node, class, rule, is_default: *is_default })
        })
        .collect()
}

/// Whether a text is as a pattern says, in which `*` stands for any text. Case counts.
#[must_use]
pub fn is_like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    // Each part is looked for from the end of the one before: the first place is as good as any later one.
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

    fn graph() -> Graph {
        let nodes = json!({
            "2": {"class_type": "LoadImageFromUrl"}, "10": {"class_type": "VHS_LoadImagesPath"},
            "3": {"class_type": "LoadImage"}, "4": {"class_type": "KSampler"}, "5": {"class_type": "Dalle"},
        });
        nodes.as_object().unwrap().clone()
    }

    fn ids(rules: &[&str], known: Option<&ObjectInfo>) -> Vec<String> {
        let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
        denied(&graph(), &rules, known).into_iter().map(|denied| denied.node).collect()
    }

    #[test]
    fn a_star_stands_for_any_text() {
        let table = [
            ("a.safetensors", "a.safetensors", true),
            ("a", "ab", false),
            ("a*a", "a", false),
            ("*", "", true),
            ("**", "any", true),
            ("sdxl/*", "sdxl/base", true),
            ("sdxl/*", "sd15/base", false),
            ("*.ckpt", "a.ckpt", true),
            ("*.ckpt", "a.ckpt.bak", false),
            ("*.ckpt", "a.CKPT", false),
            ("*b*c", "abbc", true),
            ("*b*c", "acb", false),
            ("a*b*c", "aXbYbZc", true),
            ("ab*ba", "aba", false),
            ("ü*", "üben", true),
        ];
        for (pattern, text, want) in table {
            assert_eq!(is_like(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn rules_match_classes_whatever_their_case() {
        let table: [(&str, &[&str]); 5] = [
            ("loadimage", &["3"]),
            ("LOADIMAGE*", &["2", "3"]),
            ("*URL*", &["2"]),
            ("Load", &[]),
            ("vhs_*", &["10"]),
        ];
        for (rule, want) in table {
            assert_eq!(ids(&[rule], None), want, "{rule}");
        }
    }

    #[test]
    fn nodes_that_reach_out_are_denied_by_the_default_list_and_others_are_not() {
        let known = ObjectInfo::parse(br#"{"Dalle": {"api_node": true}}"#).unwrap();
        let shipped = default_denied();
        let shipped: Vec<&str> = shipped.iter().map(String::as_str).collect();
        assert_eq!(ids(&shipped, Some(&known)), ["2", "5", "10"]);
        assert_eq!(ids(&[DEFAULT_RULES], Some(&known)), ["2", "5", "10"], "its name stands for it");
        assert_eq!(ids(&[DEFAULT_RULES, "ksampler"], None), ["2", "4", "10"]);
        assert_eq!(ids(&[API_NODES], Some(&known)), ["5"]);
        assert_eq!(ids(&[], Some(&known)), Vec::<String>::new());
    }

    #[test]
    fn a_denied_node_is_told_with_its_rule_and_where_that_is_from() {
        let told = |rule: &str| denied(&graph(), &[rule.to_owned()], None)[0].to_string();
        assert_eq!(
            told("*Url"),
            "node 2: the pool does not run nodes of class \"LoadImageFromUrl\", by its rule \"*Url\""
        );
        assert_eq!(
            told("@default"),
            "node 2: the pool does not run nodes of class \"LoadImageFromUrl\", by its rule \"*FromUrl*\" of @default"
        );
    }
}
