//! Files that can be read only once, and files that change.

use super::*;
use crate::disk::Look;

#[test]
fn what_a_pipe_held_is_used_again_unless_it_was_wrong() {
    const ACCOUNT: &str = "[snyk.accounts.a]\nclient-id = 'x'\nclient-secret-file = '@pipe'";
    const HOOK: &str = "[[notify]]\nname = 'a'\nkind = 'webhook'\n";
    let url = format!("{HOOK}url = 'https://x.example'\n");
    let certificate = rcgen::generate_simple_self_signed(["x.example".to_owned()]).unwrap().cert.pem();
    let rows = [
        ("[snyk]\nca-cert = '@pipe'".to_owned(), &*certificate),
        (format!("{}\nca-cert = '@pipe'", ACCOUNT.replace("@pipe", "@secret")), &certificate),
        ("# SSL_CERT_FILE".to_owned(), &certificate),
        (ACCOUNT.to_owned(), "client-secret"),
        (format!("{HOOK}url-file = '@pipe'"), "https://x.example"),
        (format!("{url}secret-file = '@pipe'"), KEY),
        (format!("{url}headers-file = '@pipe'"), "X-A: b"),
        ("[server]\ntoken-file = '@pipe'".to_owned(), "0123456789abcdef"),
    ];
    for (text, held) in rows {
        let bed = SettingsDir::new();
        let (pipe, config) = (bed.path("pipe"), Some(bed.path("settings.toml")));
        make_pipe(&pipe);
        std::fs::write(bed.path("secret"), "client-secret").unwrap();
        let mut variables = TOKEN.to_vec();
        if text.contains("SSL_CERT_FILE") {
            variables.push(("SSL_CERT_FILE", pipe.to_str().unwrap()));
        }
        let first = bed.load(&variables, &[], &text).unwrap();
        let read = || {
            let line = CommandLine { config: config.clone(), ..CommandLine::default() };
            Settings::load(line, first.environment().clone())?.daemon(false)
        };
        let read_while_writing = |held: &str| {
            std::thread::scope(|scope| {
                scope.spawn(|| std::fs::write(&pipe, held).unwrap());
                read()
            })
        };
        assert!(read_while_writing(" \n").is_err(), "{text}");
        assert!(read_while_writing(held).is_ok(), "{text}");
        assert!(read().is_ok(), "nobody writes a second time: {text}");
        std::fs::remove_file(&pipe).unwrap();
        std::fs::write(&pipe, "").unwrap();
        assert!(read().is_err(), "a file is read again: {text}");
    }
}

#[test]
fn a_settings_file_that_is_a_pipe_is_read_once() {
    let bed = SettingsDir::new();
    let first = bed.load(&TOKEN, &[], "").unwrap();
    let pipe = bed.path("settings.pipe");
    make_pipe(&pipe);
    let line = CommandLine { config: Some(pipe.clone()), ..CommandLine::default() };
    let read = || Settings::load(line.clone(), first.environment().clone())?.daemon(false);
    let watches = std::thread::scope(|scope| {
        scope.spawn(|| std::fs::write(&pipe, watch("")).unwrap());
        read().unwrap().watches.len()
    });
    assert_eq!((watches, read().unwrap().watches.len()), (1, 1), "nobody writes a second time");
    std::fs::remove_file(&pipe).unwrap();
    std::fs::write(&pipe, "").unwrap();
    assert_eq!(read().unwrap().watches.len(), 0, "a file is read again");
}

#[test]
fn a_change_after_the_settings_file_was_read_is_a_change() {
    let bed = SettingsDir::new();
    let settings = bed.load(&TOKEN, &[], "[server]\ntoken-file = '@token'\n").unwrap();
    let looks =
        |settings: &Settings| ["settings.toml", "token"].map(|name| settings.looks()[&bed.path(name)]);
    let now = || ["settings.toml", "token"].map(|name| Look::at(&bed.path(name)));
    std::fs::write(bed.path("token"), "0123456789abcdef").unwrap();
    assert_eq!(looks(&settings), now());
    std::fs::write(bed.path("settings.toml"), "").unwrap();
    assert!(looks(&settings)[0] != now()[0] && looks(&settings)[1] == now()[1]);
}

fn make_pipe(path: &Path) {
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
}
