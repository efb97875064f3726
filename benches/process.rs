//! The whole process beside the tools of today: start, memory, size, and when an end is seen.
//!
//! Every figure is a ratio against something run in the same call, or a count; runs take turns, so that a busy
//! machine slows all alike. Needs `curl`, GNU `time` (for memory), and `python3` with `requests`; what is not there
//! is left out, and said so. Fails if a bar is missed.
//!
//! `cargo bench --bench process`, and with `-- --long` the ten minutes of PENDING too; with `-- --program PATH` of the
//! program as users run it.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "bars.rs"]
mod bars;
#[path = "bed.rs"]
mod bed;
#[path = "run.rs"]
mod run;

use std::process::ExitCode;
use std::time::Duration;

use bars::Bars;
use bed::Bed;
use run::{Run, median};

const RUNS: usize = 41;
const EXPORT: &str =
    "/groups/11111111-2222-4333-8444-555555555555/jobs/export/7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b";
const PYTHON: &str = "
import requests, sys, time
while True:
    answer = requests.get(sys.argv[1], headers={'Authorization': 'token x'}, verify=sys.argv[2])
    if answer.json()['data']['attributes']['status'] == 'FINISHED':
        break
    time.sleep(5)
";

fn main() -> ExitCode {
    let mut bars = Bars::default();
    size(&mut bars);
    already_finished(&mut bars, &Bed::http("pending = \"0s\"\nstarted = \"0s\"\n"), "http");
    already_finished(&mut bars, &Bed::https(), "https");
    first_request(&mut bars);
    seen_late(&mut bars, "2.3s", 0.8, 8);
    seen_late(&mut bars, "11.7s", 1.8, 25);
    if std::env::args().any(|arg| arg == "--long") {
        waiting(&mut bars);
    }
    bars.verdict()
}

fn size(bars: &mut Bars) {
    println!("| figure | measured | bar |\n|---|---|---|");
    let bytes = std::fs::metadata(run::program()).map_or(f64::NAN, |metadata| metadata.len() as f64);
    bars.at_most("size of the program, stripped", bytes / 1e6, 10.0, " MB");
}

/// One poll finds the export finished: all that is left is the process itself.
fn already_finished(bars: &mut Bars, bed: &Bed, scheme: &str) {
    let ours = bed.ours(&["wait", EXPORT]);
    let url = format!("{}/rest{EXPORT}?version=2024-10-15", bed.url());
    let ca = bed.ca().map_or_else(String::new, |path| path.display().to_string());
    let trust: &[&str] = if ca.is_empty() { &[] } else { &["--cacert", &ca] };
    let asked = ["-s", "-o", "/dev/null", "-H", "Authorization: token x", &url];
    let curl = bed.other("curl", &[trust, &asked].concat());
    let python = bed.other("python3", &["-c", PYTHON, &url, &ca]);
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..RUNS {
        for (run, times) in [&ours, &curl].into_iter().zip(&mut times) {
            times.extend(run.time());
        }
        if round % 8 == 0 {
            times[2].extend(python.time());
        }
    }
    let [ours_ms, curl_ms, python_ms] = times.map(median);
    println!("| ({scheme}: ours {ours_ms:.2} ms, curl {curl_ms:.2} ms, python {python_ms:.0} ms) | | |");
    if curl_ms.is_finite() {
        bars.at_most(
            &format!("{scheme}, already finished: wall time, of curl's"),
            ours_ms / curl_ms,
            1.0,
            " ×",
        );
    }
    if python_ms.is_finite() {
        bars.at_least(
            &format!("{scheme}, already finished: python's wall time, of ours"),
            python_ms / ours_ms,
            20.0,
            " ×",
        );
    }
    let (ours_kib, curl_kib) = (ours.peak_kib(), curl.peak_kib());
    match ours_kib.zip(curl_kib) {
        Some((ours, curl)) => {
            println!("| ({scheme}: ours {:.1} MiB, curl {:.1} MiB) | | |", ours / 1024.0, curl / 1024.0);
            bars.at_most(&format!("{scheme}: peak memory, of curl's"), ours / curl, 0.8, " ×");
        }
        None => println!("| (no GNU time here: memory is left out) | | |"),
    }
}

/// From the launch to the request, beyond what launching anything takes: an empty tokio program takes at least
/// what `true` takes.
fn first_request(bars: &mut Bars) {
    let bed = Bed::http("pending = \"0s\"\nstarted = \"0s\"\n");
    let (ours, nothing) = (bed.ours(&["wait", EXPORT]), bed.other("true", &[]));
    let (mut request_ms, mut nothing_ms) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        request_ms.extend(bed.launch_to_request(&ours));
        nothing_ms.extend(nothing.time());
    }
    let beyond = median(request_ms) - median(nothing_ms);
    bars.at_most("launch to first request, beyond `true`", beyond, 5.0, " ms");
}

/// The export is ready some time after the first poll has started it.
fn seen_late(bars: &mut Bars, ready_after: &str, late: f64, requests: u32) {
    let seconds: f64 = ready_after.trim_end_matches('s').parse().expect("seconds");
    let mut lates = Vec::new();
    let (mut most_requests, mut most_connections) = (0, 0);
    for _ in 0..3 {
        let bed = Bed::http(&format!("pending = \"{ready_after}\"\nstarted = \"0s\"\n"));
        let whole = bed.ours(&["wait", EXPORT]).time().expect("a run") / 1e3;
        lates.push(whole - seconds);
        let exchanges = bed.exchanges();
        most_requests = most_requests.max(exchanges.len());
        most_connections =
            most_connections.max(exchanges.iter().map(|exchange| exchange.connection).max().unwrap_or(0));
    }
    let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let worst = lates.into_iter().fold(0.0, f64::max);
    bars.at_most(&format!("ready after {ready_after}: seen late"), worst, late, " s");
    bars.at_most(
        &format!("ready after {ready_after}: requests"),
        count(most_requests),
        f64::from(requests),
        "",
    );
    bars.at_most(&format!("ready after {ready_after}: connections"), most_connections as f64, 1.0, "");
}

/// Ten minutes of PENDING, polls included.
fn waiting(bars: &mut Bars) {
    let bed = Bed::http("pending = \"1h\"\n");
    let run: Run = bed.ours(&["wait", EXPORT, "--max-wait", "10m"]);
    let busy: Duration = cpu_until_end(&run);
    bars.at_most("CPU in ten minutes of PENDING", busy.as_secs_f64() * 1e3, 20.0, " ms");
    println!("| (polls in these ten minutes: {}) | | |", bed.exchanges().len());
}

/// The CPU time of the whole run, as the kernel counts it for its one thread (nanoseconds in `schedstat`).
fn cpu_until_end(run: &Run) -> Duration {
    let mut child = run.command().spawn().expect("a run");
    let path = format!("/proc/{}/schedstat", child.id());
    let mut busy = Duration::ZERO;
    while child.try_wait().expect("a state").is_none() {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if let Some(nanos) =
            text.split(' ').next().and_then(|text| text.parse().ok()).filter(|nanos| *nanos > 0)
        {
            busy = Duration::from_nanos(nanos);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    busy
}
