//! Each line as people see it.

use std::sync::Mutex;

use tracing::subscriber::with_default;

use super::*;

/// Renders each line as the text formats do.
struct Page(Mutex<Vec<String>>, Option<Look>);

impl Subscriber for &'static Page {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let (at, level) = ("2026-11-28T04:02:24.123Z", *event.metadata().level());
        let line = match &self.1 {
            Some(look) => human::line(at, level, look, &Record::of(event)),
            None => Some(logfmt::line(at, level, ["", ""], &Record::of(event))),
        };
        self.0.lock().unwrap().extend(line);
    }
}

/// What is rendered of the lines that `log` writes: for a screen, or as `logfmt`.
fn rendered(look: Option<Look>, log: impl FnOnce()) -> String {
    let page: &'static Page = Box::leak(Box::new(Page(Mutex::default(), look)));
    with_default(page, log);
    page.0.lock().unwrap().concat()
}

#[test]
fn logfmt_has_few_fields_with_short_names() {
    let lines = rendered(None, || {
        tracing::info!(
            event = "watch.added",
            export.id = "7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b",
            export.scope = "group",
            export.scope_id = "11111111-2222-4333-8444-555555555555",
            snyk.api = "https://api.eu.snyk.io/",
            credential.source = "SNYK_TOKEN",
            "following export"
        );
        tracing::info!(
            event = "watch.status_changed",
            status = "STARTED",
            status.before = "PENDING",
            poll.number = 7,
            delay_ms = 512_u64,
            "status changed"
        );
        tracing::warn!(
            event = "watch.retrying",
            http.response.status_code = 503,
            error.title = "Service Unavailable",
            error.detail = "try again",
            snyk.request_id = "dd3e252b",
            poll.number = 3,
            delay_ms = 1_049_u64,
            "check failed, retrying"
        );
        tracing::warn!(
            event = "watch.retrying",
            error.title = "the API could not be reached",
            delay_ms = 2_000_u64,
            "check failed, retrying"
        );
        tracing::info!(
            status = "PENDING",
            polls = 27,
            waited_ms = 60_000_u64,
            next_poll_ms = 3_000_u64,
            left_ms = 2_940_000_u64,
            "still waiting"
        );
        tracing::debug!(event = "watch.polled", poll.number = 4, delay_ms = 732_u64, "polled");
        tracing::warn!(event = "download.miscounted", rows = 2_u64, row_count = 5_u64, "not as many rows");
        tracing::error!(note = "", path = "/a b", "something else");
    });
    let expected = "\
2026-11-28T04:02:24Z INFO following export id=7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b \
group=11111111-2222-4333-8444-555555555555 api=api.eu.snyk.io credential=SNYK_TOKEN
2026-11-28T04:02:24Z INFO status changed status=STARTED
2026-11-28T04:02:24Z WARN check failed, retrying http=503 request=dd3e252b retry_in=1s
2026-11-28T04:02:24Z WARN check failed, retrying error=\"the API could not be reached\" retry_in=2s
2026-11-28T04:02:24Z INFO still waiting status=PENDING checks=27 waited=1m next_check=3s left=49m
2026-11-28T04:02:24Z DEBUG polled poll.number=4 next_check=732ms
2026-11-28T04:02:24Z WARN not as many rows counted=2 rows=5
2026-11-28T04:02:24Z ERROR something else note=\"\" path=\"/a b\"
";
    assert_eq!(lines, expected);
}

/// A terminal without colors.
fn screen(is_unicode: bool, is_indented: bool) -> Look {
    Look {
        rendering: Rendering::Human,
        is_colored: false,
        is_unicode,
        width: Some(60),
        zone: jiff::tz::TimeZone::get("Europe/Berlin").unwrap(),
        is_indented,
    }
}

