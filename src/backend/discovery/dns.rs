//! Every address that a name has, looked up again and again.
//!
//! The system's resolver does not say how long an answer is good, so the configuration does. A name that cannot be resolved, or has no
//! address, is taken for trouble of the resolver: the last addresses stay.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Follower;
use crate::backend::EndpointSpec;
use crate::jitter::about;

/// How long one answer may take. Resolvers give up by themselves after about as long.
const PATIENCE: Duration = Duration::from_secs(10);

/// How soon it is asked again while nothing is known.
const RETRY: Duration = Duration::from_secs(1);

/// The most addresses that are used: more do not fit into an answer, and a name that has them is a mistake.
const ADDRESSES_MAX: usize = 256;

/// Never ends by itself.
pub(super) async fn follow<A>(look_up: impl Fn() -> A, tls: bool, refresh: Duration, mut follower: Follower)
where
    A: Future<Output = io::Result<Vec<SocketAddr>>>,
{
    loop {
        match timeout(PATIENCE, look_up()).await {
            Ok(Ok(addresses)) if addresses.is_empty() => follower.failed("the name has no address".to_owned()),
            Ok(Ok(addresses)) => follower.found(endpoints(addresses, tls)),
            Ok(Err(error)) => follower.failed(format!("the name cannot be resolved: {error}")),
            Err(_) => follower.failed(format!("the name was not resolved within {PATIENCE:?}")),
        }
        let pause = if follower.found.is_some() { refresh } else { refresh.min(RETRY) };
        sleep(about(pause)).await;
    }
}

/// In an order of their own: resolvers turn theirs with every answer.
fn endpoints(mut addresses: Vec<SocketAddr>, tls: bool) -> Vec<EndpointSpec> {
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.len() > ADDRESSES_MAX {
        tracing::warn!(addresses = addresses.len(), "a name has too many addresses, only the first {ADDRESSES_MAX} are used");
        addresses.truncate(ADDRESSES_MAX);
    }
    addresses.into_iter().map(|address| EndpointSpec::of_ip(address.ip(), address.port(), tls)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::runtime::Handle;

    use super::*;
    use crate::backend::cluster::Cluster;
    use crate::backend::{GrpcSpec, Source};

    /// What a resolver says from now on; nothing: that there is no such name.
    type Answer = Arc<Mutex<Option<Vec<SocketAddr>>>>;

    fn say(answer: &Answer, addresses: &[String]) {
        *answer.lock().unwrap() = Some(addresses.iter().map(|address| address.parse().unwrap()).collect());
    }

    /// What is known once it was looked up again.
    async fn later(cluster: &Cluster) -> Vec<String> {
        sleep(Duration::from_secs(20)).await;
        cluster.endpoints().iter().map(|endpoint| endpoint.name().to_string()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_followed_and_one_that_cannot_be_resolved_leaves_the_last_addresses() {
        let refresh = Duration::from_secs(10);
        let source = Source::Dns { host: "game.svc".to_owned(), port: 50051, tls: false, refresh };
        let spec = GrpcSpec { source, ..GrpcSpec::at(Vec::new()) };
        let cluster = Cluster::open(Arc::from("game"), spec, 1, &Handle::current(), &Default::default(), None).unwrap();
        let answer = Answer::default();
        let look_up = {
            let answer = Arc::clone(&answer);
            move || {
                let answer = answer.lock().unwrap().clone().ok_or_else(|| io::Error::other("no such name"));
                async move { answer }
            }
        };
        tokio::spawn(follow(look_up, false, refresh, Follower::of(&cluster)));

        assert!(later(&cluster).await.is_empty());
        say(&answer, &["10.0.0.2:50051", "10.0.0.1:50051", "10.0.0.2:50051"].map(str::to_owned));
        assert_eq!(later(&cluster).await, ["10.0.0.1:50051", "10.0.0.2:50051"]);
        say(&answer, &[]);
        assert_eq!(later(&cluster).await, ["10.0.0.1:50051", "10.0.0.2:50051"]);
        *answer.lock().unwrap() = None;
        assert_eq!(later(&cluster).await, ["10.0.0.1:50051", "10.0.0.2:50051"]);
        say(&answer, &["[fd00::1]:50051".to_owned()]);
        assert_eq!(later(&cluster).await, ["[fd00::1]:50051"]);
        let many: Vec<String> = (0..300).map(|n| format!("10.1.{}.{}:50051", n / 256, n % 256)).collect();
        say(&answer, &many);
        assert_eq!(later(&cluster).await.len(), ADDRESSES_MAX);
    }
}
