//! What several tests need.

#![allow(dead_code)] // no test needs all of it

pub mod live;
pub mod model;
