//! Limits for the size and the slowness of downloads.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::lab::{EXPORT_ID, Lab, Program, READY, Run};

/// How many bytes of `a` the bomb unpacks to.
const UNPACKED: usize = 40_000_000;

/// Storage that has one file, packed, for every client; gives its address and the number of bytes that it sends.
fn bomb() -> (String, usize) {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&vec![b'a'; UNPACKED]).unwrap();
    let packed = packed.finish().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, length) = (format!("http://{}/x", listener.local_addr().unwrap()), packed.len());
    // It lives as long as the process of all tests, and does nothing unless it is asked.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            // A client that has seen enough goes away.
            let _ = stream.write_all(answer.as_bytes()).and_then(|()| stream.write_all(&packed));
        }
    });
    (url, length)
}

fn download(url: &str, announced: usize, args: &str) -> Run {
    let part = format!("{{\"url\":\"{url}\",\"file_size\":{announced}}}");
    let body = format!("{{\"data\":{{\"attributes\":{{\"status\":\"FINISHED\",\"results\":[{part}]}}}}}}");
    let lab = Lab::start(&format!("[[faults]]\nprobability = 1\nstatus-code = 200\nbody = '{body}'"));
    Program::download(&lab).export(EXPORT_ID).args(args).run()
}

/// How many bytes the files of a directory have, those in it included that are hidden.
fn bytes_in(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => bytes_in(&entry.path()),
            false => entry.metadata().unwrap().len(),
        })
        .sum()
}

#[test]
fn a_file_that_unpacks_to_more_than_was_announced_is_no_download() {
    let (url, length) = bomb();
    let run = download(&url, 50_000, "");
    assert!(length != 50_000 && length < 100_000);
    run.exits(69).stderr_has("the file is not as announced: it unpacks to more than the 50000 bytes");
    assert!(bytes_in(&run.home().join("files")) <= 50_000);
}

#[test]
fn files_may_have_so_many_bytes_and_no_more() {
    let (url, length) = bomb();
    let run = download(&url, length, "--max-size 1MB");
    run.exits(1).stderr_has("the files are too large: the files have more than ").stderr_has("--max-size");
    assert!(bytes_in(&run.home().join("files")) <= 1_000_000);
    download(&url, length, "--max-size 40MB").exits(0);
    download(&url, length, "--max-size 0").exits(0);
    // What is announced already is too much: nothing is asked.
    let lab = Lab::start(&format!("{READY}parts = 2"));
    let run = Program::download(&lab).export(EXPORT_ID).args("--max-size 1000B").run();
    run.exits(1).stderr_has("--max-size");
    assert_eq!(lab.asked_for("/storage").len(), 0);
}

#[test]
fn a_trickle_is_an_outage() {
    let drip = "[[faults]]\non = 'storage'\nprobability = 1\nfault = 'drip'\nbytes = 1\npause = '5ms'\n";
    let lab = Lab::start(&format!("{READY}{drip}"));
    let download = Program::download(&lab).export(EXPORT_ID).config("[download]\npatience = '100ms'\n");
    let run = download.args("--max-outage 500ms").run();
    run.exits(69).stderr_has("storage is too slow: fewer than 1024 bytes a second for 100ms");
    assert!(lab.asked_for("/storage").len() > 1, "it is tried again");
}
