//! Tests of the core: scripts of inputs with what comes out, bounds under a flood, and a reference model.

mod bounds;
mod flood;
mod model;
mod queries;
mod random;
mod rules;
mod script;
mod showing;
