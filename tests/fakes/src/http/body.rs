//! Bodies that do not arrive as they should. The length that the header promises is the caller's affair.

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;

/// How many pieces a slow body comes in.
const PIECES: usize = 8;

/// Sends `start`, then breaks the connection off.
pub(crate) fn cut(start: Bytes) -> Body {
    Body::from_stream(stream::unfold(Some(start), |start| async {
        match start {
            Some(bytes) => Some((Ok(bytes), None)),
            None => {
                // Without this pause hyper meets the error before it has flushed the first piece.
                tokio::task::yield_now().await;
                Some((Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted)), None))
            }
        }
    }))
}

/// Sends all of `bytes`, spread evenly over the time given.
pub(crate) fn paced(bytes: Bytes, over: Duration) -> Body {
    let size = bytes.len().div_ceil(PIECES).max(1);
    let pause = over / PIECES as u32;
    Body::from_stream(stream::unfold(bytes, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let piece = rest.split_to(size.min(rest.len()));
        Some((Ok::<_, std::convert::Infallible>(piece), rest))
    }))
}
