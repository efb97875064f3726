//! The daemon at scale: memory, start, polls a second, lag, beside a bare loop of the same HTTP client.
//!
//! Every figure is a ratio to something that runs in the same call, or has a limit of its own. Fails if a bar is missed.
//!
//! `cargo bench --bench daemon`; with `-- --lag` it also measures the lag, which takes a minute. `-- --page` measures
//! the page only, and takes three.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

#[path = "bars.rs"]
mod bars;
#[path = "viewers.rs"]
mod viewers;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bars::Bars;
use snyk_export::export::{ExportRef, Scope};
use snyk_export::moment::Moment;
use snyk_export::store;
use snyk_export::watch::{Labels, NewWatch};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;
use uuid::Uuid;

const PROGRAM: &str = env!("CARGO_BIN_EXE_snyk-export");

/// Polls in flight at once, in the daemon and in the bare loop.
const CONCURRENCY: usize = 64;

/// For how long polls are counted.
const SPAN: Duration = Duration::from_secs(6);

const PENDING: &str = r#"{"data":{"type":"export","id":"7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b","attributes":{"status":"PENDING","created":"2026-02-12T20:09:47Z"}}}"#;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if let Some(position) = args.iter().position(|arg| arg == "--bare-loop") {
        bare_loop(&args[position + 1]);
        return ExitCode::SUCCESS;
    }
    let mut bars = Bars::default();
    println!("| figure | measured | bar |\n|---|---|---|");
    let server = Server::start();
    if args.iter().any(|arg| arg == "--page") {
        page(&mut bars, &server);
        return bars.verdict();
    }
    let sizes = [1_000, 10_000, 100_000];
    let rows = sizes.map(|watches| {
        let calm = measure(&server, watches, "30s", SPAN);
        let bare = server.rate_of(|| bare(&server.url()));
        let busy = measure(&server, watches, "1ms", SPAN);
        println!("| ({watches} watches: {:.0} polls a second, bare loop {bare:.0}) | | |", busy.rate);
        bars.at_least(
            &format!("{watches} watches: polls a second, of a bare loop's"),
            busy.rate / bare,
            0.5,
            " ×",
        );
        (calm, busy.rate / bare, busy.peak_mib)
    });
    for (watches, (calm, _, busy_mib)) in sizes.iter().zip(&rows) {
        println!(
            "| ({watches} watches: peak {:.1} MiB with a pace of 30 s, {busy_mib:.1} MiB under full load; first poll after {:.0} ms) | | |",
            calm.peak_mib, calm.first_ms
        );
    }
    bars.at_most("10,000 watches over 50 accounts: peak memory", rows[1].0.peak_mib, 40.0, " MB");
    bars.at_most("10,000 watches: cold start to first poll", rows[1].0.first_ms / 1e3, 1.0, " s");
    bars.at_most("peak memory, 100,000 watches of 1,000 watches\'", rows[2].2 / rows[0].2, 1.1, " ×");
    bars.at_least(
        "polls a second (of a bare loop\'s), 100,000 watches of 1,000 watches\'",
        rows[2].1 / rows[0].1,
        0.8,
        " ×",
    );
    if args.iter().any(|arg| arg == "--lag") {
        lag(&mut bars, &server);
    }
    bars.verdict()
}

/// The figures of a daemon.
struct Measured {
    first_ms: f64,
    peak_mib: f64,
    rate: f64,
}

/// Runs a daemon over a fresh store of `watches` watches, all due.
fn measure(server: &Server, watches: usize, pace: &str, span: Duration) -> Measured {
    let home = tempfile::tempdir().expect("a directory");
    fill(&home.path().join("watches.db"), watches, false);
    let daemon = Daemon::start(home.path(), server, pace);
    let started = Instant::now();
    let before = server.polls();
    while server.polls() == before && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let first_ms = started.elapsed().as_secs_f64() * 1e3;
    std::thread::sleep(Duration::from_secs(2));
    let rate = server.rate_within(span);
    Measured { first_ms, peak_mib: daemon.peak_mib(), rate }
}

