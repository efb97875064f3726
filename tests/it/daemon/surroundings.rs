//! systemd, health checks, PID 1 in a container, and the environment of commands.

use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use serde_json::json;

use super::PAUSED;
use super::home::{DaemonHome, account, asking, reload, taking_all, watch, webhook};
use crate::lab::{
    EXPORT_ID, Lab, NEVER, PATIENCE, Program, READY, Receiver, SECOND_ID, TOKEN, as_pid_one, can_be_pid_one,
    pid_one, signal, until,
};

#[test]
fn systemd_hears_how_it_is() {
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    let systemd = Systemd::listen(&bed.path("notify"));
    let daemon = systemd.of(bed.program("watch")).env("WATCHDOG_USEC", "300000").spawn();
    let before = systemd.until("READY=1");
    // A start on a slow disk may ask for time.
    let is_fine = |said: &String| said == "WATCHDOG=1" || said.starts_with("EXTEND_TIMEOUT_USEC=");
    assert!(before.iter().all(is_fine), "{before:?}");
    for _ in 0..3 {
        systemd.until("WATCHDOG=1");
    }
    reload(&daemon);
    systemd.until("RELOADING=1");
    systemd.until("READY=1");
    daemon.signal("TERM");
    systemd.until("STOPPING=1");
    daemon.end().exits(0);
    systemd.forget();

    // A supervisor that wants no signs of life, or wants them from another process, gets none. One that is gone gets nothing.
    for variables in [vec![], vec![("WATCHDOG_USEC", "3000"), ("WATCHDOG_PID", "1")]] {
        let program = systemd.of(bed.program("watch"));
        let daemon =
            variables.iter().fold(program, |program, (name, value)| program.env(name, value)).spawn();
        assert_eq!(systemd.until("READY=1"), [""; 0]);
        let asked = lab.requests();
        lab.until_asked(asked + 10);
        daemon.signal("TERM");
        assert_eq!(systemd.until("STOPPING=1"), [""; 0]);
        daemon.end().exits(0);
    }
    let program = systemd.of(bed.program("watch"));
    drop(systemd);
    std::fs::remove_file(bed.path("notify")).unwrap();
    let daemon = DaemonHome::begin(program);
    daemon.signal("TERM");
    daemon.end().exits(0).stderr_has("failed to notify systemd");
}

#[test]
fn a_systemd_that_does_not_read_holds_up_nothing() {
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    let systemd = Systemd::listen(&bed.path("notify"));
    let full = UnixDatagram::unbound().unwrap();
    full.set_nonblocking(true).unwrap();
    while full.send_to(b"", bed.path("notify")).is_ok() {}
    let daemon = systemd.of(bed.program("watch")).env("WATCHDOG_USEC", "3000").spawn();
    lab.until_asked(20);
    assert_eq!(bed.get("/healthz").status, 200);
    daemon.signal("TERM");
    daemon.end().exits(0);
}