#[test]
fn a_screen_has_short_lines_with_the_time_of_the_reader() {
    let log = || {
        tracing::info!(snyk.api = "https://api.snyk.io", "asking Snyk");
        tracing::info!(
            event = "watch.added",
            export.id = "7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b",
            export.scope = "group",
            export.scope_id = "11111111-2222-4333-8444-555555555555",
            snyk.api = "https://api.eu.snyk.io",
            "following export"
        );
        tracing::info!(event = "watch.status_changed", status = "STARTED", "status changed");
        tracing::warn!(
            event = "watch.retrying",
            http.response.status_code = 503,
            error.title = "Service Unavailable",
            delay_ms = 1_000_u64,
            "check failed, retrying"
        );
        tracing::info!(
            status = "PENDING",
            waited_ms = 60_000_u64,
            next_poll_ms = 3_000_u64,
            left_ms = 2_940_000_u64,
            "still waiting"
        );
        tracing::warn!(
            event = "download.retrying",
            file.name = "part-1.csv",
            http.response.status_code = 500_u64,
            error.title = "storage does not send the file",
            delay_ms = 1_000_u64,
            "download failed, retrying"
        );
        tracing::warn!(
            path = "/a",
            size = 7_u64,
            hint = "do something about it",
            "something is not as it should be, in many words"
        );
    };
    let expected = "\
Export 7f2c1a9e · group 11111111 · api.eu.snyk.io
  05:02:24  STARTED
  05:02:24  ! 503 Service Unavailable, retrying in 1s
  05:02:24  waited 1m · PENDING · next check 3s · gives up
            in 49m
  05:02:24  ! part-1.csv: storage answered 500, retrying in
            1s
  05:02:24  ! something is not as it should be, in many
            words · /a size=7
  next    do something about it
";
    assert_eq!(rendered(Some(screen(true, true)), log), expected);
    assert!(rendered(Some(screen(false, true)), log).is_ascii());
}

#[test]
fn lines_of_a_daemon_name_their_export() {
    let id = "7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b";
    let lines = rendered(Some(Look { width: None, ..screen(true, false) }), || {
        tracing::info!(
            event = "daemon.started",
            server.address = "127.0.0.1:8686",
            store = "/s/watches.db",
            endpoints = "platform, ops",
            endpoints.kinds = "webhook, slack",
            watches.active = 2_u64,
            version = "0.1.0",
            "daemon started"
        );
        tracing::info!(
            event = "watch.status_changed",
            account = "payments",
            export.id = id,
            status = "STARTED",
            status.before = "PENDING",
            "status changed"
        );
        tracing::info!(
            event = "watch.finished",
            account = "payments",
            export.id = id,
            outcome = "finished",
            row_count = 1_061_u64,
            "export finished"
        );
        tracing::info!(
            event = "delivery.sent",
            export.id = id,
            delivery.endpoint = "platform",
            "notification delivered"
        );
        tracing::info!(account = "payments", outage_ms = 64_000_u64, "the API answers again");
        tracing::info!(event = "daemon.stopping", reason = "SIGTERM", "daemon stopping");
    });
    let expected = "\
snyk-export 0.1.0  http://127.0.0.1:8686  store /s/watches.db
notify: platform (webhook), ops (slack) · 2 exports
05:02:24  payments 7f2c1a9e  PENDING → STARTED
05:02:24  payments 7f2c1a9e  ✔ ready, 1,061 rows
05:02:24  7f2c1a9e  told platform
05:02:24  payments  answers again after 1m 4s
05:02:24  stopping: SIGTERM
";
    assert_eq!(lines, expected);
}

#[test]
fn a_screen_has_reasons_and_no_fields_for_machines() {
    let id = "7f2c1a9e-3b4d-4e5f-8a6b-9c0d1e2f3a4b";
    let lines = rendered(Some(Look { width: None, ..screen(true, false) }), || {
        tracing::error!(
            event = "watch.finished",
            account = "payments",
            export.id = id,
            outcome = "failed",
            status = "ERRORED",
            http.response.status_code = 200_u64,
            error.title = "the export failed",
            error.detail = "the query took too long",
            "export did not finish"
        );
        tracing::error!(
            event = "account.paused",
            account = "payments",
            http.response.status_code = 401_u64,
            error.code = "SNYK-0005",
            error.title = "Authentication error",
            error.detail = "Authentication credentials not recognized",
            snyk.request_id = "dd3e252b",
            "the credential is refused"
        );
        tracing::info!(
            event = "api.changed",
            client.address = "127.0.0.1:1",
            http.request.method = "POST",
            http.route = "/v1/watches",
            http.response.status_code = 201_u64,
            watch.id = id,
            "a watch was changed by the API"
        );
    });
    let expected = "\
05:02:24  payments 7f2c1a9e  ✘ failed · ERRORED: the query took too long
05:02:24  payments  ✘ the credential is refused: 401 Authentication error
05:02:24  a watch was changed by the API · 127.0.0.1:1 · POST · /v1/watches · 201
";
    assert_eq!(lines, expected);
}
