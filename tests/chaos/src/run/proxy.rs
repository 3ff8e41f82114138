//! A TCP proxy that can be told to misbehave for a while.
//!
//! What a faulty wire has held back when its client leaves is never delivered: it would take effect after the client
//! has tried again.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What can happen to a chunk of bytes on its way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Broken {
    /// It comes late.
    Delay(Duration),
    /// The connection is closed instead.
    Cut,
    /// Half of it arrives, then the connection is closed.
    Truncate,
    /// Nothing arrives any more. The connection is closed when the fault is over.
    BlackHole,
    /// The connection is reset instead.
    Reset,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From the service.
    Up,
    /// To the service.
    Down,
}

/// A fault in force.
#[derive(Debug)]
struct Fault {
    broken: Broken,
    way: Way,
    share: f64,
    dice: Rng,
    fired: u64,
}

/// What a connection knows of its proxy.
#[derive(Debug)]
struct Wire {
    fault: Mutex<Option<Fault>>,
    /// Counts faults; a change ends black holes.
    changes: watch::Sender<u64>,
}

/// A proxy. Dropped, it takes no more connections.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    wire: Arc<Wire>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1, for what [`connect`](Self::connect) names.
    pub(super) async fn bind() -> io::Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    /// Passes every connection of `listener` on to `upstream`.
    pub(super) fn connect(listener: TcpListener, address: SocketAddr, upstream: SocketAddr) -> Self {
        let wire = Arc::new(Wire { fault: Mutex::default(), changes: watch::Sender::new(0) });
        let shared = Arc::clone(&wire);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let wire = Arc::clone(&shared);
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(upstream).await {
                        let _ = (client.set_nodelay(true), server.set_nodelay(true));
                        pass(client, server, wire).await;
                    }
                });
            }
        });
        Self { address, wire, accepting }
    }

    /// From now on this happens to that share of the chunks, by a seed.
    pub(super) fn break_it(&self, broken: Broken, way: Way, share: f64, seed: u64) {
        *self.wire.fault.lock().unwrap() = Some(Fault { broken, way, share, dice: Rng::with_seed(seed), fired: 0 });
        self.wire.changes.send_modify(|changes| *changes += 1);
    }

    /// How often the fault has happened so far.
    pub(super) fn fired(&self) -> u64 {
        self.wire.fault.lock().unwrap().as_ref().map_or(0, |fault| fault.fired)
    }

    /// Ends the fault, and tells how often it happened.
    pub(super) fn mend(&self) -> u64 {
        let fired = self.wire.fault.lock().unwrap().take().map_or(0, |fault| fault.fired);
        self.wire.changes.send_modify(|changes| *changes += 1);
        fired
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Wire {
    fn decide(&self, way: Way) -> Option<Broken> {
        let mut fault = self.fault.lock().unwrap();
        let fault = fault.as_mut().filter(|fault| fault.way == way)?;
        let hit = fault.dice.f64() < fault.share;
        fault.fired += u64::from(hit);
        hit.then_some(fault.broken)
    }
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Closed,
    Reset,
}

async fn pass(client: TcpStream, server: TcpStream, wire: Arc<Wire>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (mut up, mut down) = (Pump::new(from_client, to_server), Pump::new(from_server, to_client));
    // Neither side outlives the other: HTTP and Kafka use no half-closed connections.
    let end = tokio::select! {
        end = up.run(Way::Up, &wire) => end,
        end = down.run(Way::Down, &wire) => end,
    };
    if end == End::Reset {
        for half in [up.to, down.to] {
            let _ = half.as_ref().set_zero_linger();
            half.forget(); // dropped, it would send a FIN first
        }
    }
}

/// One direction of a connection.
struct Pump {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
}

impl Pump {
    fn new(from: OwnedReadHalf, to: OwnedWriteHalf) -> Self {
        Self { from, to }
    }

    async fn run(&mut self, way: Way, wire: &Wire) -> End {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let mut changes = wire.changes.subscribe();
            let Ok(mut length @ 1..) = self.from.read(&mut buffer).await else { return End::Closed };
            match wire.decide(way) {
                None => {}
                Some(Broken::Cut) => return End::Closed,
                Some(Broken::Reset) => return End::Reset,
                Some(Broken::Truncate) => {
                    let _ = self.to.write_all(&buffer[..length / 2]).await;
                    return End::Closed;
                }
                Some(Broken::BlackHole) => {
                    let _ = changes.changed().await;
                    return End::Closed;
                }
                Some(Broken::Delay(delay)) => {
                    tokio::time::sleep(delay).await;
                    match self.from.try_read(&mut buffer[length..]) {
                        Ok(0) if way == Way::Up && length < buffer.len() => return End::Closed,
                        Ok(more) => length += more,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(_) => return End::Closed,
                    }
                }
            }
            if self.to.write_all(&buffer[..length]).await.is_err() {
                return End::Closed;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn through(broken: Option<(Broken, Way)>) -> (Result<Vec<u8>, io::ErrorKind>, u64) {
        let (listener, upstream) = Proxy::bind().await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = [0; 8];
                if stream.read_exact(&mut buffer).await.is_ok() {
                    let _ = stream.write_all(&buffer).await;
                }
            }
        });
        let (listener, address) = Proxy::bind().await.unwrap();
        let proxy = Proxy::connect(listener, address, upstream);
        if let Some((broken, way)) = broken {
            proxy.break_it(broken, way, 1.0, 1);
        }
        let mut client = TcpStream::connect(proxy.address).await.unwrap();
        client.write_all(b"12345678").await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(1), client.read_to_end(&mut answer)).await;
        let fired = proxy.mend();
        let read = match read {
            Ok(read) => read.map(drop).map_err(|error| error.kind()),
            Err(_) => client.read_to_end(&mut answer).await.map(drop).map_err(|error| error.kind()),
        };
        (read.map(|()| answer), fired)
    }

    #[tokio::test]
    async fn a_whole_wire_passes_all() {
        assert_eq!(through(None).await, (Ok(b"12345678".to_vec()), 0));
        let delay = Broken::Delay(Duration::from_millis(50));
        assert_eq!(through(Some((delay, Way::Down))).await, (Ok(b"12345678".to_vec()), 1));
    }

    #[tokio::test]
    async fn a_broken_one_does_not() {
        assert_eq!(through(Some((Broken::Cut, Way::Up))).await, (Ok(vec![]), 1));
        assert_eq!(through(Some((Broken::Truncate, Way::Down))).await, (Ok(b"1234".to_vec()), 1));
        assert_eq!(through(Some((Broken::BlackHole, Way::Up))).await, (Ok(vec![]), 1));
        assert_eq!(through(Some((Broken::Reset, Way::Down))).await, (Err(io::ErrorKind::ConnectionReset), 1));
    }
}
