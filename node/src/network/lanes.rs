//! The three streams of a connection in each direction, as a libp2p behaviour.
//!
//! As soon as a connection stands, each side opens a stream of each [`Class`] on it. A stream belongs to its
//! connection: which of a peer's connections a stream runs over is known at once, and where one breaks the connection
//! is given up as a whole. (libp2p-stream picks any connection of the peer, does not say which, and drops a stream
//! that comes in while its queue of one is taken.)

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol,
    core::{Endpoint, InboundUpgrade, OutboundUpgrade, UpgradeInfo, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
        NetworkBehaviour, StreamUpgradeError, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent,
        ToSwarm,
        handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
};
use markstein_proto::LedgerId;

use super::limits::STREAM_TIMEOUT;
use crate::messages::Class;

/// Names of the streams. The ledger id in them lets a peer with another genesis fail before it says anything.
#[derive(Clone, Debug)]
pub(super) struct Protocols {
    urgent: StreamProtocol,
    blocks: StreamProtocol,
    bulk: StreamProtocol,
}

/// Something happened to a stream of a connection.
#[derive(Debug)]
pub(super) struct LaneEvent {
    pub(super) peer: PeerId,
    pub(super) connection: ConnectionId,
    pub(super) what: Lane,
}

/// What happened.
#[derive(Debug)]
pub(super) enum Lane {
    /// This node opened its stream.
    Opened(Class, Stream),
    /// The peer opened its stream.
    Accepted(Class, Stream),
    /// The peer does not speak this protocol: it belongs to another ledger.
    Unknown,
    /// The stream could not be opened.
    Failed(String),
}

/// The behaviour.
#[derive(Debug)]
pub(super) struct Lanes {
    protocols: Protocols,
    events: VecDeque<LaneEvent>,
}

/// Its part in one connection.
#[derive(Debug)]
pub(super) struct Handler {
    protocols: Protocols,
    wanted: VecDeque<Class>,
    happened: VecDeque<Lane>,
}

/// Negotiation of one of these protocols; the bare stream comes out.
#[derive(Debug)]
pub(super) struct Negotiation(Vec<StreamProtocol>);

impl Protocols {
    /// Those of a ledger.
    pub(super) fn new(ledger: &LedgerId) -> Self {
        let name = |class: &str| {
            StreamProtocol::try_from_owned(format!("/markstein/1/{}/{class}", short(ledger)))
                .expect("it begins with a slash")
        };
        Self { urgent: name("urgent"), blocks: name("blocks"), bulk: name("bulk") }
    }

    pub(super) fn name(&self, class: Class) -> &StreamProtocol {
        match class {
            Class::Urgent => &self.urgent,
            Class::Blocks => &self.blocks,
            Class::Bulk => &self.bulk,
        }
    }
}

/// What stands for a ledger in the names of protocols and topics.
pub(super) fn short(ledger: &LedgerId) -> String {
    hex::encode(&ledger.0.0[..8])
}

impl Lanes {
    pub(super) fn new(protocols: Protocols) -> Self {
        Self { protocols, events: VecDeque::new() }
    }

    fn handler(&self) -> Handler {
        let wanted = VecDeque::from(Class::ALL);
        Handler { protocols: self.protocols.clone(), wanted, happened: VecDeque::new() }
    }
}

impl NetworkBehaviour for Lanes {
    type ConnectionHandler = Handler;
    type ToSwarm = LaneEvent;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        what: THandlerOutEvent<Self>,
    ) {
        self.events.push_back(LaneEvent { peer, connection, what });
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        match self.events.pop_front() {
            Some(event) => Poll::Ready(ToSwarm::GenerateEvent(event)),
            None => Poll::Pending,
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Lane;
    type InboundProtocol = Negotiation;
    type OutboundProtocol = Negotiation;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Class;

    fn listen_protocol(&self) -> SubstreamProtocol<Negotiation> {
        let names = Class::ALL.map(|class| self.protocols.name(class).clone());
        SubstreamProtocol::new(Negotiation(names.to_vec()), ())
    }

    /// Connections between peers stay, whether something is said or not.
    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Negotiation, Class, Lane>> {
        if let Some(what) = self.happened.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(what));
        }
        let Some(class) = self.wanted.pop_front() else { return Poll::Pending };
        let negotiation = Negotiation(vec![self.protocols.name(class).clone()]);
        let protocol = SubstreamProtocol::new(negotiation, class).with_timeout(STREAM_TIMEOUT);
        Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Negotiation, Negotiation, (), Class>) {
        let what = match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, name),
                ..
            }) => {
                let is_named = |class: &Class| *self.protocols.name(*class) == name;
                let class = Class::ALL.into_iter().find(is_named).unwrap_or(Class::Bulk);
                Lane::Accepted(class, stream)
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (stream, _),
                info: class,
            }) => Lane::Opened(class, stream),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => match error {
                StreamUpgradeError::NegotiationFailed => Lane::Unknown,
                StreamUpgradeError::Timeout => Lane::Failed("nobody answered in time".to_owned()),
                StreamUpgradeError::Io(error) => Lane::Failed(error.to_string()),
                StreamUpgradeError::Apply(never) => match never {},
            },
            _ => return,
        };
        self.happened.push_back(what);
    }
}

impl UpgradeInfo for Negotiation {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Negotiation {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, name: StreamProtocol) -> Self::Future {
        ready(Ok((stream, name)))
    }
}

impl OutboundUpgrade<Stream> for Negotiation {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, name: StreamProtocol) -> Self::Future {
        ready(Ok((stream, name)))
    }
}
