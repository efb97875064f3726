//! The heartbeat, under tokio's paused clock.

use std::sync::{Arc, Mutex};

use tracing::subscriber::with_default;

use super::*;
use crate::event::Timing;
use crate::export::{Scope, Status};
use crate::words::GoOn;

/// What was logged.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn says_that_it_is_alive_after_a_minute_of_silence() {
    let (clock, page) = (Clock::start(), Page::default());
    let surroundings = Surroundings {
        api: "https://api.snyk.io".to_owned(),
        credential: "SNYK_TOKEN".to_owned(),
        other_api: None,
        general_version: "x",
        go_on: GoOn::new("wait"),
    };
    let mut observer = Observer::new(clock, surroundings, ProgressLine::default(), false);
    let id = uuid::Uuid::nil();
    let export = ExportRef { scope: Scope::Group, scope_id: id, export_id: id };
    let watch = Arc::new(Watch::unnamed(export, clock.now()));
    let subscriber =
        |page: Page| tracing_subscriber::fmt().with_ansi(false).with_writer(move || page.clone()).finish();
    let advance = |seconds| tokio::time::advance(Duration::from_secs(seconds));

    with_default(subscriber(page.clone()), || {
        observer.event(&What::Added { watch: Arc::clone(&watch) }.at(clock.now()))
    });
    assert!(page.take().contains("following export"));
    assert_eq!(observer.tick(), HEARTBEAT);
    advance(45).await;
    assert_eq!(observer.tick(), Duration::from_secs(15), "15 s of silence are left");
    let status = Status::new("PENDING").unwrap();
    let changed = What::StatusChanged {
        watch,
        from: Some(status.clone()),
        delay: Duration::from_secs(30),
        timing: Timing::default(),
    };
    with_default(subscriber(page.clone()), || observer.event(&changed.at(clock.now())));
    page.take();
    advance(59).await;
    with_default(subscriber(page.clone()), || observer.tick());
    assert_eq!(page.take(), "", "something was said less than a minute ago");
    advance(1).await;
    let pause = with_default(subscriber(page.clone()), || observer.tick());
    let said = page.take();
    assert!(said.contains("still waiting") && said.contains("waited_ms=105000"), "{said}");
    assert_eq!(pause, HEARTBEAT);
}
