//! A rust-libp2p node for interoperability tests: TCP, Noise and yamux, and three protocols. It prints its address as a
//! line of JSON, then answers each line of JSON on its standard input with one on its standard output.
use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use futures::future::{join_all, try_join};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{identify, noise, ping, tcp, yamux, Multiaddr, PeerId, Swarm, SwarmBuilder};
use libp2p_stream::Control;
use serde_json::{json, Value};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::{mpsc, oneshot};

use serve::{Serve, ECHO, RESET};

mod serve;

const TASK_TIMEOUT: Duration = Duration::from_secs(60);
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
const PING_INTERVAL: Duration = Duration::from_millis(100);
const READ_BYTES: usize = 64 * 1024;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    serve: Serve,
    stream: libp2p_stream::Behaviour,
}

/// What the swarm is asked for; each is answered once.
enum Wish {
    Connect(Multiaddr, PeerId, oneshot::Sender<Outcome<()>>),
    Identify(PeerId, oneshot::Sender<Outcome<String>>),
    Ping(PeerId, oneshot::Sender<Outcome<()>>),
    Close(PeerId, oneshot::Sender<Outcome<()>>),
    IsAlone(oneshot::Sender<Outcome<bool>>),
}

/// Who waits for what, and what is known already.
#[derive(Default)]
struct Waiting {
    agents: HashMap<PeerId, String>,
    connect: HashMap<PeerId, oneshot::Sender<Outcome<()>>>,
    identify: HashMap<PeerId, oneshot::Sender<Outcome<String>>>,
    ping: HashMap<PeerId, oneshot::Sender<Outcome<()>>>,
    close: HashMap<PeerId, oneshot::Sender<Outcome<()>>>,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|key| Behaviour {
            identify: identify::Behaviour::new(
                identify::Config::new("/nz-test/1".into(), key.public()).with_agent_version("nz-test-rust".into()),
            ),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_INTERVAL)),
            serve: Serve,
            stream: libp2p_stream::Behaviour::new(),
        })?
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE_TIMEOUT))
        .build();
    let control = swarm.behaviour().stream.new_control();
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let (wishes, wished) = mpsc::channel(16);
    let own = *swarm.local_peer_id();
    let (listening, address) = oneshot::channel();
    tokio::spawn(drive(swarm, wished, listening));
    println!("{}", json!({ "address": format!("{}/p2p/{own}", address.await?) }));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let done = tokio::time::timeout(TASK_TIMEOUT, run(&wishes, control.clone(), &line)).await;
        let answer = match done {
            Ok(Ok(agent)) => json!({ "ok": true, "agent": agent }),
            Ok(Err(error)) => json!({ "ok": false, "why": error.to_string() }),
            Err(_) => json!({ "ok": false, "why": "it took too long" }),
        };
        println!("{answer}");
    }
    Ok(())
}

async fn drive(mut swarm: Swarm<Behaviour>, mut wished: mpsc::Receiver<Wish>, listening: oneshot::Sender<Multiaddr>) {
    let mut waiting = Waiting::default();
    let mut listening = Some(listening);
    loop {
        tokio::select! {
            wish = wished.recv() => match wish {
                Some(wish) => grant(&mut swarm, &mut waiting, wish),
                None => return,
            },
            event = swarm.select_next_some() => match event {
                SwarmEvent::NewListenAddr { address, .. } => {
                    if let Some(told) = listening.take() {
                        let _ = told.send(address);
                    }
                }
                event => settle(&mut waiting, event),
            },
        }
    }
}

fn grant(swarm: &mut Swarm<Behaviour>, waiting: &mut Waiting, wish: Wish) {
    match wish {
        Wish::Connect(_, peer, done) if swarm.is_connected(&peer) => drop(done.send(Ok(()))),
        Wish::Connect(address, peer, done) => match swarm.dial(address) {
            Ok(()) => drop(waiting.connect.insert(peer, done)),
            Err(error) => drop(done.send(Err(error.into()))),
        },
        Wish::Identify(peer, done) => match waiting.agents.get(&peer) {
            Some(agent) => drop(done.send(Ok(agent.clone()))),
            None => drop(waiting.identify.insert(peer, done)),
        },
        Wish::IsAlone(done) => drop(done.send(Ok(swarm.connected_peers().next().is_none()))),
        Wish::Ping(peer, done) => drop(waiting.ping.insert(peer, done)),
        Wish::Close(peer, done) => {
            waiting.close.insert(peer, done);
            let _ = swarm.disconnect_peer_id(peer);
        }
    }
}

