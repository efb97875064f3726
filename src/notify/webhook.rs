//! Webhooks: the unchanged event, signed by the Standard Webhooks specification.

use reqwest::header::CONTENT_TYPE;
use url::Url;

use super::cloud_event::MEDIA_TYPE;
use super::post::Receiver;
use super::{Attempt, EndpointError, OwnHeaders, SigningKey};
use crate::http::Network;
use crate::moment::Moment;

pub(super) struct Webhook {
    receiver: Receiver,
    key: Option<SigningKey>,
    own: OwnHeaders,
}

impl Webhook {
    pub(super) fn new(
        url: Url,
        key: Option<SigningKey>,
        own: OwnHeaders,
        network: &Network,
    ) -> Result<Self, EndpointError> {
        Ok(Self { receiver: Receiver::new(url, network)?, key, own })
    }

    /// Each attempt gets a new signature, because receivers reject signatures that are older than a few minutes.
    pub(super) async fn send(&self, id: &str, event: &str, now: Moment) -> Attempt {
        let timestamp = now.wall_ms() / 1000;
        let headers = |request: reqwest::RequestBuilder| {
            let request =
                request.headers(self.own.headers()).header(CONTENT_TYPE, MEDIA_TYPE).header("webhook-id", id);
            let request = request.header("webhook-timestamp", timestamp);
            match &self.key {
                Some(key) => request.header("webhook-signature", key.sign(id, timestamp, event)),
                None => request,
            }
        };
        self.receiver.post(event.to_owned(), headers, |_| Ok(())).await
    }
}
