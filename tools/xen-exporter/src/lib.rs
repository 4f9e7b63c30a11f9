//! Metrics of domains and of the machine, for Prometheus.
//!
//! A scrape has three parts, each of which is tested alone: `xenstat` makes a snapshot, [`encode`] tells it, [`server`] answers
//! who asks over HTTP. Nothing is kept between scrapes: what is told is what is there, and a domain that ended is not told of any
//! more.
#![forbid(unsafe_code)]

pub mod encode;
pub mod server;