fn settle(waiting: &mut Waiting, event: SwarmEvent<BehaviourEvent>) {
    match event {
        SwarmEvent::ConnectionEstablished { peer_id, .. } => tell(waiting.connect.remove(&peer_id), Ok(())),
        SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
            tell(waiting.connect.remove(&peer), Err(error.into()))
        }
        SwarmEvent::ConnectionClosed { peer_id, cause, num_established: 0, .. } => {
            let ended = cause.map_or(Ok(()), |error| Err(error.into()));
            waiting.agents.remove(&peer_id);
            tell(waiting.close.remove(&peer_id), ended);
        }
        SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. })) => {
            waiting.agents.insert(peer_id, info.agent_version.clone());
            tell(waiting.identify.remove(&peer_id), Ok(info.agent_version));
        }
        SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { peer, result, .. })) => {
            tell(waiting.ping.remove(&peer), result.map(|_| ()).map_err(Into::into))
        }
        _ => {}
    }
}

fn tell<T>(done: Option<oneshot::Sender<Outcome<T>>>, outcome: Outcome<T>) {
    if let Some(done) = done {
        let _ = done.send(outcome);
    }
}

/// The agent of the peer for `identify`, else nothing.
async fn run(wishes: &mpsc::Sender<Wish>, mut control: Control, line: &str) -> Outcome<Option<String>> {
    let task: Value = serde_json::from_str(line)?;
    if task["do"] == "alone" {
        while !ask(wishes, Wish::IsAlone).await? {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        return Ok(None);
    }
    let address: Multiaddr = task["address"].as_str().ok_or("no address")?.parse()?;
    let Some(Protocol::P2p(peer)) = address.iter().last() else { return Err("no peer id".into()) };
    let (bytes, streams) = (task["bytes"].as_u64().unwrap_or(0) as usize, task["streams"].as_u64().unwrap_or(0));
    ask(wishes, |done| Wish::Connect(address.clone(), peer, done)).await?;
    match task["do"].as_str().unwrap_or_default() {
        "identify" => return Ok(Some(ask(wishes, |done| Wish::Identify(peer, done)).await?)),
        "ping" => ask(wishes, |done| Wish::Ping(peer, done)).await?,
        "echo" => exchange(&mut control, peer, bytes).await?,
        "streams" => {
            let all = (0..streams).map(|_| {
                let mut control = control.clone();
                async move { exchange(&mut control, peer, bytes).await }
            });
            join_all(all).await.into_iter().collect::<Outcome<Vec<()>>>().map(drop)?
        }
        "reset" => expect_reset(&mut control, peer).await?,
        "close" => ask(wishes, |done| Wish::Close(peer, done)).await?,
        other => return Err(format!("unknown task {other}").into()),
    }
    Ok(None)
}

async fn ask<T>(wishes: &mpsc::Sender<Wish>, wish: impl FnOnce(oneshot::Sender<Outcome<T>>) -> Wish) -> Outcome<T> {
    let (done, outcome) = oneshot::channel();
    wishes.send(wish(done)).await.map_err(|_| "the swarm has ended")?;
    outcome.await?
}

/// Sends bytes while it receives them back, and compares them as they come. Not by `read_to_end`: that one fills all the
/// memory it has left with zeros each time it wakes up, so that its time grows with the square of the size.
async fn exchange(control: &mut Control, peer: PeerId, count: usize) -> Outcome<()> {
    let (mut reader, mut writer) = control.open_stream(peer, ECHO).await?.split();
    let sent = pattern(count);
    let write = async {
        writer.write_all(&sent).await?;
        writer.close().await
    };
    let read = async {
        let mut piece = vec![0; READ_BYTES];
        let mut heard = 0;
        loop {
            let length = reader.read(&mut piece).await?;
            if length == 0 {
                return Ok(heard);
            }
            if sent.get(heard..heard + length) != Some(&piece[..length]) {
                return Err(std::io::Error::other(format!("other bytes came back after {heard} of {count}")));
            }
            heard += length;
        }
    };
    let (_, heard) = try_join(write, read).await?;
    if heard != count {
        return Err(format!("{heard} bytes came back of {count}").into());
    }
    Ok(())
}

/// rust-yamux tells a reader of a reset stream that it is at its end, and a writer that nobody reads.
async fn expect_reset(control: &mut Control, peer: PeerId) -> Outcome<()> {
    let mut stream = control.open_stream(peer, RESET).await?;
    stream.write_all(&[1]).await?;
    stream.flush().await?;
    if let Ok(count) = stream.read(&mut [0]).await {
        if count > 0 || stream.write_all(&[1]).await.is_ok() {
            return Err("expected a reset".into());
        }
    }
    Ok(())
}

fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i * 7) as u8).collect()
}
