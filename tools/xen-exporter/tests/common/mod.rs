//! A reader that takes nothing but what the formats allow.
#![allow(dead_code, clippy::unwrap_used)]

pub mod strict;
