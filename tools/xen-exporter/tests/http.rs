//! Who asks over HTTP, well and badly behaved.
#![allow(clippy::unwrap_used)]

mod common;

use common::strict;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use xen_exporter::encode::Format;
use xen_exporter::server::{Limits, Scraper, serve};
use xenstat::fake::{Fake, domain};

const LIMITS: Limits = Limits {
    connections: 8,
    head: Duration::from_millis(300),
    scrape: Duration::from_secs(1),
    connection: Duration::from_secs(3),
};

/// Serves for the rest of the test.
fn start(source: Fake, limits: Limits) -> SocketAddr {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            serve(listener, Scraper::start(source, limits).unwrap(), limits).await;
        });
    });
    told.recv().unwrap()
}

fn source() -> Fake {
    Fake { lists: vec![vec![domain(0, 0), domain(1, 1)]], name: "guest".to_owned(), ..Fake::default() }
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// What comes until the connection ends, however it ends, but it must.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(len) => bytes.extend_from_slice(&part[..len]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("it is still open")
            }
            Err(_) => break,
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn ask(to: SocketAddr, request: &str) -> String {
    let mut stream = connect(to);
    stream.write_all(request.as_bytes()).unwrap();
    rest(&mut stream)
}

fn get(to: SocketAddr, path: &str, more: &str) -> (u16, String, String) {
    let answer = ask(to, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, head.to_ascii_lowercase(), body.to_owned())
}

#[test]
fn metrics_and_a_page_are_served_and_nothing_else() {
    let to = start(source(), LIMITS);
    let (code, head, body) = get(to, "/metrics", "");
    assert_eq!(code, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    assert!(strict::read(&body, Format::Prometheus).keys().any(|series| series.contains("name=guest")));
    let (code, head, body) = get(to, "/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n");
    assert_eq!(code, 200);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    strict::read(&body, Format::OpenMetrics);
    let (code, _, body) = get(to, "/", "");
    assert!(code == 200 && body.contains("href=\"/metrics\""), "{body}");
    assert_eq!(get(to, "/metrics/x", "").0, 404);
    assert_eq!(get(to, "/../etc/passwd", "").0, 404);
    let head = ask(to, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    let mut closing = connect(to);
    closing.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    closing.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(rest(&mut closing).starts_with("HTTP/1.0 200"));
    for method in ["POST", "PUT", "DELETE"] {
        let answer = ask(to, &format!("{method} /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    }
}

#[test]
fn what_is_no_request_ends_its_own_connection_only() {
    let to = start(source(), LIMITS);
    assert!(ask(to, "hello\r\n\r\n").starts_with("HTTP/1.1 400"));
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(64 << 10));
    let mut stream = connect(to);
    // It may be cut off before all of it is sent.
    let _ = stream.write_all(long.as_bytes());
    let answer = rest(&mut stream);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1000));
    assert!(ask(to, &many).starts_with("HTTP/1.1 431"));
    assert_eq!(get(to, "/metrics", "").0, 200);
}

#[test]
fn a_slow_client_is_not_waited_for() {
    let to = start(source(), LIMITS);
    let since = Instant::now();
    let mut slow = connect(to);
    slow.write_all(b"GET /met").unwrap();
    assert_eq!(get(to, "/metrics", "").0, 200);
    // It is cut off, with 408 or without.
    rest(&mut slow);
    assert!(since.elapsed() < Duration::from_secs(10));
}

#[test]
fn who_holds_many_connections_loses_the_oldest() {
    let limits = Limits { head: Duration::from_secs(60), connection: Duration::from_secs(60), ..LIMITS };
    let to = start(source(), limits);
    let held: Vec<TcpStream> = (0..limits.connections * 3).map(|_| connect(to)).collect();
    for _ in 0..3 {
        assert_eq!(get(to, "/metrics", "").0, 200);
    }
    let mut oldest = held.into_iter().next().unwrap();
    assert_eq!(rest(&mut oldest), "");
}

#[test]
fn sources_that_hang_make_an_answer_that_says_so() {
    let (open, gate) = mpsc::channel();
    let to = start(Fake { gate: Some(gate), ..source() }, Limits { scrape: Duration::from_millis(200), ..LIMITS });
    // More than fit into the queue.
    let waiting: Vec<_> =
        (0..20).map(|_| std::thread::spawn(move || ask(to, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"))).collect();
    let answers: Vec<String> = waiting.into_iter().map(|thread| thread.join().unwrap()).collect();
    // Those above the number of connections were cut off.
    assert!(answers.iter().all(|answer| answer.is_empty() || answer.starts_with("HTTP/1.1 503")), "{answers:?}");
    assert!(answers.iter().any(|answer| answer.starts_with("HTTP/1.1 503")));
    assert_eq!(get(to, "/", "").0, 200);
    drop(open);
    // The gate is open for ever; what waited is done first.
    let until = Instant::now() + Duration::from_secs(10);
    while get(to, "/metrics", "").0 != 200 {
        assert!(Instant::now() < until);
    }
}