/// How late polls start at 10,000 watches, one every 3 ms.
fn lag(bars: &mut Bars, server: &Server) {
    let home = tempfile::tempdir().expect("a directory");
    fill(&home.path().join("watches.db"), 10_000, true);
    let daemon = Daemon::start(home.path(), server, "30s");
    std::thread::sleep(Duration::from_secs(10));
    let before = daemon.lags();
    std::thread::sleep(Duration::from_secs(50));
    let after = daemon.lags();
    let within = |bound: f64| {
        let count =
            |lags: &[(f64, f64)]| lags.iter().find(|(le, _)| *le >= bound).map_or(0.0, |(_, count)| *count);
        count(&after) - count(&before)
    };
    let all = within(f64::INFINITY);
    println!("| (lag: {all} polls, {:.2} % within 10 ms) | | |", within(0.01) / all * 100.0);
    bars.at_least(
        "lag at 10,000 watches with a 30 s pace: polls within 50 ms",
        within(0.05) / all * 100.0,
        99.0,
        " %",
    );
}

/// The page at 10,000 watches, and the lag of polls with 10 viewers beside the lag without any.
fn page(bars: &mut Bars, server: &Server) {
    let home = tempfile::tempdir().expect("a directory");
    fill(&home.path().join("watches.db"), 10_000, true);
    let daemon = Daemon::start(home.path(), server, "30s");
    std::thread::sleep(Duration::from_secs(10));
    for path in ["/", "/?q=no-watch-is-like-this"] {
        let (middle, late, whole, size) = viewers::looks(daemon.address, path);
        println!(
            "| ({path}: first byte {middle:.1} ms, 95 % within {late:.1} ms, all within {whole:.1} ms; {size} bytes) | | |"
        );
        if path == "/" {
            bars.at_most("the page of 10,000 watches, first byte, 95 %", late, 20.0, " ms");
            bars.at_most("the whole page, 95 %", whole, 100.0, " ms");
            bars.at_most("its size", size as f64 / 1e3, 200.0, " kB");
        }
    }
    // By turns, so that both have the same machine.
    let (mut without, mut with, mut seen) = (Vec::new(), Vec::new(), 0);
    for _ in 0..4 {
        let lag = |lags: &mut Vec<f64>| {
            let before = daemon.lags();
            std::thread::sleep(Duration::from_secs(20));
            lags.push(viewers::quantile(&before, &daemon.lags(), 0.99) * 1e3);
        };
        lag(&mut without);
        let viewers = viewers::Viewers::start(daemon.address, 10);
        lag(&mut with);
        seen += viewers.end();
    }
    let median = |lags: &mut Vec<f64>| {
        lags.sort_by(f64::total_cmp);
        (lags[1] + lags[2]) / 2.0
    };
    println!(
        "| (lag p99, ms: {without:.2?} without viewers, {with:.2?} with 10, which looked {seen} times) | | |"
    );
    let ratio = median(&mut with) / median(&mut without);
    bars.at_most("lag p99 with 10 viewers, of that without", ratio, 1.5, " ×");
    drop(daemon);
    let home = tempfile::tempdir().expect("a directory");
    fill(&home.path().join("watches.db"), 10_000, false);
    let daemon = Daemon::start(home.path(), server, "1ms");
    std::thread::sleep(Duration::from_secs(3));
    let rate = server.rate_within(Duration::from_secs(3));
    let (middle, late, ..) = viewers::looks(daemon.address, "/");
    println!("| (at {rate:.0} polls a second: first byte {middle:.1} ms, 95 % within {late:.1} ms) | | |");
}

/// Writes watches of 50 accounts into a store, all due at once or spread over 30 s.
fn fill(path: &Path, watches: usize, spread: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let now = now();
    runtime.block_on(async {
        let store = store::open(path).await.expect("a store");
        let new = |n: usize| NewWatch {
            account: Arc::from(format!("account-{}", n % 50)),
            export: ExportRef {
                scope: Scope::Group,
                scope_id: Uuid::from_u128(1),
                export_id: Uuid::from_u128(n as u128),
            },
            labels: Labels::new(),
        };
        let listed = (0..watches).map(|n| (Uuid::now_v7(), new(n))).collect();
        store.reconcile(listed, now).await.expect("watches");
        store.close().await.expect("an end");
    });
    let connection = rusqlite::Connection::open(path).expect("the file");
    connection.execute("UPDATE watches SET origin = 'api'", []).expect("an update");
    if spread {
        connection
            .execute("UPDATE watches SET due_at_ms = due_at_ms + (seq * 7919) % 30000", [])
            .expect("an update");
    }
}

