//! The functions that scripts share, and which of them a script needs.
//!
//! A script is one text for Redis, which makes all functions in it anew at each call: so a script gets those that it
//! uses and no others. What nearly all of them use, the constants and the prelude, stands outside of one function that
//! has all the rest: what a function takes from there costs it least.

use crate::{
    Reason,
    engines::{KEEP_ENGINES, MAX_ENGINES},
    names,
    queue::{MAX_ALIKE_FAILURES, MAX_CRASHES, MAX_INTERRUPTIONS},
    spec::{MAX_WAIT_SLAS, NO_LIMIT, VERSION},
};

/// Of what is due, or of one job, a script sees to so many at once; whoever calls it goes on.
pub(crate) const BATCH: usize = 500;
/// A class with a shorter promise that has work is passed over for others at most so often in a row.
pub const PASSES: u32 = 3;
/// A task presses when less than this part of its class's promise is left before it must start. Then it may go before
/// its tenant's turn, while that is ahead of every other by no more GPU time ÷ weight than all busy workers spend in
/// such a time.
pub const PRESSING_SLAS: f64 = 0.25;
/// What presses lets work go first that needs no load until less than this part of its class's promise is left.
pub const LOAD_SLAS: f64 = PRESSING_SLAS / 2.0;

const PRELUDE: &str = include_str!("lua/prelude.lua");
/// In an order in which each uses only what stands before it.
const FILES: [&str; 24] = [
    include_str!("lua/names.lua"),
    include_str!("lua/events.lua"),
    include_str!("lua/spec.lua"),
    include_str!("lua/task.lua"),
    include_str!("lua/flow.lua"),
    include_str!("lua/lease.lua"),
    include_str!("lua/offer.lua"),
    include_str!("lua/counts.lua"),
    include_str!("lua/finish.lua"),
    include_str!("lua/malformed.lua"),
    include_str!("lua/withdraw.lua"),
    include_str!("lua/open.lua"),
    include_str!("lua/workers.lua"),
    include_str!("lua/learn.lua"),
    include_str!("lua/judge.lua"),
    include_str!("lua/stop.lua"),
    include_str!("lua/listing.lua"),
    include_str!("lua/back.lua"),
    include_str!("lua/adopt.lua"),
    include_str!("lua/grant.lua"),
    include_str!("lua/take.lua"),
    include_str!("lua/serve.lua"),
    include_str!("lua/choose.lua"),
    include_str!("lua/fence.lua"),
];

/// What Lua and Rust must agree on.
fn constants() -> String {
    let [crashed, interrupted, malformed] =
        [Reason::EngineCrashed, Reason::TooManyInterruptions, Reason::MalformedJob];
    let keep_engines = KEEP_ENGINES.as_secs();
    let no_model = names::digest("");
    format!(
        "local VERSION = {VERSION}\n\
         local NO_LIMIT = {NO_LIMIT}\n\
         local NO_MODEL = '{no_model}'\n\
         local BATCH = {BATCH}\n\
         local PASSES = {PASSES}\n\
         local PRESSING_SLAS = {PRESSING_SLAS}\n\
         local LOAD_SLAS = {LOAD_SLAS}\n\
         local MAX_WAIT_SLAS = {MAX_WAIT_SLAS}\n\
         local MAX_INTERRUPTIONS = {MAX_INTERRUPTIONS}\n\
         local MAX_CRASHES = {MAX_CRASHES}\n\
         local MAX_ALIKE_FAILURES = {MAX_ALIKE_FAILURES}\n\
         local ENGINE_CRASHED = '{crashed}'\n\
         local TOO_MANY_INTERRUPTIONS = '{interrupted}'\n\
         local MAX_ENGINES = {MAX_ENGINES}\n\
         local KEEP_ENGINES = {keep_engines}\n\
         local MALFORMED_JOB = '{malformed}'\n"
    )
}

/// One definition: `local function name(…) … end` or `local name = …`, with the comment before it.
struct Item<'a> {
    names: Vec<&'a str>,
    text: &'a str,
}

/// The script's own text, after all it uses of the library.
pub(crate) fn with_library(script: &str) -> String {
    let prelude = constants() + PRELUDE;
    let outside = items(&prelude);
    let inside: Vec<Item<'_>> = FILES.into_iter().flat_map(items).collect();
    let all = || outside.iter().chain(&inside);
    let mut wanted = vec![false; outside.len() + inside.len()];
    let mut texts = vec![script];
    while let Some(text) = texts.pop() {
        for word in words(text) {
            for (item, wanted) in all().zip(&mut wanted) {
                if !*wanted && item.names.contains(&word) {
                    *wanted = true;
                    texts.push(item.text);
                }
            }
        }
    }
    let mut used = all().zip(&wanted).map(|(item, wanted)| if *wanted { item.text } else { "" });
    let outside: String = used.by_ref().take(outside.len()).collect();
    let inside: String = used.collect();
    format!("{outside}local function run()\n{inside}{script}end\nreturn run()\n")
}

fn items(file: &str) -> Vec<Item<'_>> {
    let (mut items, mut start, mut names, mut comment) = (Vec::new(), 0, Vec::new(), None);
    let mut at = 0;
    for line in file.split_inclusive('\n') {
        let defined = defined(line);
        if !defined.is_empty() {
            let begin = comment.unwrap_or(at);
            if !names.is_empty() {
                items.push(Item { names: std::mem::take(&mut names), text: &file[start..begin] });
            }
            (start, names) = (begin, defined);
        }
        comment = if line.starts_with("--") { comment.or(Some(at)) } else { None };
        at += line.len();
    }
    if !names.is_empty() {
        items.push(Item { names, text: &file[start..] });
    }
    items
}

/// What a line at the top level defines. `function TABLE.name` belongs to the table.
fn defined(line: &str) -> Vec<&str> {
    let names = if let Some(rest) = line.strip_prefix("local function ") {
        rest.split('(').next()
    } else if let Some(rest) = line.strip_prefix("local ") {
        rest.split('=').next()
    } else if let Some(rest) = line.strip_prefix("function ") {
        rest.split('.').next()
    } else {
        None
    };
    names.into_iter().flat_map(|names| names.split(',')).map(str::trim).collect()
}

/// The words of a script that may be names: neither in a comment nor in a text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split("--").next().unwrap_or_default())
        // Texts stand between single quotes.
        .flat_map(|line| line.split('\'').step_by(2))
        .flat_map(|code| code.split(|c: char| !c.is_alphanumeric() && c != '_'))
}
