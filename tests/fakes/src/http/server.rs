//! The connection loop. It is hyper's, not `axum::serve`, because a fake has to end a connection without an answer,
//! and has to end all of them when it stops.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

/// How one request ends.
pub(crate) enum Ending {
    /// With an answer.
    Reply(Response<Body>),
    /// The connection is closed in an orderly way (FIN), with no answer.
    Close,
    /// The connection is reset (RST), with no answer.
    Reset,
}

/// A listening server. Dropping it ends its connections.
#[derive(Debug)]
pub(crate) struct Server {
    accepting: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
}

impl Server {
    /// Refuses new connections, breaks off the open ones, and returns when all are gone.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        // An error here means that the task was aborted or has panicked: either way it is gone.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Serves every connection of `listener` with `handle`, until the server is stopped or dropped.
pub(crate) fn serve<H, F>(listener: TcpListener, handle: H) -> Server
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + Unpin + 'static,
    F: Future<Output = Ending> + Send + 'static,
{
    let (stop, stopped) = oneshot::channel();
    Server { accepting: tokio::spawn(accept(listener, handle, stopped)), stop: Some(stop) }
}

async fn accept<H, F>(listener: TcpListener, handle: H, mut stopped: oneshot::Receiver<()>)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + Unpin + 'static,
    F: Future<Output = Ending> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, handle.clone()));
                }
                // Mostly "too many open files": without the pause this loop would spin until one is closed.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn converse<H, F>(stream: TcpStream, handle: H)
where
    H: Fn(Request<Incoming>) -> F + Unpin,
    F: Future<Output = Ending> + Send + 'static,
{
    // Without it a small answer waits for the peer's delayed acknowledgement. A failure costs only speed.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let ending = handle(request);
        let answer: Pin<Box<dyn Future<Output = Result<Response<Body>, Hangup>> + Send>> = Box::pin(async move {
            match ending.await {
                Ending::Reply(response) => Ok(response),
                Ending::Close => Err(Hangup { reset: false }),
                Ending::Reset => Err(Hangup { reset: true }),
            }
        });
        answer
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // hyper's own shutdown would send a FIN before we could reset.
    let end = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let stream = connection.into_parts().io.into_inner();
    if end.is_err_and(|error| wants_reset(&error)) {
        let _: io::Result<()> = stream.set_zero_linger();
    }
}

fn wants_reset(error: &hyper::Error) -> bool {
    error.source().and_then(|source| source.downcast_ref::<Hangup>()).is_some_and(|hangup| hangup.reset)
}

/// Tells hyper to give the connection up.
#[derive(Debug)]
struct Hangup {
    reset: bool,
}

impl fmt::Display for Hangup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fake hangs up, as it was told to")
    }
}

impl Error for Hangup {}