fn now() -> Moment {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
    Moment::from_unix(since)
}

struct Daemon {
    child: Child,
    address: SocketAddr,
}

impl Daemon {
    fn start(home: &Path, server: &Server, pace: &str) -> Self {
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port");
        let token = home.join("token");
        std::fs::write(&token, "5ec7e700-0000-4000-8000-00000000cafe").expect("a file");
        let mut text = format!(
            "[snyk]\napi = '{}'\nrequests-per-minute = 4000000000\n[pace]\ninitial-interval = '{pace}'\nmax-interval = \
             '{pace}'\n[limits]\nconcurrency = {CONCURRENCY}\n[store]\nurl = 'sqlite://{}'\n[server]\nlisten = '{address}'\n",
            server.url(),
            home.join("watches.db").display(),
        );
        for n in 0..50 {
            text += &format!("[snyk.accounts.account-{n}]\ntoken-file = '{}'\n", token.display());
        }
        let config = home.join("daemon.toml");
        std::fs::write(&config, text).expect("a file");
        let mut command = Command::new(PROGRAM);
        command.args(["watch", "-q", "--config"]).arg(config).env_clear().env("HOME", home);
        Self { child: command.stdin(Stdio::null()).spawn().expect("the program"), address }
    }

    fn peak_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(f64::NAN) / 1024.0
    }

    /// The buckets of the lag, with how many polls are in each one or below.
    fn lags(&self) -> Vec<(f64, f64)> {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .expect("a request");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("a page");
        let buckets = page
            .lines()
            .filter_map(|line| line.strip_prefix("snyk_export_schedule_lag_seconds_bucket{le=\""));
        let bucket = |line: &str| {
            let (le, count) = line.split_once("\"} ")?;
            Some((le.parse().unwrap_or(f64::INFINITY), count.trim().parse().ok()?))
        };
        buckets.filter_map(bucket).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that answers PENDING to every request, and counts requests.
struct Server {
    address: SocketAddr,
    polls: Arc<AtomicU64>,
    _runtime: Runtime,
}

impl Server {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let polls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&polls);
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let _ = socket.set_nodelay(true);
                tokio::spawn(answer(socket, Arc::clone(&counted)));
            }
        });
        Self { address, polls, _runtime: runtime }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }

    /// Polls a second from now on.
    fn rate_within(&self, span: Duration) -> f64 {
        let (before, start) = (self.polls(), Instant::now());
        std::thread::sleep(span);
        (self.polls() - before) as f64 / start.elapsed().as_secs_f64()
    }

    /// Polls a second while something runs.
    fn rate_of(&self, run: impl FnOnce() -> Child) -> f64 {
        let mut child = run();
        std::thread::sleep(Duration::from_secs(2));
        let rate = self.rate_within(SPAN);
        let _ = child.kill();
        let _ = child.wait();
        rate
    }
}

async fn answer(mut socket: tokio::net::TcpStream, polls: Arc<AtomicU64>) {
    let length = PENDING.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.api+json\r\ncontent-length: {length}\r\n\r\n{PENDING}"
    );
    let mut request = [0; 4096];
    while socket.read(&mut request).await.is_ok_and(|read| read > 0) {
        polls.fetch_add(1, Ordering::Relaxed);
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// This benchmark as a bare loop, in a process of its own.
fn bare(url: &str) -> Child {
    let path = std::env::current_exe().expect("a path");
    Command::new(path).args(["--bare-loop", url]).stdin(Stdio::null()).spawn().expect("the benchmark")
}

/// The same HTTP client with the same concurrency, and nothing else.
fn bare_loop(url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let local = tokio::task::LocalSet::new();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
    for n in 0..CONCURRENCY {
        let (client, url) =
            (client.clone(), format!("{url}/rest/groups/{n}/jobs/export/{n}?version=2024-10-15"));
        local.spawn_local(async move {
            loop {
                let request = client.get(&url).header("authorization", "token x");
                if let Ok(answer) = request.send().await {
                    let _ = answer.bytes().await;
                }
            }
        });
    }
    runtime.block_on(local);
}
