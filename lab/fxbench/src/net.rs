//! TCP to another machine or domain where `fxbench serve` runs: a MiB each way, and a byte there and back.

use std::io::{Error, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::exit;

use crate::mark::Run;
use crate::target::targets;

const CHUNK: usize = 64 << 10;
const MIB: usize = 1 << 20;

/// What a client wants; the number of MiB or of bytes follows.
const TAKE: u8 = b't';
const GIVE: u8 = b'g';
const ECHO: u8 = b'e';

fn good<T>(what: &str, result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| {
        eprintln!("fxbench: {what}: {error}");
        exit(1)
    })
}

fn connect(order: u8, count: u32) -> TcpStream {
    let Some(host) = targets().host else {
        eprintln!("fxbench: no --host");
        exit(2)
    };
    let mut stream = good("connect", TcpStream::connect(host));
    good("nodelay", stream.set_nodelay(true));
    let mut bytes = [order, 0, 0, 0, 0];
    bytes[1..].copy_from_slice(&count.to_le_bytes());
    good("order", stream.write_all(&bytes));
    // The server is there and has read the order.
    good("answer", stream.read_exact(&mut bytes[..1]));
    stream
}

/// `run.rounds` MiB to the server, until it has them.
pub fn send(run: Run) -> u64 {
    let mut stream = connect(TAKE, run.rounds);
    let chunk = [0u8; CHUNK];
    let start = run.begin();
    for _ in 0..run.rounds as usize * MIB / CHUNK {
        good("send", stream.write_all(&chunk));
    }
    good("receipt", stream.read_exact(&mut [0]));
    start.end()
}

/// `run.rounds` MiB from the server.
pub fn receive(run: Run) -> u64 {
    let mut stream = connect(GIVE, run.rounds);
    let mut chunk = [0u8; CHUNK];
    let start = run.begin();
    good("go", stream.write_all(&[0]));
    for _ in 0..run.rounds as usize * MIB / CHUNK {
        good("receive", stream.read_exact(&mut chunk));
    }
    start.end()
}

/// A byte to the server and one back.
pub fn request_response(run: Run) -> u64 {
    let mut stream = connect(ECHO, run.rounds);
    let mut byte = [0u8];
    let start = run.begin();
    for _ in 0..run.rounds {
        good("request", stream.write_all(&byte));
        good("response", stream.read_exact(&mut byte));
    }
    start.end()
}

/// `fxbench serve PORT`: one client after the other, for ever.
pub fn serve(port: u16) -> ! {
    let listener = good("listen", TcpListener::bind(("0.0.0.0", port)));
    println!("fxbench serves port {port}");
    loop {
        // A client that goes away is no reason to stop.
        let _ = listener.accept().and_then(|(stream, _)| one(&stream));
    }
}

fn one(mut stream: &TcpStream) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut order = [0u8; 5];
    stream.read_exact(&mut order)?;
    let [order, count @ ..] = order;
    let count = u32::from_le_bytes(count) as usize;
    stream.write_all(&[order])?;
    let mut chunk = [0u8; CHUNK];
    match order {
        TAKE => {
            for _ in 0..count * MIB / CHUNK {
                stream.read_exact(&mut chunk)?;
            }
            stream.write_all(&[0])
        }
        GIVE => {
            stream.read_exact(&mut [0])?;
            (0..count * MIB / CHUNK).try_for_each(|_| stream.write_all(&chunk))
        }
        _ => (0..count).try_for_each(|_| {
            stream.read_exact(&mut chunk[..1])?;
            stream.write_all(&chunk[..1])
        }),
    }
}