#[test]
fn a_store_that_another_program_locks_is_named_while_it_lasts() {
    const LOCKED: &str = "another program keeps the store locked";
    const OVER: &str = "the store is no longer locked";
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    let stopping = bed.start();
    stopping.signal("TERM");
    stopping.end().exits(0);

    let other = rusqlite::Connection::open(bed.path("watches.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let systemd = Systemd::listen(&bed.path("notify"));
    let daemon = systemd.of(bed.program("watch")).spawn();
    let said = daemon.until_said(LOCKED, 1).remove(0);
    assert!(said["store"].as_str().unwrap().ends_with("watches.db"), "{said}");
    systemd.until("EXTEND_TIMEOUT_USEC=30000000");
    other.execute_batch("COMMIT").unwrap();
    systemd.until("READY=1");
    daemon.until_said(OVER, 1);

    lab.until_asked(lab.requests() + 2);
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    daemon.until_said(LOCKED, 2);
    assert_eq!(bed.get("/readyz").status, 503);
    other.execute_batch("COMMIT").unwrap();
    let over = daemon.until_said(OVER, 2);
    assert!(over[1]["store.waited_ms"].as_u64().is_some_and(|ms| ms >= 2000), "{over:?}");
    until(|| bed.get("/readyz").status == 200);
    daemon.signal("TERM");
    daemon.end().exits(0);
}

#[test]
fn a_systemd_in_the_abstract_namespace_hears_how_it_is() {
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    let name = bed.path("notify").display().to_string();
    let address =
        <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(&name);
    let socket = UnixDatagram::bind_addr(&address.unwrap()).unwrap();
    let systemd = Systemd::of_socket(socket, format!("@{name}"));
    let daemon = systemd.of(bed.program("watch")).spawn();
    systemd.until("READY=1");
    daemon.signal("TERM");
    systemd.until("STOPPING=1");
    daemon.end().exits(0);
}

/// What systemd is to a unit of `Type=notify`.
struct Systemd {
    socket: UnixDatagram,
    path: String,
}

impl Systemd {
    fn listen(path: &Path) -> Systemd {
        Systemd::of_socket(UnixDatagram::bind(path).unwrap(), path.display().to_string())
    }

    fn of_socket(socket: UnixDatagram, path: String) -> Systemd {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Systemd { socket, path }
    }

    fn of(&self, program: Program) -> Program {
        program.env("NOTIFY_SOCKET", &self.path)
    }

    /// Passes over what was said so far.
    fn forget(&self) {
        self.socket.set_nonblocking(true).unwrap();
        while self.socket.recv(&mut [0]).is_ok() {}
        self.socket.set_nonblocking(false).unwrap();
    }

    /// Waits until this is said, and gives what was said before.
    #[track_caller]
    fn until(&self, wanted: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let mut bytes = [0; 1024];
            let length = self.socket.recv(&mut bytes).unwrap_or_else(|error| panic!("{error}: {before:?}"));
            let said = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if said.lines().any(|line| line == wanted) {
                return before;
            }
            before.push(said);
        }
    }
}

#[test]
fn the_health_check_finds_the_daemon_by_its_settings() {
    let lab = Lab::start("token = 'another'");
    let bed = DaemonHome::new(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    let check = || bed.program("healthcheck").run();
    let url = format!("http://{}/healthz", bed.address);
    check().exits(69).stderr_has("the daemon is not well").stderr_has(&url);
    let daemon = bed.start();
    daemon.until_said(PAUSED, 1);
    check().exits(0);
    // A mistake in a file that a reload would refuse does not make the daemon ill.
    bed.set_all(&format!("{}[[watch]]\n", bed.settings()));
    check().exits(0);
    daemon.signal("TERM");
    daemon.end().exits(0);
    check().exits(69);
}

#[test]
fn localhost_is_listened_to_in_all_its_families() {
    let lab = Lab::start(NEVER);
    let bed = DaemonHome::new(&[asking(&lab), watch("default", EXPORT_ID)].concat());
    bed.set_all(&bed.settings().replace(&bed.address.to_string(), "localhost:0"));
    let daemon = bed.start();
    let address = daemon.until_told("daemon.started", 1)[0]["server.address"].as_str().unwrap().to_owned();
    let port: u16 = address.strip_prefix("127.0.0.1:").unwrap().parse().unwrap();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    // Not every machine has IPv6.
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        assert!(std::net::TcpStream::connect(("::1", port)).is_ok());
    }
    daemon.signal("TERM");
    daemon.end().exits(0);
}

#[test]
fn as_pid_1_it_buries_orphans_and_ends_when_asked() {
    if !can_be_pid_one() {
        return;
    }
    let (ready, never) = (Lab::start(READY), Lab::start(NEVER));
    // One grandchild that ends before its parent's parent, and one that never does.
    let script = "setsid sh -c true & setsid sleep 1000 & exit 0";
    let command = format!("[[notify]]\nname = 'c'\nkind = 'command'\nargv = ['/bin/sh', '-c', '{script}']\n");
    let sections = [asking(&ready), account("slow", &never), command].concat();
    let bed = DaemonHome::new(&[sections, watch("default", EXPORT_ID), watch("slow", SECOND_ID)].concat());
    let daemon = DaemonHome::begin(as_pid_one(bed.program("watch").env("PATH", "/usr/bin:/bin")));
    daemon.until_told("delivery.sent", 1);
    let id = pid_one(&daemon);
    // Who lives is left alone.
    until(|| matches!(&children(id)[..], [(name, state)] if name == "sleep" && state != "Z"));
    signal("TERM", id);
    daemon.end().exits(0).stderr_has("daemon.stopping");
}

/// The names and states of a process's children.
fn children(id: u32) -> Vec<(String, String)> {
    let ids = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let stats =
        ids.split_whitespace().filter_map(|id| std::fs::read_to_string(format!("/proc/{id}/stat")).ok());
    let parse = |stat: String| {
        let (name, rest) = stat.split_once('(').unwrap().1.rsplit_once(") ").unwrap();
        (name.to_owned(), rest.split(' ').next().unwrap().to_owned())
    };
    stats.map(parse).collect()
}

#[test]
fn no_secret_is_shown_or_kept() {
    const API_TOKEN: &str = "api-token-of-hunter2";
    const KEY: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let lab = Lab::start(&format!("{READY}token = '{TOKEN}'\nanswers = [{{ status-code = 503 }}]"));
    let clients = Lab::start(&format!("{READY}client-id = 'public'\nclient-secret = 'client-of-hunter2'"));
    let (receiver, slack) = (taking_all(), Receiver::start(|n| Some(if n == 0 { 500 } else { 200 })));
    let link = Program::wait(&lab).export(EXPORT_ID).arg("--show-urls").run().exits(0).document();
    let link = link["results"][0]["url"].as_str().unwrap().to_owned();
    let signature = link.rsplit("X-Goog-Signature=").next().unwrap().to_owned();
    assert!(signature.len() >= 16, "{link}");

    let bed = DaemonHome::new("");
    bed.file("api-token", API_TOKEN);
    bed.file("client", "client-of-hunter2");
    bed.file("key", &format!("whsec_{KEY}"));
    bed.file("slack", &format!("{}/T/B/slack-of-hunter2", slack.url()));
    let sections = [
        asking(&lab),
        account("c", &clients)
            .replace("token-file = '@token'", "client-id = 'public'\nclient-secret-file = '@client'"),
        format!("{}secret-file = '@key'\n", webhook("platform", &receiver)),
        "[[notify]]\nname = 'people'\nkind = 'slack'\nurl-file = '@slack'\n".to_owned(),
        watch("default", EXPORT_ID),
        watch("c", SECOND_ID),
    ];
    bed.set(&sections.concat());
    let daemon = DaemonHome::begin(bed.program("watch").arg("-v"));
    daemon.until_told("delivery.sent", 4);
    reload(&daemon);
    let watches = bed.seen("/v1/watches");
    let mut seen = vec![watches.to_string(), bed.get("/metrics").body, bed.get("/openapi.json").body];
    for watch in watches["data"].as_array().unwrap() {
        seen.push(bed.get(&format!("/v1/watches/{}", watch["id"].as_str().unwrap())).body);
    }
    seen.extend(receiver.until(|_| true).iter().map(|notice| notice.body.clone()));
    seen.extend(slack.until(|_| true).iter().map(|notice| notice.body.clone()));
    let files = ["watches.db", "watches.db-wal", "watches.db-shm", "watches.db.lock"];
    let read =
        |name: &str| std::fs::read(bed.path(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    seen.extend(files.map(|name| read(name).unwrap()));
    daemon.signal("TERM");
    let run = daemon.end();
    run.exits(0);
    seen.extend([run.stderr.clone(), read("watches.db").unwrap()]);

    assert_eq!(watches["data"][0]["results"][0]["row_count"], json!(1061), "there were links");
    let told =
        receiver.until(|_| true).iter().map(|notice| notice.event()["data"].clone()).collect::<Vec<_>>();
    let told = told.iter().find(|data| data["watch_id"] == watches["data"][0]["id"]).unwrap();
    assert!(told["links_expire_at"].is_string(), "{told}");
    assert_eq!(watches["data"][0]["links_expire_at"], told["links_expire_at"], "the API says it too");
    let about = |text: &str| seen.iter().filter(|seen| seen.contains(text)).count();
    assert!(about(EXPORT_ID) >= 7, "it is looked at the right places");
    let secrets = [TOKEN, API_TOKEN, "hunter2", KEY, "X-Goog", &link, &signature, "eyJhbGciOiJub25lIn0"];
    for secret in secrets {
        assert_eq!(about(secret), 0, "{secret} in {:?}", seen.iter().find(|seen| seen.contains(secret)));
    }
}

#[test]
fn a_command_gets_the_variables_that_it_is_meant_to_have_and_no_others() {
    let lab = Lab::start(READY);
    let script = "env > environment.new; mv environment.new environment";
    let command = format!(
        "[[notify]]\nname = 'c'\nkind = 'command'\nargv = ['/bin/sh', '-c', '{script}']\n\
         env = ['DATABASE_URL', 'NOT_SET']\n"
    );
    let bed = DaemonHome::new(&[asking(&lab), watch("default", EXPORT_ID), command].concat());
    let program = bed.program("watch").arg("--until-idle").living_in(bed.path("").as_path());
    let given = [
        ("SNYK_TOKEN", TOKEN),
        ("HTTPS_PROXY", "http://user:hunter2@proxy.example:3128"),
        ("SNYK_EXPORT_MAX_WAIT", "1h"),
        ("PATH", "/usr/bin:/bin"),
        ("LANG", "C.UTF-8"),
        ("TZ", "Europe/Berlin"),
        ("DATABASE_URL", "postgres://db"),
        ("OTHER", "x"),
    ];
    given.iter().fold(program, |program, (name, value)| program.env(name, value)).run().exits(0);
    let seen = std::fs::read_to_string(bed.path("environment")).unwrap();
    // A shell sets some of its own.
    let names = seen.lines().filter_map(|line| Some(line.split_once('=')?.0));
    let names: BTreeSet<&str> =
        names.filter(|name| !["PWD", "SHLVL", "OLDPWD", "_"].contains(name)).collect();
    let results = ["OUTCOME", "SCOPE", "SCOPE_ID", "EXPORT_ID", "ROW_COUNT"];
    let results = results.map(|name| format!("SNYK_EXPORT_RESULT_{name}"));
    let expected = ["PATH", "HOME", "LANG", "TZ", "DATABASE_URL"].into_iter();
    assert_eq!(names, expected.chain(results.iter().map(String::as_str)).collect());
}
