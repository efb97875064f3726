//! The name of a world: a seed, and which parts are kept. A failing world is reduced by leaving out parts.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::run;
use super::scene::Scene;

/// Worlds that failed before.
pub(super) const FOUND: [&str; 8] = [
    // A refused credential was tried again without regard to the budget.
    "252:t2",
    // Each restart of the daemon gave a full budget.
    "45:t0:w0.1.2.3",
    // After the rate was raised, the account still waited for the old rate.
    "98:t0:w0:e",
    // An account with a slow server got no place while others always had something to ask.
    "36:w2.3.4.5.6.7.8.9.10.11.12.13.15.16.17.18.19.20.21.23:a0.1.2.3.4.5.6.7",
    // Watches that were claimed for a removed account were not given back.
    "273:t0:w10.11:a2",
    // The model was wrong: a 429 with a hint of zero seconds leads to a pause.
    "732020:e",
    // The model was wrong: slow servers may use only one of two places.
    "737120:t4:w2.3.4.5.11.12.13.14.15.18.25.26:a2.3.4.5.9.10",
    // The model was wrong: it counted polls from before a power cut by a clock that had gone back since.
    "802395:t4.5:w5.7.8:a2:e",
];

/// A seed, and the ids of the parts that are kept (`None`: all).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) seed: u64,
    kept: [Option<BTreeSet<usize>>; 4],
}

/// The parts of a world, by their letters.
const PARTS: [char; 4] = ['t', 'w', 'a', 'e'];

/// How many worlds are tried at most to reduce one.
const TRIES: u32 = 400;

impl Case {
    pub(super) fn of(seed: u64) -> Self {
        Self { seed, kept: Default::default() }
    }

    /// The world with these parts.
    pub(super) fn scene(&self) -> Scene {
        let mut scene = Scene::invent(self.seed);
        let is_kept = |part: usize, id: usize| self.kept[part].as_ref().is_none_or(|kept| kept.contains(&id));
        scene.troubles.retain(|trouble| is_kept(0, trouble.id));
        scene.watches.retain(|watch| is_kept(1, watch.id) && is_kept(2, watch.account));
        scene.accounts.retain(|account| is_kept(2, account.id));
        scene.endpoints.retain(|endpoint| is_kept(3, endpoint.id));
        scene
    }

    fn ids(&self, part: usize) -> Vec<usize> {
        let scene = self.scene();
        match part {
            0 => scene.troubles.iter().map(|trouble| trouble.id).collect(),
            1 => scene.watches.iter().map(|watch| watch.id).collect(),
            2 => scene.accounts.iter().map(|account| account.id).collect(),
            _ => scene.endpoints.iter().map(|endpoint| endpoint.id).collect(),
        }
    }

    fn keeping(&self, part: usize, ids: impl IntoIterator<Item = usize>) -> Self {
        let mut kept = self.kept.clone();
        kept[part] = Some(ids.into_iter().collect());
        Self { seed: self.seed, kept }
    }

    /// Reduces a world that fails: leaves out ever smaller pieces as long as it fails in the same way.
    pub(super) fn shrink(&self, violation: &str) -> Self {
        let mut small = self.clone();
        let mut tries = 0;
        let mut fails = |case: &Self| {
            tries += 1;
            let came = if tries > TRIES { None } else { run(case.scene(), false).violation };
            came.is_some_and(|came| kind(&came) == kind(violation))
        };
        for part in [0, 1, 2, 3, 0, 1] {
            let mut piece = small.ids(part).len().div_ceil(2).max(1);
            loop {
                let ids = small.ids(part);
                for from in (0..ids.len()).step_by(piece).rev() {
                    let ids = small.ids(part);
                    let left = ids.iter().enumerate().filter(|(at, _)| !(from..from + piece).contains(at));
                    let smaller = small.keeping(part, left.map(|(_, id)| *id));
                    if smaller.ids(part).len() < ids.len() && fails(&smaller) {
                        small = smaller;
                    }
                }
                if piece == 1 {
                    break;
                }
                piece = piece.div_ceil(2);
            }
        }
        small
    }
}

/// A violation without its numbers.
fn kind(violation: &str) -> String {
    violation.chars().filter(|char| char.is_alphabetic()).take(24).collect()
}

/// `SEED:t0.3:w1`: the troubles 0 and 3 and the watch 1, and all accounts and endpoints.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seed)?;
        for (letter, kept) in PARTS.iter().zip(&self.kept) {
            if let Some(kept) = kept {
                let ids: Vec<_> = kept.iter().map(usize::to_string).collect();
                write!(f, ":{letter}{}", ids.join("."))?;
            }
        }
        Ok(())
    }
}

impl FromStr for Case {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split(':');
        let mut case = Self::of(words.next().unwrap_or_default().parse()?);
        for word in words {
            let part = PARTS.iter().position(|letter| word.starts_with(*letter)).unwrap_or(PARTS.len() - 1);
            let ids = word[1..].split('.').filter(|id| !id.is_empty());
            case.kept[part] = Some(ids.map(str::parse).collect::<Result<_, _>>()?);
        }
        Ok(case)
    }
}

#[test]
fn a_case_is_read_as_it_is_written() {
    for text in ["7", "7:t", "7:t0.3:w1:a0.2:e"] {
        assert_eq!(text.parse::<Case>().unwrap().to_string(), text);
    }
}
