use super::super::file;
use super::*;
use crate::moment::Moment;
use crate::store::tests::{Lasting as _, NOW, Place, Sqlite, Subject as _, export};
use crate::store::{Catalogue as _, Counts, DeliveryState, Filter, OpenError, Store as _};

/// A store as the first release left it.
const SCHEMA_1: &str = include_str!("schema_1.sql");

fn place_with_schema_1() -> Place {
    let bed = Place::new();
    std::fs::create_dir(bed.path.parent().unwrap()).unwrap();
    bed.sql().execute_batch(SCHEMA_1).unwrap();
    bed
}

#[tokio::test]
async fn a_store_of_the_first_release_can_be_opened() {
    let place = place_with_schema_1();
    let bed = Sqlite { store: place.open().await, place };
    let store = &bed.store;
    assert_eq!(store.last_moment().await.unwrap(), Some(NOW));
    assert_eq!(bed.counts().await, Counts { active: 1, ended: 1, pending: 1, undeliverable: 1 });
    let claimed = bed.claim("acme", NOW).await.remove(0);
    assert_eq!((claimed.watch.export, claimed.watch.progress.polls()), (export(1), 35));
    assert_eq!(claimed.watch.labels["team"], "payments");
    let ended = Filter { ended: Some(true), ..Filter::default() };
    let listed = store.list(ended).await.unwrap().unwrap().watches;
    let (outcome, at, document) = listed[0].end.clone().unwrap();
    assert_eq!((&*outcome, at, &*document), ("finished", Moment::from_unix_ms(1_700_000_000_000), "{}"));
    let ended = store.look(listed[0].watch.id).await.unwrap().unwrap();
    let states: Vec<_> = ended.deliveries.iter().map(|delivery| delivery.state).collect();
    assert_eq!(states, [DeliveryState::Sent, DeliveryState::Pending, DeliveryState::Undeliverable]);
    let of_accounts = "SELECT count(*) FROM sqlite_schema WHERE name = 'accounts'";
    assert_eq!(bed.place.sql().query_row(of_accounts, (), |row| row.get::<_, i64>(0)).unwrap(), 0);
}

#[test]
fn a_new_store_has_the_schema_of_a_migrated_one() {
    let schema = |conn: &Connection| -> Vec<String> {
        let mut select =
            conn.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
        let rows = select.query_map((), |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let old = place_with_schema_1();
    drop(file::open(&old.path, MIGRATIONS).unwrap());
    let fresh = Place::new();
    drop(file::open(&fresh.path, MIGRATIONS).unwrap());
    assert_eq!(schema(&old.sql()), schema(&fresh.sql()));
}

#[test]
fn an_older_store_is_migrated_step_by_step_and_keeps_its_rows() {
    let bed = place_with_schema_1();
    let known = super::known(MIGRATIONS);
    let newer: Vec<&str> = MIGRATIONS
        .iter()
        .copied()
        .chain(["ALTER TABLE watches ADD COLUMN note TEXT", "CREATE TABLE odd (a TEXT) STRICT"])
        .collect();
    let count = |conn: &Connection| {
        conn.query_row("SELECT count(note) + count(*) FROM watches", (), |row| row.get::<_, i64>(0))
    };
    // A step that fails leaves those before it, and itself undone.
    let failing: Vec<&str> = newer[..=MIGRATIONS.len()]
        .iter()
        .copied()
        .chain(["DROP TABLE deliveries; DROP TABLE none"])
        .collect();
    let error = file::open(&bed.path, &failing).unwrap_err().to_string();
    assert!(error.contains("no such table: none"), "{error}");
    let version =
        |bed: &Place| bed.sql().pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    assert_eq!(version(&bed).unwrap(), known + 1);

    let opened = file::open(&bed.path, &newer).unwrap();
    assert_eq!((count(&opened.conn).unwrap(), version(&bed).unwrap()), (2, known + 2));
    drop(opened);
    let error = file::open(&bed.path, MIGRATIONS).unwrap_err();
    let expected = format!(
        "was written by a newer release (schema {}; this one knows up to {known}): use that release, or a backup",
        known + 2
    );
    assert!(matches!(error, OpenError::Newer { .. }) && error.to_string().contains(&expected), "{error}");
}
