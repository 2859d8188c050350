//! Asking Sentinels which server is the primary.

use redis::{Pipeline, Value as Reply};

use super::commands::text;
use super::connect::Connector;
use super::node::{Node, NodeError};

/// Sentinels of one service.
pub(super) struct Sentinels {
    nodes: Vec<Node>,
    service: String,
}

impl Sentinels {
    pub(super) fn new(
        connector: &Connector,
        addresses: &[(String, u16)],
        service: &str,
    ) -> Result<Self, String> {
        let connector = connector.of_sentinels();
        let nodes = addresses
            .iter()
            .map(|(host, port)| Node::new(&connector, host, *port))
            .collect::<Result<_, _>>()?;
        Ok(Self { nodes, service: service.to_owned() })
    }

    /// The primary's address, as the first Sentinel says that answers; all are asked at once, since one that is gone
    /// with the primary would cost its whole time limit.
    pub(super) async fn primary(&self) -> Result<(String, u16), String> {
        let mut question = Pipeline::new();
        question.cmd("SENTINEL").arg("get-master-addr-by-name").arg(&self.service);
        let asked = self.nodes.iter().map(|node| {
            let question = &question;
            Box::pin(
                async move { node.ask(question, 0).await.map_err(reason).and_then(|reply| address(&reply)) },
            )
        });
        match futures_util::future::select_ok(asked).await {
            Ok((address, _)) => Ok(address),
            Err(why) => Err(format!("no Sentinel knows the primary of {}: {why}", self.service)),
        }
    }
}

fn reason(error: NodeError) -> String {
    match error {
        NodeError::Broken(why) | NodeError::Silent(why) => why,
    }
}

fn address(replies: &[Reply]) -> Result<(String, u16), String> {
    let Some(Reply::Array(parts)) = replies.first() else { return Err("the service is unknown".to_owned()) };
    let [host, port] = &parts[..] else { return Err("no address".to_owned()) };
    let port = text(port).and_then(|port| port.parse().ok());
    text(host).zip(port).ok_or_else(|| "no address".to_owned())
}
