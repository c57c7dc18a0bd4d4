//! What services are told about how long is left.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use h2::Reason;
use tokio::time::sleep;

use super::peer::{answer, h2_service};
use super::{backend, call, said};

#[tokio::test]
async fn each_attempt_is_told_what_is_left_of_the_deadline_of_the_call() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let service = h2_service(move |request, mut response| {
        let timeout = request.headers()["grpc-timeout"].to_str().expect("digits").trim_end_matches('m').parse::<u64>();
        let mut heard = heard.lock().expect("nobody panics");
        heard.push(timeout.expect("milliseconds"));
        let is_first = heard.len() == 1;
        async move {
            if is_first {
                // So long that the second is told of it.
                sleep(Duration::from_millis(30)).await;
                response.send_reset(Reason::REFUSED_STREAM);
            } else {
                answer(response, &[], "0");
            }
        }
    })
    .await;
    assert_eq!(said(call(&backend(&[service.port]), "hello").await), "");
    let told = told.lock().expect("nobody panics");
    assert!(told[0] <= 20_000 && told[1] <= told[0] - 30, "{told:?}");
}
