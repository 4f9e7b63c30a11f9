//! core/ on simulated hardware.
#![forbid(unsafe_code)]
