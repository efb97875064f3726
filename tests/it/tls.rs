//! Which certificates are trusted. The tests have their own authority.

mod peers;
mod proxy;
mod server;
mod troubles;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use snyk_export::http::{Network, Proxies, Store};
use snyk_export::moment::Moment;
use snyk_export::notify::{Attempt, Endpoint, EndpointKind, OwnHeaders};

use crate::lab::{EXPORT_ID, Lab, Program, READY, runtime};

use peers::{Identity, NOW, Peer};
use server::{Authority, Proxy, READY as READY_ANSWER, Server};

const HINT: &str =
    "next    trust the CA that signed it with --ca-cert FILE, SSL_CERT_FILE or NODE_EXTRA_CA_CERTS";

#[test]
fn an_authority_that_is_not_trusted_exits_with_69_at_once() {
    let server = Server::start(&Authority::new(), "localhost");
    let run = wait(&server.url).run();
    assert_eq!(run.exits(69).document()["outcome"], "unavailable");
    assert_eq!(run.document()["error"]["title"], "the server's certificate is not trusted");
    run.stderr_has(HINT);
    assert_eq!(server.connections.get(), 1);
}

#[test]
fn every_way_to_trust_an_authority_works() {
    let authority = Authority::new();
    let server = Server::start(&authority, "localhost");
    for name in ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"] {
        let program = wait(&server.url);
        let file = program.file("ca.pem", &authority.pem).display().to_string();
        program.env(name, &file).run().exits(0);
    }
    let program = wait(&server.url);
    let file = program.file("ca.pem", &authority.pem).display().to_string();
    program.args("--ca-cert").arg(&file).run().exits(0);
    let program = wait(&server.url);
    let file = program.file("certs/ca.pem", &authority.pem).display().to_string();
    program.config(&format!("[snyk]\nca-cert = '{file}'")).run().exits(0);
    assert_eq!(server.requests.get().len(), 4);
}

#[test]
fn added_authorities_are_added() {
    let (first, second) = (Authority::new(), Authority::new());
    for authority in [&first, &second] {
        let server = Server::start(authority, "localhost");
        let program = wait(&server.url);
        let [one, two] = [("one", &first), ("two", &second)]
            .map(|(name, authority)| program.file(name, &authority.pem).display().to_string());
        program.env("NODE_EXTRA_CA_CERTS", &one).args("--ca-cert").arg(&two).run().exits(0);
        let program = wait(&server.url);
        let both = program.file("both", &format!("{}{}", first.pem, second.pem)).display().to_string();
        program.args("--ca-cert").arg(&both).run().exits(0);
    }
}

#[test]
fn storage_is_trusted_as_snyk_is() {
    let authority = Authority::new();
    let storage = Server::start(&authority, "localhost");
    let part = format!(
        "{{\"url\":\"{}/a.json?signature=5ec7e7\",\"file_size\":{}}}",
        storage.url,
        READY_ANSWER.len()
    );
    let body = format!("{{\"data\":{{\"attributes\":{{\"status\":\"FINISHED\",\"results\":[{part}]}}}}}}");
    let lab = Lab::start(&format!("[[faults]]\nprobability = 1\nstatus-code = 200\nbody = '{body}'"));
    let program = Program::download(&lab).export(EXPORT_ID);
    let file = program.file("ca.pem", &authority.pem).display().to_string();
    let run = program.args("--ca-cert").arg(&file).run();
    let downloaded = std::fs::read_to_string(run.exits(0).home().join("files/part-0001.csv")).unwrap();
    assert_eq!(downloaded, READY_ANSWER);
    assert_eq!(storage.requests.get(), ["GET /a.json?signature=5ec7e7 HTTP/1.1"]);
    let run = Program::download(&lab).export(EXPORT_ID).run();
    run.exits(69).stderr_has("the server's certificate is not trusted").stderr_has(HINT);
    assert_eq!(storage.requests.get().len(), 1);
}

#[test]
fn links_of_a_remote_api_lead_neither_to_this_machine_nor_to_the_network_of_it() {
    let authority = Authority::new();
    let here = Server::start(&authority, "localhost");
    let plain = Lab::start(READY);
    let links = [
        (format!("{}/x", plain.url()), "the link uses plain http"),
        ("http://storage.example/x".to_owned(), "the link uses plain http"),
        (format!("{}/x", here.url), "the link leads to this machine, but the API is not on it"),
        (format!("https://127.0.0.1:{}/x", here.port), "the link leads to this machine"),
        (format!("https://0.0.0.0:{}/x", here.port), "the link leads to this machine"),
        ("https://169.254.169.254/latest/meta-data".to_owned(), "reserved for services of this network"),
        ("https://[fd00:ec2::254]/latest/meta-data".to_owned(), "reserved for services of this network"),
    ];
    for (link, why) in links {
        let part = format!("{{\"url\":\"{link}\",\"file_size\":5}}");
        let body =
            format!("{{\"data\":{{\"attributes\":{{\"status\":\"FINISHED\",\"results\":[{part}]}}}}}}");
        let api = Server::answering(&authority, "api.snyk.test", &body);
        let proxy = Proxy::start(api.port);
        let program = Program::asking("download", "https://api.snyk.test").env("HTTPS_PROXY", &proxy.url);
        let program = program.export(EXPORT_ID).args("--dir files --allow-http");
        let file = program.file("ca.pem", &authority.pem).display().to_string();
        program.args("--ca-cert").arg(&file).run().exits(7).stderr_has(why);
        assert_eq!(proxy.asked.get(), ["CONNECT api.snyk.test:443 HTTP/1.1"], "{link}");
    }
    assert_eq!((here.connections.get(), plain.requests()), (0, 0));
}

