//! Runtime of the test guests.
#![no_std]
