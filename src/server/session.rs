//! Sessions of the page: a cookie shows that its browser was given one of the tokens, without being one.
//!
//! It is a time, and a code that only somebody with the token can make of it. So it needs no memory, is valid for every replica
//! that has the token, and ends with its time, or when a reload removes the token.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::hmac;
use subtle::ConstantTimeEq as _;

use crate::moment::Moment;
use crate::secret::Secret;

/// How long a session lasts.
pub(super) const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// The cookie's name. A browser that sees TLS accepts the first from nobody but this very host.
const NAMES: [&str; 2] = ["__Host-snyk-export", "snyk-export"];

/// What a request says of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Session {
    /// It has none.
    None,
    /// It has one.
    Valid,
    /// It had one that is over.
    Over,
    /// It has a cookie that is none of ours, or that a token made which is gone.
    Foreign,
}

impl Session {
    /// The session of these headers.
    pub(super) fn of(headers: &HeaderMap, tokens: &[Secret], now: Moment) -> Self {
        let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
        let cookies =
            lines.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
        let ours = cookies.filter(|(name, value)| NAMES.contains(name) && !value.is_empty());
        ours.map(|(_, value)| Self::of_value(value, tokens, now))
            .min_by_key(|it| it.rank())
            .unwrap_or(Self::None)
    }

    fn of_value(value: &str, tokens: &[Secret], now: Moment) -> Self {
        let parts = value.split_once('.').and_then(|(ends_at, code)| {
            Some((ends_at, ends_at.parse::<u64>().ok()?, URL_SAFE_NO_PAD.decode(code).ok()?))
        });
        let Some((signed, ends_at, code)) = parts else { return Self::Foreign };
        // All are compared, so that the time says nothing.
        let fits = |token: &Secret| hmac::verify(&key(token), signed.as_bytes(), &code).is_ok();
        match tokens.iter().fold(false, |is_one, token| fits(token) | is_one) {
            false => Self::Foreign,
            true if now.wall().as_secs() < ends_at => Self::Valid,
            true => Self::Over,
        }
    }

    /// If a browser sends two, the better one counts.
    const fn rank(self) -> u8 {
        match self {
            Self::Valid => 0,
            Self::Over => 1,
            Self::Foreign => 2,
            Self::None => 3,
        }
    }
}

/// The key of a token for this purpose, and no other.
fn key(token: &Secret) -> hmac::Key {
    let own = hmac::Key::new(hmac::HMAC_SHA256, token.expose().as_bytes());
    hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&own, b"a session of snyk-export's page").as_ref())
}

/// The cookie of a session that begins now. `is_over_tls` says whether the browser sees TLS.
pub(super) fn cookie(token: &Secret, now: Moment, is_over_tls: bool) -> HeaderValue {
    let ends_at = now.wall().saturating_add(LIFETIME).as_secs().to_string();
    let code = URL_SAFE_NO_PAD.encode(hmac::sign(&key(token), ends_at.as_bytes()));
    set(is_over_tls, &format!("{ends_at}.{code}"), LIFETIME.as_secs())
}

/// The cookies that end a session.
pub(super) fn end() -> [HeaderValue; 2] {
    [set(true, "", 0), set(false, "", 0)]
}

fn set(is_over_tls: bool, value: &str, seconds: u64) -> HeaderValue {
    let [name, secure] = if is_over_tls { [NAMES[0], "; Secure"] } else { [NAMES[1], ""] };
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    HeaderValue::try_from(text).unwrap_or_else(|_| unreachable!("digits and Base64 can stand in a header"))
}

/// The token that was given. Digests have the same length, so that the time of the comparison reveals neither a token's length
/// nor which one fits.
pub(super) fn token<'a>(given: &[u8], tokens: &'a [Secret]) -> Option<&'a Secret> {
    let given = digest(&SHA256, given.trim_ascii());
    let is_it = |token: &Secret| given.as_ref().ct_eq(digest(&SHA256, token.expose().as_bytes()).as_ref());
    let fit: Vec<_> = tokens.iter().map(is_it).collect();
    tokens
        .iter()
        .zip(fit)
        .fold(None, |found, (token, fits)| if bool::from(fits) { Some(token) } else { found })
}

/// How many wrong tokens an address may give at once.
const ATTEMPTS: u32 = 10;

/// After how long it may give one more.
const ANOTHER_AFTER: Duration = Duration::from_secs(30);

/// How many addresses are remembered. Beyond that, the one that has waited longest is forgotten.
const ADDRESSES: usize = 1024;

/// The addresses that gave wrong tokens, and when each has all its attempts again.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<BTreeMap<IpAddr, Moment>>);

