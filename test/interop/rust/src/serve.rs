//! What the node answers. A behaviour of its own: libp2p-stream drops streams that come faster than they are taken up.
use std::convert::Infallible;
use std::future::{ready, Ready};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{DeniedUpgrade, InboundUpgrade, UpgradeInfo};
use libp2p::core::Endpoint;
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour, Stream,
    SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, StreamProtocol};

/// Answers with what it is told, then closes its side.
pub const ECHO: StreamProtocol = StreamProtocol::new("/nz-test/echo/1");
/// Answers the number of bytes with a decimal number once the other side has ended.
const SINK: StreamProtocol = StreamProtocol::new("/nz-test/sink/1");
/// Resets the stream after its first byte.
pub const RESET: StreamProtocol = StreamProtocol::new("/nz-test/reset/1");
/// How long a sink reads nothing, so that a writer meets the end of its window.
const SINK_DELAY: Duration = Duration::from_millis(100);

async fn answer(mut stream: Stream, protocol: StreamProtocol) -> std::io::Result<()> {
    if protocol == ECHO {
        let (reader, mut writer) = stream.split();
        futures::io::copy(reader, &mut writer).await?;
        return writer.close().await;
    }
    if protocol == SINK {
        tokio::time::sleep(SINK_DELAY).await;
        let count = futures::io::copy(&mut stream, &mut futures::io::sink()).await?;
        stream.write_all(count.to_string().as_bytes()).await?;
        return stream.close().await;
    }
    // Dropped open: reset.
    stream.read(&mut [0]).await.map(drop)
}

pub struct Serve;
pub struct Handler;
pub struct Offer;

impl UpgradeInfo for Offer {
    type Info = StreamProtocol;
    type InfoIter = [StreamProtocol; 3];
    fn protocol_info(&self) -> Self::InfoIter {
        [ECHO, SINK, RESET]
    }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;
    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = Offer;
    type OutboundProtocol = DeniedUpgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Offer> {
        SubstreamProtocol::new(Offer, ())
    }
    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }
    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<DeniedUpgrade, (), Infallible>> {
        Poll::Pending
    }
    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offer, DeniedUpgrade>) {
        if let ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: (stream, name), .. }) = event
        {
            tokio::spawn(answer(stream, name));
        }
    }
}

impl NetworkBehaviour for Serve {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler)
    }
    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler)
    }
    fn on_swarm_event(&mut self, _: FromSwarm) {}
    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }
    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}
