//! A directory and an address for a daemon, which can be started there again and again.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::lab::{Answer, GROUP, Lab, PATIENCE, Program, Receiver, Run, Spawned, TOKEN, free_address};

/// What the settings say of the pace, unless a test says otherwise.
const PACES: &str = "[pace]\ninitial-interval = '5ms'\nmax-interval = '20ms'\n\
    [retry]\ninitial-interval = '5ms'\nmax-interval = '20ms'\n";

pub(super) struct DaemonHome {
    home: TempDir,
    pub(super) address: SocketAddr,
    paces: String,
}

impl DaemonHome {
    /// A directory with a `token`, and settings for the daemon.
    pub(super) fn new(settings: &str) -> DaemonHome {
        DaemonHome::pacing(PACES, settings)
    }

    /// As [`DaemonHome::new`], with paces of its own.
    pub(super) fn pacing(paces: &str, settings: &str) -> DaemonHome {
        let bed = DaemonHome {
            home: tempfile::tempdir().unwrap(),
            address: free_address(),
            paces: paces.to_owned(),
        };
        bed.file("token", TOKEN);
        bed.set(settings);
        bed
    }

    /// Puts a file into the directory.
    pub(super) fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Replaces the settings: `'@` begins the path of a file in the directory. The API asks for the token in
    /// `api-token`, if there is such a file.
    pub(super) fn set(&self, settings: &str) {
        let has_token = self.path("api-token").exists();
        let token = if has_token { "token-file = '@api-token'\n" } else { "" };
        let listen = self.address;
        let fixed = format!("[server]\nlisten = '{listen}'\n{token}[store]\nurl = 'sqlite://@watches.db'\n");
        self.set_all(&format!("{fixed}{}{settings}", self.paces));
    }

    /// Replaces the settings by these alone.
    pub(super) fn set_all(&self, settings: &str) {
        let home = format!("{}/", self.home.path().display());
        let settings = settings.replace("sqlite://@", &format!("sqlite://{home}"));
        self.file("daemon.toml", &settings.replace("'@", &format!("'{home}")));
    }

    pub(super) fn settings(&self) -> String {
        std::fs::read_to_string(self.path("daemon.toml")).unwrap()
    }

    /// The program with these settings, and its log in JSON.
    pub(super) fn program(&self, command: &str) -> Program {
        let file = self.path("daemon.toml").display().to_string();
        Program::bare(command).arg("--config").arg(&file).args("--log-format json")
    }

    /// Starts the daemon, and waits until it says that it has.
    #[track_caller]
    pub(super) fn start(&self) -> Spawned {
        DaemonHome::begin(self.program("watch"))
    }

    #[track_caller]
    pub(super) fn begin(program: Program) -> Spawned {
        let daemon = program.spawn();
        daemon.until_told("daemon.started", 1);
        daemon
    }

    /// Lets it run until there is nothing left to do.
    #[track_caller]
    pub(super) fn until_idle(&self) -> Run {
        self.program("watch").arg("--until-idle").run()
    }

    #[track_caller]
    pub(super) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    /// What is in an answer that must be 200.
    #[track_caller]
    pub(super) fn seen(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Follows an export of an account by the API, and gives the path of its watch.
    #[track_caller]
    pub(super) fn add(&self, account: &str, export_id: &str) -> String {
        let body = json!({ "group_id": GROUP, "export_id": export_id, "account": account });
        let answer = self.ask("POST", "/v1/watches", &body.to_string());
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.header("location").unwrap().to_owned()
    }

    /// Asks the daemon's server, with its token if it has one.
    #[track_caller]
    pub(super) fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let token = std::fs::read_to_string(self.path("api-token")).unwrap_or_default();
        self.ask_with(token.trim(), method, path, body)
    }

    #[track_caller]
    pub(super) fn ask_with(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        Answer::read(self.send(token, method, path, body).unwrap())
    }

    /// Adds a watch to a daemon that may stop at any moment. Nothing if it stops before it answers.
    pub(super) fn try_to_add(&self, body: &str) -> Option<Answer> {
        let mut stream = self.send("", "POST", "/v1/watches", body).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        (!text.is_empty()).then(|| Answer::parse(&text))
    }

    fn send(&self, token: &str, method: &str, path: &str, body: &str) -> io::Result<TcpStream> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        if !token.is_empty() {
            write!(request, "Authorization: Bearer {token}\r\n").unwrap();
        }
        if !body.is_empty() {
            let length = body.len();
            write!(request, "Content-Type: application/json\r\nContent-Length: {length}\r\n").unwrap();
        }
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("{request}\r\n{body}").as_bytes())?;
        Ok(stream)
    }
}

/// Sends SIGHUP, and waits until the settings have been taken on.
#[track_caller]
pub(super) fn reload(daemon: &Spawned) {
    const DONE: &str = "the settings were reloaded";
    let before = daemon.until_said(DONE, 0).len();
    daemon.signal("HUP");
    daemon.until_said(DONE, before + 1);
}

/// When a line was written to the log.
#[track_caller]
pub(super) fn moment(line: &Value) -> jiff::Timestamp {
    line["timestamp"].as_str().unwrap().parse().unwrap()
}

/// The section of the default account.
pub(super) fn asking(lab: &Lab) -> String {
    format!("[snyk]\napi = '{}'\ntoken-file = '@token'\n", lab.url())
}

/// The section of another account.
pub(super) fn account(name: &str, lab: &Lab) -> String {
    format!("[snyk.accounts.{name}]\napi = '{}'\ntoken-file = '@token'\n", lab.url())
}

/// An entry for an export of the test bed's group.
pub(super) fn watch(account: &str, export_id: &str) -> String {
    format!("[[watch]]\ngroup-id = '{GROUP}'\nexport-id = '{export_id}'\naccount = '{account}'\n")
}

/// An entry for a webhook.
pub(super) fn webhook(name: &str, receiver: &Receiver) -> String {
    webhook_at(name, &receiver.url())
}

pub(super) fn webhook_at(name: &str, url: &str) -> String {
    format!("[[notify]]\nname = '{name}'\nkind = 'webhook'\nurl = '{url}'\n")
}

/// A receiver that takes everything.
pub(super) fn taking_all() -> Receiver {
    Receiver::start(|_| Some(204))
}
