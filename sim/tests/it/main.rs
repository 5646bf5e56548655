//! The simulation, from outside.
mod command;
mod order;