impl Attempts {
    /// Takes an attempt of this address, or says after how long it has one.
    pub(super) fn take(&self, address: IpAddr, now: Moment) -> Result<(), Duration> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, full_at| *full_at > now);
        let address = network(address);
        let full_at = all.get(&address).copied().unwrap_or(now);
        let ahead = full_at.since(now);
        let most = ANOTHER_AFTER * (ATTEMPTS - 1);
        if ahead > most {
            return Err(ahead.saturating_sub(most));
        }
        if all.len() >= ADDRESSES
            && let Some(oldest) = all.iter().min_by_key(|(_, full_at)| **full_at).map(|(address, _)| *address)
        {
            all.remove(&oldest);
        }
        all.insert(address, full_at.plus(ANOTHER_AFTER));
        Ok(())
    }

    /// The attempt was right.
    pub(super) fn forgive(&self, address: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&network(address));
    }
}

/// A client has many addresses of IPv6, all in one network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ (IpAddr::V4(_) | IpAddr::V6(_)) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_unix_ms(1_732_529_622_470);

    fn headers(cookies: &[String]) -> HeaderMap {
        cookies.iter().map(|cookie| (COOKIE, HeaderValue::try_from(cookie).unwrap())).collect()
    }

    /// The name and the value, as a browser sends them back.
    fn sent(cookie: &HeaderValue) -> String {
        cookie.to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    #[test]
    fn a_session_ends_with_its_time_or_its_token() {
        let [old, new] = ["an old token of some length", "a new token of some length"].map(Secret::new);
        let both = [new.clone(), old.clone()];
        for is_over_tls in [false, true] {
            let cookie = sent(&cookie(&old, NOW, is_over_tls));
            let of = |tokens: &[Secret], now| Session::of(&headers(&[format!("a=b; {cookie}")]), tokens, now);
            let last = NOW.plus(LIFETIME - Duration::from_secs(1));
            assert_eq!([of(&both, NOW), of(&both, last)], [Session::Valid; 2]);
            assert_eq!(of(&both, NOW.plus(LIFETIME)), Session::Over);
            assert_eq!([of(std::slice::from_ref(&new), NOW), of(&[], NOW)], [Session::Foreign; 2]);
        }
    }

    #[test]
    fn what_is_no_session_opens_nothing() {
        let tokens = [Secret::new("a token of some length")];
        let real = sent(&cookie(&tokens[0], NOW, false));
        let (name, value) = real.split_once('=').unwrap();
        let (ends_at, code) = value.split_once('.').unwrap();
        let later = ends_at.parse::<u64>().unwrap() + 1;
        let rows = [
            ("a=b", Session::None),
            (&format!("{name}="), Session::None),
            (&format!("other={value}"), Session::None),
            (&format!("{name}={later}.{code}"), Session::Foreign),
            (&format!("{name}={value}x"), Session::Foreign),
            (&format!("{name}={ends_at}."), Session::Foreign),
            (&format!("{name}=a token of some length"), Session::Foreign),
            (&format!("{name}=x; {real}"), Session::Valid),
        ];
        for (cookie, session) in rows {
            assert_eq!(Session::of(&headers(&[cookie.to_owned()]), &tokens, NOW), session, "{cookie}");
        }
        assert!(!value.contains("token of"), "{value}");
    }

    #[test]
    fn only_tls_makes_a_cookie_of_this_host_alone() {
        let token = Secret::new("a token of some length");
        let [plain, tls] = [false, true].map(|tls| cookie(&token, NOW, tls).to_str().unwrap().to_owned());
        assert!(plain.starts_with("snyk-export=") && !plain.contains("Secure"), "{plain}");
        assert!(tls.starts_with("__Host-snyk-export=") && tls.ends_with("; Secure"), "{tls}");
        for cookie in [plain, tls] {
            assert!(cookie.contains("; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200"), "{cookie}");
        }
    }

    #[test]
    fn attempts_of_an_address_are_limited_and_come_back() {
        let attempts = Attempts::default();
        let [one, other] = ["2001:db8::1", "192.0.2.1"].map(|address| address.parse::<IpAddr>().unwrap());
        for n in 0..ATTEMPTS {
            let same: IpAddr = format!("2001:db8::{n}:2").parse().unwrap();
            assert_eq!(attempts.take(same, NOW), Ok(()));
        }
        assert_eq!(attempts.take(one, NOW), Err(ANOTHER_AFTER));
        assert_eq!(attempts.take(other, NOW), Ok(()));
        let later = NOW.plus(ANOTHER_AFTER);
        assert_eq!(attempts.take(one, later), Ok(()));
        assert!(attempts.take(one, later).is_err());
        attempts.forgive(one);
        assert_eq!(attempts.take(one, later), Ok(()));
        for n in 0..2 * ADDRESSES {
            let n = u32::try_from(n).unwrap();
            attempts.take(IpAddr::V4(n.into()), later).unwrap();
        }
        assert!(attempts.0.lock().unwrap().len() <= ADDRESSES);
    }
}
