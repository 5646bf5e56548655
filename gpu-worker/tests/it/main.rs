//! The worker against recordings of a real engine, and as a whole against Redis, S3 and a simulated engine.

mod replay;
mod wire;