#[test]
fn another_authority_is_not_trusted() {
    let server = Server::start(&Authority::new(), "localhost");
    for name in ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "SNYK_EXPORT_CA_CERT"] {
        let program = wait(&server.url);
        let file = program.file("ca.pem", &Authority::new().pem).display().to_string();
        program.env(name, &file).run().exits(69).stderr_has(HINT);
    }
}

#[test]
fn a_wrong_name_exits_with_69() {
    let authority = Authority::new();
    let server = Server::start(&authority, "other.example");
    let program = wait(&server.url);
    let file = program.file("ca.pem", &authority.pem).display().to_string();
    let run = program.args("--ca-cert").arg(&file).run();
    assert_eq!(run.exits(69).document()["outcome"], "unavailable");
    assert_eq!(server.connections.get(), 1);
    assert_eq!(server.requests.get(), [""; 0], "nothing is sent to a server with another name");
}

#[test]
fn status_trusts_as_wait_does() {
    let authority = Authority::new();
    let server = Server::start(&authority, "localhost");
    let status = || Program::asking("status", &server.url).export(EXPORT_ID);
    status().run().exits(69).stderr_has(HINT);
    let program = status();
    let file = program.file("ca.pem", &authority.pem).display().to_string();
    program.args("--ca-cert").arg(&file).run().exits(0);
}

#[test]
fn a_flag_that_names_no_authority_is_an_error_and_a_variable_a_warning() {
    let authority = Authority::new();
    let server = Server::start(&authority, "localhost");
    for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
        let program = wait(&server.url);
        let file = program.file("ca.pem", text).display().to_string();
        program
            .args("--ca-cert")
            .arg(&file)
            .run()
            .exits(2)
            .stderr_has("failed to read CA certificates from ");
        let program = wait(&server.url);
        let [bad, good] = [("bad", text), ("good", &authority.pem)]
            .map(|(name, text)| program.file(name, text).display().to_string());
        let run = program.env("NODE_EXTRA_CA_CERTS", &bad).args("--ca-cert").arg(&good).run();
        run.exits(0).stderr_has("NODE_EXTRA_CA_CERTS is ignored");
    }
}

#[test]
fn one_damaged_certificate_does_not_spoil_its_bundle() {
    let authority = Authority::new();
    let server = Server::start(&authority, "localhost");
    let damaged = Identity::of_itself(&["x.example"], NOW).damaged();
    let no_base64 = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    let bundle = format!("{damaged}{}{no_base64}", authority.pem);
    for setting in ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "SNYK_EXPORT_CA_CERT"] {
        let program = wait(&server.url);
        let file = program.file("bundle.pem", &bundle).display().to_string();
        let run = program.env(setting, &file).run();
        run.exits(0).stderr_has("damaged certificates are ignored").stderr_has(&file).stderr_has("2");
    }
}

#[test]
fn a_missing_file_is_named() {
    let server = Server::start(&Authority::new(), "localhost");
    let missing = |setting: &str, code: i32| {
        let run = wait(&server.url).env(setting, "/nowhere/ca.pem").run();
        run.exits(code).stderr_has("/nowhere/ca.pem").stderr_has("No such file or directory");
    };
    missing("SSL_CERT_FILE", 2);
    missing("SSL_CERT_DIR", 2);
    missing("SNYK_EXPORT_CA_CERT", 2);
    missing("NODE_EXTRA_CA_CERTS", 69);
    // Over plain http nothing of it matters.
    for setting in ["SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"] {
        let lab = Lab::start(READY);
        let run = Program::wait(&lab).export(EXPORT_ID).env(setting, "/nowhere/ca.pem").run();
        run.exits(0).stderr_lacks("/nowhere/ca.pem");
    }
}

#[test]
fn a_named_certificate_that_is_its_own_authority_is_trusted() {
    let server = Identity::of_itself(&["localhost"], NOW);
    let peer = Peer::speaking_tls(&server, false);
    for setting in ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "SNYK_EXPORT_CA_CERT"] {
        let program = wait(&format!("https://localhost:{}", peer.port));
        let file = program.file("server.pem", &server.pem).display().to_string();
        program.env(setting, &file).run().exits(0);
    }
}

fn wait(url: &str) -> Program {
    Program::asking("wait", url).export(EXPORT_ID)
}

#[test]
fn notifications_trust_as_polls_do() {
    let authority = Authority::new();
    let server = Server::start(&authority, "localhost");
    let attempt = |added: Vec<CertificateDer<'static>>| {
        let kind = EndpointKind::Webhook {
            url: server.url.parse().unwrap(),
            secret: None,
            headers: OwnHeaders::default(),
        };
        let network = Network::new(added, Store::default(), Proxies::default());
        let endpoint = Endpoint::new("x".to_owned(), None, kind, &network).unwrap();
        runtime().block_on(endpoint.send("msg_x", "{}", Moment::from_unix_ms(0)))
    };
    let Attempt::Failed { problem, .. } = attempt(Vec::new()) else { panic!("it trusts anybody") };
    assert!(problem.as_str().starts_with("the server's certificate is not trusted: "), "{problem}");
    assert_eq!(server.requests.get(), [""; 0]);
    assert_eq!(
        attempt(vec![CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()]),
        Attempt::Sent
    );
    assert_eq!(server.requests.get()[0], "POST / HTTP/1.1");
}
