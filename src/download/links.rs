//! Signed links expire. New ones are requested once for all files that wait for them.

use std::collections::HashMap;

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use super::DownloadError;
use crate::secret::Link;
use crate::watch::observation::{Part, Problem};
use crate::watch::outcome::Outcome;
use crate::watch::tries::Defeat;

/// Requests the parts of an export again, with new links.
pub type Relist<'a> = dyn Fn() -> BoxFuture<'a, Result<Vec<Part>, Defeat>> + Sync + 'a;

/// The links to the parts of an export.
pub(super) struct Links<'a> {
    /// The parts as they were listed last, and how often the list was requested.
    listed: Mutex<(Vec<Part>, u32)>,
    relist: &'a Relist<'a>,
}

impl<'a> Links<'a> {
    pub(super) fn new(parts: Vec<Part>, relist: &'a Relist<'a>) -> Self {
        Self { listed: Mutex::new((parts, 0)), relist }
    }

    /// A part as it is listed, the link to it, and the number of the list.
    pub(super) async fn of(&self, index: usize) -> Result<(Part, Link, u32), Defeat> {
        let (parts, generation) = &*self.listed.lock().await;
        let part = parts.get(index).ok_or_else(changed)?.clone();
        let link = part.link.clone().ok_or_else(changed)?;
        Ok((part, link, *generation))
    }

    /// Requests new links, unless there is a newer list than `generation` already. Calls `tell` before the request.
    pub(super) async fn renew(&self, generation: u32, tell: impl FnOnce()) -> Result<(), DownloadError> {
        let mut listed = self.listed.lock().await;
        if listed.1 != generation {
            return Ok(());
        }
        tell();
        let parts = (self.relist)().await.map_err(DownloadError::Listing)?;
        *listed = (in_order_of(&listed.0, parts).ok_or_else(changed)?, generation + 1);
        Ok(())
    }
}

fn changed() -> Defeat {
    let problem = Problem::new("the export has changed", "the results list other files than before");
    Defeat { outcome: Outcome::Unavailable, problem }
}

/// The new parts in the order of the old ones: by the objects that their links lead to, or, if these have other names each
/// time, in the order of the list. `None` if they cannot be the same parts.
fn in_order_of(before: &[Part], mut now: Vec<Part>) -> Option<Vec<Part>> {
    let object = |part: &Part| part.link.as_ref().map(Link::object);
    let objects = |parts: &[Part]| parts.iter().map(object).collect::<Option<Vec<_>>>();
    let places: HashMap<_, _> = objects(before)?.into_iter().zip(0_usize..).collect();
    let found: Option<Vec<usize>> = objects(&now)?.iter().map(|object| places.get(object).copied()).collect();
    if let Some(mut found) = found.filter(|_| places.len() == before.len()) {
        let mut sorted: Vec<(usize, Part)> = found.drain(..).zip(now).collect();
        sorted.sort_by_key(|(place, _)| *place);
        now = sorted.into_iter().map(|(_, part)| part).collect();
    }
    let is_same = |(before, now): (&Part, &Part)| before.file_size == now.file_size;
    (before.len() == now.len() && before.iter().zip(&now).all(is_same)).then_some(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(url: &str, size: u64) -> Part {
        Part { link: Link::parse(url), file_size: Some(size), ..Part::default() }
    }

    fn urls(parts: Option<Vec<Part>>) -> Option<Vec<String>> {
        parts.map(|parts| parts.into_iter().map(|part| part.link.unwrap().show()).collect())
    }

    #[test]
    fn parts_keep_their_places() {
        let before = [part("https://s.example/a?s=1", 1), part("https://s.example/b?s=1", 1)];
        let swapped = vec![part("https://s.example/b?s=2", 1), part("https://s.example/a?s=2", 1)];
        let expected = ["https://s.example/a?s=2", "https://s.example/b?s=2"].map(str::to_owned).to_vec();
        assert_eq!(urls(in_order_of(&before, swapped)), Some(expected));
        let renamed = vec![part("https://s.example/c", 1), part("https://s.example/d", 1)];
        let expected = ["https://s.example/c", "https://s.example/d"].map(str::to_owned).to_vec();
        assert_eq!(urls(in_order_of(&before, renamed)), Some(expected));
        assert!(in_order_of(&before, vec![part("https://s.example/a", 1)]).is_none(), "one is gone");
        let other = vec![part("https://s.example/a", 1), part("https://s.example/b", 2)];
        assert!(in_order_of(&before, other).is_none(), "one has another size");
        let same_twice = vec![part("https://s.example/a?s=2", 1), part("https://s.example/a?s=3", 1)];
        assert!(in_order_of(&before, same_twice).is_some(), "then the order of the list decides");
    }
}
