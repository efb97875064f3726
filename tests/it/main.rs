//! Tests from outside, all in one binary: linking once is enough.

mod docs;
mod simulator;
