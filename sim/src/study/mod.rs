//! What is run, and what is made of it.
mod own;
mod run;
mod standard;
pub(crate) mod zone_kill;

pub(crate) use own::own;
pub(crate) use standard::{recorded, standard};

/// For whoever sits before it.
#[allow(clippy::print_stdout)]
pub(crate) fn print(text: &str) {
    println!("{text}");
}
