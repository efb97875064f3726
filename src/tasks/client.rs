//! A client for Rust programs.

use crate::clock::Clock;
use crate::snyk::credentials::{Credential, CredentialError, Credentials, Scheme, Source};
use crate::snyk::region::Api;
use crate::snyk::{Client, Connections, Network, TransportError};

/// Why a client cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The token cannot be used.
    #[error(transparent)]
    Token(#[from] CredentialError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TransportError),
}

impl Client {
    /// A client for `api` that authenticates with `token`. It sends requests with `http` if given, otherwise with a
    /// client that trusts the system's certificates.
    ///
    /// It reads no variable, so only `http` may use proxies. Build `http` with [`reqwest::redirect::Policy::none`]:
    /// redirects are followed here, within the origin only.
    ///
    /// # Errors
    ///
    /// When the token is not a token, or when TLS cannot be set up.
    pub async fn with_token(
        api: Api,
        token: &str,
        http: Option<reqwest::Client>,
    ) -> Result<Self, ClientError> {
        let token = Credential::new(token, Scheme::ByForm, "the token")?;
        let credentials = Credentials::load(Source::Value(token), "the token", Clock::start()).await?;
        let connections = match http {
            Some(http) => Connections::from(http),
            None => Connections::new(&api, &Network::default())?,
        };
        Ok(Self::over(connections, api, None, credentials).keeping_links())
    }
}
