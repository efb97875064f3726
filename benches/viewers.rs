//! The page while the daemon polls: how soon it is there, and how much later polls start when people look at it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// People who look at the page: each asks for it again at every event, as the page's script does.
pub(crate) struct Viewers {
    stop: Arc<AtomicBool>,
    looks: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Viewers {
    pub(crate) fn start(address: SocketAddr, count: usize) -> Self {
        let (stop, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let view = |_| {
            let (stop, looks) = (Arc::clone(&stop), Arc::clone(&looks));
            std::thread::spawn(move || {
                let events = ask(address, "/events");
                events.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
                let mut lines = BufReader::new(events.try_clone().expect("a stream"));
                let mut line = String::new();
                while !stop.load(Ordering::Relaxed) && lines.read_line(&mut line).is_ok_and(|read| read > 0) {
                    if line.starts_with("data:") {
                        look(address, "/");
                        looks.fetch_add(1, Ordering::Relaxed);
                    }
                    line.clear();
                }
            })
        };
        let threads = (0..count).map(view).collect();
        Self { stop, looks, threads }
    }

    /// Ends them, and says how often they have looked.
    pub(crate) fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().expect("a viewer"));
        self.looks.load(Ordering::Relaxed)
    }
}

fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("a request");
    stream
}

/// Looks once: when the first byte came, when the last one, and how many there were.
fn look(address: SocketAddr, path: &str) -> (Duration, Duration, usize) {
    let begun = Instant::now();
    let mut stream = ask(address, path);
    let mut page = vec![0];
    stream.read_exact(&mut page).expect("a byte");
    let first = begun.elapsed();
    stream.read_to_end(&mut page).expect("a page");
    (first, begun.elapsed(), page.len())
}

/// Of a hundred looks: when the first byte came, in the middle and at the 95th, the last one at the 95th, and the size.
pub(crate) fn looks(address: SocketAddr, path: &str) -> (f64, f64, f64, usize) {
    let mut all: Vec<_> = (0..100)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(50));
            look(address, path)
        })
        .collect();
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    all.sort();
    let (middle, late) = (ms(all[50].0), ms(all[95].0));
    let size = all[0].2;
    all.sort_by_key(|look| look.1);
    (middle, late, ms(all[95].1), size)
}

/// A quantile of a histogram's buckets, between the bounds of the one that it falls in.
pub(crate) fn quantile(before: &[(f64, f64)], after: &[(f64, f64)], part: f64) -> f64 {
    let counts: Vec<(f64, f64)> = after.iter().zip(before).map(|((le, n), (_, m))| (*le, n - m)).collect();
    let wanted = counts.last().map_or(0.0, |(_, all)| all * part);
    let (mut from, mut below) = (0.0, 0.0);
    for (le, count) in counts {
        if count >= wanted {
            let share = if count > below { (wanted - below) / (count - below) } else { 1.0 };
            return if le.is_finite() { from + (le - from) * share } else { from };
        }
        (from, below) = (le, count);
    }
    from
}
