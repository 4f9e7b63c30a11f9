//! A block backend in user space: a guest's disk from a raw or qcow2 image, over the protocol of `io/blkif.h`.
//!
//! **One process for each disk**, below a supervisor. A hostile guest, a broken image or a slow disk is the concern of one
//! guest then; memory and time are accounted where they belong; and the process' life is the device's: the toolstack starts
//! it when it writes the two halves of the device (`backend/qdisk/DOMID/NUMBER`, where libxl looks, too), and it ends when
//! they say so, or are gone.
//!
//! **The guest is an attacker.** A request is copied out of the ring once ([`ring`]), segments that lie in a page of the
//! guest's are copied once ([`queue`]), data is copied before it reaches the image. What was copied is judged ([`request`]),
//! and nothing is read twice. Numbers of mapped pages, of segments and of requests in one turn are bounded.
//!
//! **`kill -9` loses nothing.** Requests are done and answered in order, so that the guest's page says where a backend was;
//! the moment in which answers overwrite requests is covered by a file ([`redo`]). Before the answer to a write, what
//! the image format keeps in memory goes to the kernel ([`disk::Disk::settle`]), for the guest will not write it again.
//! A guest's flush or barrier takes it to the disk ([`disk::Disk::sync`]).
//!
//! Offered: rings of up to 16 pages, persistent grants, indirect segments, flush, barrier, discard (of whole clusters), in
//! the layouts of 64-bit and 32-bit guests. One queue.
#![forbid(unsafe_code)]

pub mod device;
pub mod disk;
pub mod front;
pub mod image;
pub mod life;
pub mod pages;
pub mod protocol;
pub mod queue;
pub mod redo;
pub mod request;
pub mod ring;
pub mod statistics;
#[cfg(test)]
pub(crate) mod testing;
