//! `/events`: alarms as they open and close, told to browsers at once (server-sent events,
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! Each event `alarm` is an [`AlarmEvent`] as JSON. The page fetches itself again when one comes; it does that every two
//! seconds anyway, so nothing is lost with a listener that is late or cut off.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::time::Instant;

use crate::alarm::AlarmEvent;

/// Browsers that are told at the same time. Others are turned away, and see alarms with the next look.
pub(super) const LISTENERS_MAX: usize = 64;
/// A stream ends after this long, before the server would break it off; the browser connects again.
const STREAM_TIME: Duration = Duration::from_secs(100);
/// So long nothing is sent at most: who is gone is noticed.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// What is sent first: after how many milliseconds to connect again.
const BEGINNING: &[u8] = b"retry: 1000\n\n";

/// The answer to somebody who wants to listen.
pub(super) fn answer(
    places: &Arc<Semaphore>,
    events: broadcast::Receiver<AlarmEvent>,
    stopping: watch::Receiver<bool>,
) -> Response {
    let Ok(place) = Arc::clone(places).try_acquire_owned() else {
        let text = "As many browsers as may listen do so; the page is up to date within two seconds all the same.\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let stream = Stream { events, stopping, end: Instant::now() + STREAM_TIME, _place: place };
    let body = Events { next: Some(Box::pin(async { Some((stream, Bytes::from_static(BEGINNING))) })) };
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::new(body)).into_response()
}

struct Stream {
    events: broadcast::Receiver<AlarmEvent>,
    stopping: watch::Receiver<bool>,
    end: Instant,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    /// What is sent next, with the stream itself; nothing when it ends.
    async fn next(mut self) -> Option<(Stream, Bytes)> {
        let text = tokio::select! {
            event = self.events.recv() => match event {
                Ok(event) => alarm(&event)?,
                // What was missed is on the page.
                Err(RecvError::Lagged(_)) => Bytes::from_static(b": some were left out\n\n"),
                Err(RecvError::Closed) => return None,
            },
            () = tokio::time::sleep_until(self.end.min(Instant::now() + SILENCE_MAX)) => {
                if Instant::now() >= self.end {
                    return None;
                }
                Bytes::from_static(b": nothing new\n\n")
            }
            _ = self.stopping.wait_for(|stopping| *stopping) => return None,
        };
        Some((self, text))
    }
}

/// JSON has no line ends of its own, so that it is one line of data.
fn alarm(event: &AlarmEvent) -> Option<Bytes> {
    let json = serde_json::to_string(event).ok()?;
    Some(format!("id: {}\nevent: alarm\ndata: {json}\n\n", event.number).into())
}

type Next = Pin<Box<dyn Future<Output = Option<(Stream, Bytes)>> + Send>>;

/// The body of the answer, a piece at a time.
struct Events {
    next: Option<Next>,
}

impl HttpBody for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(next) = &mut self.next else { return Poll::Ready(None) };
        let Poll::Ready(sent) = next.as_mut().poll(task) else { return Poll::Pending };
        self.next = None;
        Poll::Ready(sent.map(|(stream, text)| {
            self.next = Some(Box::pin(stream.next()));
            Ok(Frame::data(text))
        }))
    }
}
