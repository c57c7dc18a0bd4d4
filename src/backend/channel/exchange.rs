//! One call of one reply.

use std::sync::Arc;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::ResponseFuture;
use http::HeaderMap;

use super::{Abandoned, Resets, Seat, Stage, fault};
use crate::backend::outcome::{self, Answer, Fault};
use crate::failure::Result;

/// One call in flight, of one reply. Dropping it before it is over cancels the call.
pub(in crate::backend) struct Exchange {
    /// None once there is nothing left to reset.
    stage: Option<Stage>,
    seat: Option<Seat>,
    resets: Arc<Resets<Abandoned>>,
}

// === impl Exchange ===

impl Exchange {
    pub(super) fn begun(response: ResponseFuture, seat: Seat, resets: Arc<Resets<Abandoned>>) -> Exchange {
        Exchange { stage: Some(Stage::Head(response)), seat: Some(seat), resets }
    }

    /// The message of the reply.
    pub(in crate::backend) async fn reply(mut self, bytes_max: usize) -> Result<Bytes> {
        let (head, body) = self.head().await?.into_parts();
        self.stage = Some(Stage::Body(body));
        outcome::read(head.status, &head.headers, &mut self, bytes_max).await
    }

    async fn head(&mut self) -> std::result::Result<http::Response<RecvStream>, Fault> {
        let Some(Stage::Head(response)) = &mut self.stage else { unreachable!("a head is read once, and before the body") };
        let response = response.await.map_err(|error| self.over(error))?;
        if let Some(seat) = &self.seat {
            seat.prove();
        }
        Ok(response)
    }

    /// The stream has failed, so there is nothing left to reset.
    fn over(&mut self, error: h2::Error) -> Fault {
        self.stage = None;
        fault(&error)
    }
}

impl Answer for Exchange {
    async fn chunk(&mut self) -> Option<std::result::Result<Bytes, Fault>> {
        let Some(Stage::Body(body)) = &mut self.stage else { return None };
        let chunk = match body.data().await? {
            // Given back at once: what is held is bounded by the reply's own bound. It fails only on a stream that is over.
            Ok(chunk) => body.flow_control().release_capacity(chunk.len()).map(|()| chunk),
            Err(error) => Err(error),
        };
        Some(chunk.map_err(|error| self.over(error)))
    }

    async fn trailers(&mut self) -> std::result::Result<Option<HeaderMap>, Fault> {
        let Some(Stage::Body(body)) = &mut self.stage else { return Ok(None) };
        let trailers = body.trailers().await.map_err(|error| self.over(error))?;
        self.stage = None;
        Ok(trailers)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(stage) = self.stage.take_if(|stage| !stage.is_over()) {
            self.resets.abandon(Abandoned { _stage: stage, _body: None, _seat: self.seat.take() });
        }
    }
}
