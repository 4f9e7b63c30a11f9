//! So much data over TCP, another for each MiB, with a checksum on both sides: what a path has carried rightly.

use std::io::{Error, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;

use xxhash_rust::xxh3::Xxh3;

const CHUNK: usize = 64 << 10;
const MIB: usize = 1 << 20;

/// A chunk of a stream that never repeats: xorshift (Marsaglia, 2003), so that no two pages are the same.
fn fill(chunk: &mut [u8], state: &mut u64) {
    for word in chunk.chunks_exact_mut(8) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
}

fn send(host: &str, mib: usize) -> Result<u128, Error> {
    let mut stream = TcpStream::connect(host)?;
    let mut chunk = vec![0; CHUNK];
    let mut sum = Xxh3::new();
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..mib * MIB / CHUNK {
        fill(&mut chunk, &mut state);
        sum.update(&chunk);
        stream.write_all(&chunk)?;
    }
    Ok(sum.digest128())
}

fn take(port: u16) -> Result<(usize, u128), Error> {
    let (mut stream, _) = TcpListener::bind(("0.0.0.0", port))?.accept()?;
    let mut chunk = vec![0; CHUNK];
    let mut sum = Xxh3::new();
    let mut bytes = 0;
    loop {
        match stream.read(&mut chunk)? {
            0 => return Ok((bytes, sum.digest128())),
            length => {
                sum.update(chunk.get(..length).unwrap_or_default());
                bytes += length;
            }
        }
    }
}

fn said(result: Result<String, Error>) -> ExitCode {
    match result {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("fxbench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `fxbench carry ADDRESS:PORT MIB`: sends so much; prints bytes and XXH3-128 as the other side does.
pub fn carry(host: &str, mib: u16) -> ExitCode {
    let mib = usize::from(mib);
    said(send(host, mib).map(|sum| format!("{} {sum:032x}", mib * MIB)))
}

/// `fxbench take PORT`: what one sender sends, to its end.
pub fn wait(port: u16) -> ExitCode {
    said(take(port).map(|(bytes, sum)| format!("{bytes} {sum:032x}")))
}
