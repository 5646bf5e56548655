//! Files of every kind: checked, stripped, cut, converted.

mod convert;
mod files;
mod handmade;
mod input;
mod reader;
