//! Half of a session, for those who do not keep to the rules.

use std::sync::Arc;

use patronus_control::session::{Facts, Hello, PROTOCOL};
use patronus_control::tls::{Trust, router_config};
use patronus_control::wire::v1::control_client::ControlClient;
use patronus_control::wire::{Opening, v1};
use patronus_control::{ConnectError, Line, WallClock, dial};
use patronus_identity::{ControllerUrl, SiteIdentity};
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Net, PATIENCE, site};

/// A session without a state machine: says what it is told to say.
pub(crate) struct Raw {
    pub(crate) line: Line,
    pub(crate) say: mpsc::Sender<v1::RouterMessage>,
    hear: Option<tonic::Streaming<v1::ControllerMessage>>,
    refused: Option<tonic::Status>,
}

impl Raw {
    pub(crate) async fn dial(
        url: &ControllerUrl,
        config: ClientConfig,
    ) -> Result<Self, ConnectError> {
        let line = dial(url, Arc::new(config), None, &WallClock::system()).await?;
        let (say, said) = mpsc::channel(8);
        let mut client = ControlClient::new(line.channel.clone());
        let answer = client.session(ReceiverStream::new(said)).await;
        let (hear, refused) = match answer {
            Ok(answer) => (Some(answer.into_inner()), None),
            Err(status) => (None, Some(status)),
        };
        Ok(Self {
            line,
            say,
            hear,
            refused,
        })
    }

    pub(crate) async fn of(net: &Net, identity: &SiteIdentity) -> Self {
        let trust = Trust::Authority(net.authority.certificate().clone());
        let config = router_config(trust, Some(identity), &WallClock::system()).unwrap();
        Self::dial(&net.url, config).await.unwrap()
    }

    pub(crate) fn hello(name: &str) -> v1::RouterMessage {
        let hello = Hello {
            protocol: PROTOCOL,
            seen: None,
            running: None,
            confirmed: None,
            refused: None,
            facts: Facts::new(),
        };
        let site = site(name);
        Opening {
            session: 1,
            site,
            clock_ms: 0,
            hello,
        }
        .into()
    }

    pub(crate) async fn say(&self, message: v1::RouterMessage) {
        let _ = self.say.send(message).await;
    }

    pub(crate) async fn hear(&mut self) -> Option<v1::ControllerMessage> {
        match self.hear.as_mut()?.message().await {
            Ok(message) => message,
            Err(status) => {
                self.refused = Some(status);
                None
            }
        }
    }

    /// Why it ended, once it has.
    pub(crate) async fn why(&mut self) -> ConnectError {
        let ends = async { while self.hear().await.is_some() {} };
        tokio::time::timeout(PATIENCE, ends).await.expect("it ends");
        let status = self.refused.take().expect("it ended with a reason");
        self.line.why(&status)
    }
}
