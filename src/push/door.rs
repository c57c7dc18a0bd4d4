//! Who may push: whoever shows the token, or came with a certificate of the authority.
//!
//! Promise: anybody else is answered UNAUTHENTICATED, whatever they call, before anything is read of what they send.

use std::sync::Arc;
use std::task::{Context, Poll};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use futures_util::future::{Either, Ready, ready};
use http::{HeaderMap, Request, Response, header};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::Service;

use crate::tls::Certified;

/// A shorter token can be guessed.
pub const TOKEN_BYTES_MIN: usize = 16;

/// The token of services. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<str>);

/// A service behind the door.
#[derive(Clone)]
pub struct Guarded<S> {
    service: S,
    /// Without one, certificates alone open.
    token: Option<Token>,
}

/// Puts the door before a service.
pub fn guard<S>(service: S, token: Option<Token>) -> Guarded<S> {
    Guarded { service, token }
}

// === impl Token ===

impl Token {
    pub fn new(token: &str) -> Token {
        Token(token.into())
    }

    /// In a time that says nothing about the token but its length.
    pub fn is_shown(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        shown.is_some_and(|shown| verify_slices_are_equal(shown, self.0.as_bytes()).is_ok())
    }
}

// === impl Guarded ===

impl<S> Guarded<S> {
    fn admits<B>(&self, request: &Request<B>) -> bool {
        let certified = request.extensions().get::<Certified>().is_some();
        certified || self.token.as_ref().is_some_and(|token| token.is_shown(request.headers()))
    }

    fn refusal(&self) -> Status {
        let ways = match self.token {
            Some(_) => "send `authorization: Bearer TOKEN` with the token of `push.token` in the gateway's gateway.yaml",
            None => "show a certificate of the authority that `push.tls.client_ca` in the gateway's gateway.yaml names",
        };
        let details = ErrorDetails::with_error_info("UNAUTHENTICATED", "push.protogate", []);
        Status::with_error_details(Code::Unauthenticated, format!("this is for services that may push; {ways}"), details)
    }
}

impl<S, B> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.admits(&request) {
            true => Either::Left(self.service.call(request)),
            false => Either::Right(ready(Ok(self.refusal().into_http()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::{ServiceExt as _, service_fn};

    use super::*;

    const TOKEN: &str = "sixteen bytes or more";

    /// What a request with these words in `authorization` is answered: nothing when it came through.
    async fn answer(token: Option<&str>, shown: Option<&str>, certified: Option<Certified>) -> Option<Status> {
        let service = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
        let mut request = Request::new(());
        if let Some(shown) = shown {
            request.headers_mut().insert(header::AUTHORIZATION, shown.parse().unwrap());
        }
        if let Some(certified) = certified {
            request.extensions_mut().insert(certified);
        }
        let answered = guard(service, token.map(Token::new)).oneshot(request).await.unwrap();
        Status::from_header_map(answered.headers())
    }

    #[tokio::test]
    async fn the_token_opens_and_nothing_like_it() {
        assert!(answer(Some(TOKEN), Some(&format!("Bearer {TOKEN}")), None).await.is_none());
        let wrong =
            [TOKEN.to_owned(), format!("bearer {TOKEN}"), format!("Bearer {TOKEN}!"), "Bearer ".to_owned(), format!("Basic {TOKEN}")];
        for shown in wrong {
            let refused = answer(Some(TOKEN), Some(&shown), None).await.expect("it is refused");
            assert_eq!(refused.code(), Code::Unauthenticated, "{shown}");
            assert!(!refused.message().contains(TOKEN), "{}", refused.message());
        }
        assert!(answer(Some(TOKEN), None, None).await.is_some());
    }

    #[tokio::test]
    async fn a_certificate_opens_without_a_token() {
        assert!(answer(Some(TOKEN), None, Some(Certified)).await.is_none());
        assert!(answer(None, None, Some(Certified)).await.is_none());
        let refused = answer(None, Some("Bearer "), None).await.expect("where there is no token, none is right");
        assert!(refused.message().contains("client_ca"), "{}", refused.message());
    }
}
