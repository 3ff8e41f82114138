//! Requests, read to their end and decoded.

use axum::body::BodyDataStream;
use futures_util::StreamExt;
use percent_encoding::percent_decode_str;

/// Reads all, keeps up to the limit, and counts the whole. A body left unread would make the kernel reset the
/// connection, and the client would never see the refusal.
pub(crate) async fn drain(mut stream: BodyDataStream, limit: usize) -> Option<(Vec<u8>, usize)> {
    let (mut kept, mut length) = (Vec::new(), 0);
    while let Some(piece) = stream.next().await {
        let piece = piece.ok()?;
        length += piece.len();
        if length <= limit {
            kept.extend_from_slice(&piece);
        } else {
            kept = Vec::new();
        }
    }
    Some((kept, length))
}

/// The pairs of a query or a form.
pub(crate) fn decode_params(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}
