//! HTTP: `/metrics`, and a page that points to it.
//!
//! Who asks is not trusted. A connection is for one request, whose head has to come within seconds and within kilobytes, and ends
//! within seconds, too, however slowly it is read from. There are so many connections and no more; one above that ends the
//! oldest, so that nobody keeps others out by holding some. Requests that come while a scrape is made share the next one: there is one
//! scrape at a time, and one text for all who wait for it.

use crate::encode::{Format, encode};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use xenstat::collect::{Source, collect};
use xenstat::snapshot::{Snapshot, SourceKind};

/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 << 10;

/// What one client may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// How long a request's head may take.
    pub head: Duration,
    /// How long a scrape is waited for.
    pub scrape: Duration,
    /// How long a connection may take altogether.
    pub connection: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Limits { connections: 32, head: seconds(5), scrape: seconds(10), connection: seconds(20) }
    }
}

const INDEX: &str = "<!DOCTYPE html>\n<title>xen-exporter</title>\n<h1>xen-exporter</h1>\n\
                     <p><a href=\"/metrics\">Metrics</a> of this machine's domains, for Prometheus.</p>\n";

/// Somebody who wants a scrape told.
struct Asking {
    format: Format,
    answer: oneshot::Sender<Bytes>,
}

/// The way to who scrapes.
#[derive(Clone)]
pub struct Scraper {
    asking: mpsc::Sender<Asking>,
    patience: Duration,
}

impl std::fmt::Debug for Scraper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scraper")
    }
}

impl Scraper {
    /// Starts a thread that scrapes when it is asked to: sources block.
    ///
    /// # Errors
    /// There can be no more threads.
    pub fn start(mut source: impl Source + Send + 'static, limits: Limits) -> std::io::Result<Scraper> {
        let (asking, mut asked) = mpsc::channel::<Asking>(limits.connections);
        std::thread::Builder::new().name("scraper".to_owned()).spawn(move || {
            let mut known = Problems::default();
            while let Some(first) = asked.blocking_recv() {
                let mut all = vec![first];
                while let Ok(another) = asked.try_recv() {
                    all.push(another);
                }
                let snapshot = Arc::new(collect(&mut source));
                known.tell(&snapshot);
                let mut told: HashMap<Format, Bytes> = HashMap::new();
                for Asking { format, answer } in all {
                    let text = told.entry(format).or_insert_with(|| {
                        // A String takes everything.
                        encode(&snapshot, format).unwrap_or_default().into()
                    });
                    // Who does not wait any more needs no answer.
                    let _ = answer.send(text.clone());
                }
            }
        })?;
        Ok(Scraper { asking, patience: limits.scrape })
    }

    async fn scrape(&self, format: Format) -> Option<Bytes> {
        let (answer, told) = oneshot::channel();
        self.asking.try_send(Asking { format, answer }).ok()?;
        timeout(self.patience, told).await.ok()?.ok()
    }
}

/// What is in the log already.
#[derive(Default)]
struct Problems(BTreeMap<SourceKind, String>);

impl Problems {
    /// Logs what is new.
    fn tell(&mut self, snapshot: &Snapshot) {
        for asked in &snapshot.asked {
            let name = asked.source.name();
            match &asked.error {
                Some(error) if self.0.get(&asked.source) != Some(error) => {
                    tracing::warn!("{name}: {error}");
                    self.0.insert(asked.source, error.clone());
                }
                None if self.0.remove(&asked.source).is_some() => tracing::info!("{name}: it answers again"),
                _ => {}
            }
        }
    }
}

async fn metrics(State(scraper): State<Scraper>, headers: HeaderMap) -> Response {
    let format = Format::accepted(headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()));
    match scraper.scrape(format).await {
        Some(text) => ([(header::CONTENT_TYPE, format.content_type())], text).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the sources of the metrics do not answer\n").into_response(),
    }
}

/// Serves for ever.
pub async fn serve(listener: TcpListener, scraper: Scraper, limits: Limits) {
    let router = Router::new().route("/", get(Html(INDEX))).route("/metrics", get(metrics)).with_state(scraper);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(HEAD_BYTES).keep_alive(false);
    // Who says that the request was all, as nc does, still wants its answer.
    http.half_close(true);
    let mut connections: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // There are too many open files, or the client has gone.
                tracing::debug!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        connections.retain(|connection| !connection.is_finished());
        if connections.len() >= limits.connections
            && let Some(oldest) = connections.pop_front()
        {
            oldest.abort();
        }
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        // How a client's connection ends is the client's business.
        let task = tokio::spawn(async move { drop(timeout(limits.connection, connection).await) });
        connections.push_back(task.abort_handle());
    }
}
