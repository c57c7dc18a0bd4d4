//! The service in a process of its own, and a gateway elsewhere that asks for a token.

use std::net::SocketAddr;

use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};

use super::*;
use crate::backend::{EndpointSpec, GrpcSpec, SpecKind};
use crate::push::v1::push_service_server::PushServiceServer;
use crate::services::alone;

/// A gateway's PushService, for who has the token.
async fn gateway(recorder: &Recorder, tasks: &Tasks) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let check = |request: Request<()>| match request.metadata().get("authorization") {
        Some(shown) if shown == "Bearer sesame" => Ok(request),
        _ => Err(Status::unauthenticated("show the token")),
    };
    let service = PushServiceServer::with_interceptor(recorder.clone(), check);
    let serving = Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener));
    tasks.spawn(&Handle::current(), async { serving.await.unwrap() });
    address
}

/// The service alone, as gateways find it.
async fn serve(gateway: SocketAddr, token: &str, tasks: &Arc<Tasks>) -> Channel {
    let endpoint = EndpointSpec::of_ip(gateway.ip(), gateway.port(), false);
    let kind = SpecKind::Grpc(Box::new(GrpcSpec::at(vec![endpoint])));
    let pusher = Pusher::remote(kind, token, &Handle::current()).unwrap();
    let service = service(Context::in_memory(), pusher, Hasher::new(), &Handle::current(), tasks);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = alone::serve(service, listener, &Handle::current(), tasks).unwrap();
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

async fn create(channel: Channel) -> Room {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/protogate.game.v1.GameService/CreateRoom");
    let codec = tonic_prost::ProstCodec::<CreateRoomRequest, CreateRoomResponse>::default();
    let request =
        CreateRoomRequest { user_id: "alice".to_owned(), name: "a table".to_owned(), capacity: 4, ..CreateRoomRequest::default() };
    client.unary(Request::new(request), path, codec).await.unwrap().into_inner().room.unwrap()
}

#[tokio::test]
async fn a_game_alone_is_heard_through_a_gateway_that_knows_its_token() {
    let (recorder, tasks) = (Recorder::default(), Arc::new(Tasks::new()));
    let gateway = gateway(&recorder, &tasks).await;
    let room = create(serve(gateway, "sesame", &tasks).await).await;
    let pushed = recorder.pushed();
    assert_eq!(pushed.len(), 1);
    assert_eq!(pushed[0].target, Some(Target::Topic(format!("room/{}", room.id))));
    assert_eq!(GameEvent::decode(pushed[0].payload.clone()).unwrap().version, 1);
    // With another token it is not heard, and goes on nevertheless.
    assert_eq!(create(serve(gateway, "guess", &tasks).await).await.version, 1);
    assert!(recorder.pushed().is_empty());
    assert!(tasks.drain(Duration::from_secs(30)).await, "everything ended by itself");
}
