//! Which version of the API serves a request: the rules of Snyk's `vervet`.

use jiff::civil::Date;

/// The general release, which serves every later date as well.
pub(super) const RELEASED: &str = "2024-10-15";
/// The version that Snyk's page about the export status still shows.
pub(super) const EXPERIMENTAL: &str = "2024-05-10~experimental";

/// A version that serves, and its stability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) version: &'static str,
    pub(super) stage: &'static str,
}

/// Why no version serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unserved {
    Missing,
    Malformed,
    NoMatch,
}

/// Finds the version for a `version` parameter. Dates after `today` match nothing.
pub(super) fn resolve(wanted: Option<&str>, today: Date, experimental: bool) -> Result<Served, Unserved> {
    let wanted = wanted.filter(|text| !text.is_empty()).ok_or(Unserved::Missing)?;
    if stability_is_known(wanted) {
        // A stability without a date means today, and since the general release there is none.
        return Err(Unserved::NoMatch);
    }
    let (date, stability) = match wanted.split_once('~') {
        Some((date, stability)) if stability_is_known(stability) => (date, Some(stability)),
        Some(_) => return Err(Unserved::Malformed),
        None => (wanted, None),
    };
    // `parse` would accept other forms of a date.
    let date: Date = Some(date)
        .filter(|text| text.len() == 10)
        .and_then(|text| text.parse().ok())
        .ok_or(Unserved::Malformed)?;
    if date >= jiff::civil::date(2024, 10, 15) {
        // From that date on, versions have no stability suffix: one with a suffix matches nothing.
        let served = Served { version: RELEASED, stage: "ga" };
        return if date <= today && stability.is_none() { Ok(served) } else { Err(Unserved::NoMatch) };
    }
    let unstable = stability.is_some_and(|stability| stability != "beta");
    if experimental && unstable && date >= jiff::civil::date(2024, 5, 10) {
        return Ok(Served { version: EXPERIMENTAL, stage: "experimental" });
    }
    Err(Unserved::NoMatch)
}

fn stability_is_known(word: &str) -> bool {
    matches!(word, "wip" | "work-in-progress" | "experimental" | "beta")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_resolve_as_at_snyk() {
        let rows = [
            (None, Err(Unserved::Missing)),
            (Some(""), Err(Unserved::Missing)),
            (Some("2024-10-15"), Ok(RELEASED)),
            (Some("2025-11-05"), Ok(RELEASED)),
            (Some("2026-03-25"), Ok(RELEASED)),
            (Some("2026-03-26"), Err(Unserved::NoMatch)),
            (Some("2024-10-15~experimental"), Err(Unserved::NoMatch)),
            (Some("2025-01-01~beta"), Err(Unserved::NoMatch)),
            (Some("2024-05-10~experimental"), Ok(EXPERIMENTAL)),
            (Some("2024-06-01~wip"), Ok(EXPERIMENTAL)),
            (Some("2024-05-10~beta"), Err(Unserved::NoMatch)),
            (Some("2024-05-10"), Err(Unserved::NoMatch)),
            (Some("2024-05-09~experimental"), Err(Unserved::NoMatch)),
            (Some("experimental"), Err(Unserved::NoMatch)),
            (Some("2024-02-31"), Err(Unserved::Malformed)),
            (Some("2024-10-15~ga"), Err(Unserved::Malformed)),
            (Some("20241015"), Err(Unserved::Malformed)),
            (Some("latest"), Err(Unserved::Malformed)),
        ];
        let today = jiff::civil::date(2026, 3, 25);
        for (wanted, expected) in rows {
            assert_eq!(resolve(wanted, today, true).map(|served| served.version), expected, "{wanted:?}");
        }
        assert_eq!(resolve(Some(EXPERIMENTAL), today, false), Err(Unserved::NoMatch));
    }
}
