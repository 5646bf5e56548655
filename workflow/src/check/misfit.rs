//! What does not fit, in one sentence each.

use std::fmt;

use crate::shown;

/// Something in a graph that the engine would refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The node's id; empty where it is the graph as a whole.
    pub node: String,
    /// Its class.
    pub class: String,
    /// The input.
    pub input: Option<String>,
    /// What is wrong.
    pub what: What,
}

/// What is wrong with an input, a node or a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// The engine has no such class.
    UnknownClass {
        /// Those whose names are most alike.
        nearest: Vec<String>,
    },
    /// No node of the graph is one that the engine runs for its own sake.
    NoOutput,
    /// These nodes are linked in a circle.
    Cycle(Vec<String>),
    /// The class has no such input, and lacks one of nearly that name.
    UnknownInput {
        /// Those it has.
        has: Vec<String>,
        /// The one that was meant.
        meant: String,
    },
    /// An input that has to be given is not.
    Missing {
        /// What it takes.
        kind: String,
        /// An input of nearly that name which is given.
        slip: Option<String>,
    },
    /// An array that is no `[node id, output]`.
    BadLink,
    /// A link to a node that the graph does not have.
    NoSuchNode {
        /// The node's id.
        from: String,
    },
    /// A link to an output that the node does not have.
    NoSuchOutput {
        /// The node's id.
        from: String,
        /// Its class.
        class: String,
        /// The output, as it was given.
        index: String,
        /// The names of those it has, from 0 on.
        has: Vec<String>,
    },
    /// A link to an output of another type.
    TypeMismatch {
        /// The node's id.
        from: String,
        /// Its class.
        class: String,
        /// The output's type.
        gives: String,
        /// What the input takes.
        takes: String,
    },
    /// A value that is none of the choices.
    NotInList {
        /// The value, as JSON.
        given: String,
        /// The choices that are most alike.
        nearest: Vec<String>,
        /// All choices, as JSON; none where there are too many to show.
        has: Vec<String>,
        /// How many choices there are.
        of: usize,
    },
    /// A number outside of its bounds.
    OutOfRange {
        /// The value, as JSON.
        given: String,
        /// The least that is allowed.
        min: Option<String>,
        /// The most that is allowed.
        max: Option<String>,
    },
    /// A value of the wrong kind.
    WrongType {
        /// The value, as JSON.
        given: String,
        /// What is taken.
        takes: String,
    },
}

impl Misfit {
    pub(super) fn new(node: &str, class: &str, input: Option<&str>, what: What) -> Self {
        let input = input.map(str::to_owned);
        Self { node: node.to_owned(), class: class.to_owned(), input, what }
    }

    pub(super) fn of_graph(what: What) -> Self {
        Self::new("", "", None, what)
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.node.is_empty() {
            write!(f, "node {}", shown(&self.node))?;
            if !matches!(self.what, What::UnknownClass { .. } | What::Cycle(_)) {
                write!(f, " ({})", shown(&self.class))?;
            }
            f.write_str(": ")?;
        }
        let input = shown(self.input.as_deref().unwrap_or_default());
        match &self.what {
            What::UnknownClass { nearest } => {
                write!(f, "the engine has no node class {:?}{}", shown(&self.class), meant(nearest))
            }
            What::NoOutput => {
                f.write_str("the workflow has no output node, such as SaveImage: it would make nothing")
            }
            What::Cycle(path) => {
                let ids: Vec<String> = path.iter().chain(path.first()).map(|id| shown(id)).collect();
                write!(f, "the nodes are linked in a circle: {}", ids.join(" → "))
            }
            What::UnknownInput { has, meant } => {
                write!(f, "it has no input {input:?}; it has {}; did you mean {meant:?}?", has.join(", "))
            }
            What::Missing { kind, slip } => {
                write!(f, "{input} is not given; it takes {kind}")?;
                slip.iter().try_for_each(|slip| write!(f, "; {slip:?} is given: did you mean {input:?}?"))
            }
            What::BadLink => write!(f, "{input} is an array, but no link: write [\"node id\", output]"),
            What::NoSuchNode { from } => {
                write!(f, "{input} is linked to node {:?}, which the workflow does not have", shown(from))
            }
            What::NoSuchOutput { from, class, index, has } => {
                let has: Vec<String> =
                    has.iter().enumerate().map(|(at, name)| format!("{at} {name}")).collect();
                let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
                let (from, index) = (shown(from), shown(index));
                write!(
                    f,
                    "{input} is linked to output {index} of node {from} ({class}), whose outputs are: {has}"
                )
            }
            What::TypeMismatch { from, class, gives, takes } => {
                write!(
                    f,
                    "{input} takes {takes}, but is linked to node {} ({class}), which gives {gives}",
                    shown(from)
                )
            }
            What::NotInList { given, nearest, has, of } => {
                write!(f, "{input} is {}, which is none of the {of} that the engine has", shown(given))?;
                match has.as_slice() {
                    [] => write!(f, "{}", meant(nearest)),
                    has => write!(f, ": {}{}", has.join(", "), meant(nearest)),
                }
            }
            What::OutOfRange { given, min, max } => {
                write!(f, "{input} is {}; it must be ", shown(given))?;
                match (min, max) {
                    (Some(min), Some(max)) => write!(f, "between {min} and {max}"),
                    (Some(min), None) => write!(f, "{min} or more"),
                    (None, max) => write!(f, "{} or less", max.as_deref().unwrap_or("any")),
                }
            }
            What::WrongType { given, takes } => write!(f, "{input} is {}; it takes {takes}", shown(given)),
        }
    }
}

fn meant(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        names => format!(
            "; did you mean {}?",
            names.iter().map(|name| shown(name)).collect::<Vec<_>>().join(" or ")
        ),
    }
}
