"""The messages a client needs, declared here by hand: nothing in this folder uses code of the gateway.

Only the fields that the conversations touch are declared; protobuf keeps the others as unknown.
"""

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory

KINDS = {
    "uint32": descriptor_pb2.FieldDescriptorProto.TYPE_UINT32,
    "uint64": descriptor_pb2.FieldDescriptorProto.TYPE_UINT64,
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
}


def declare(pool, package, messages):
    """Adds `{message: [(number, kind, name)]}` to the pool; a kind `.x.Y` is a message, one in `[]` repeated."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.hand.proto", package=package, syntax="proto3")
    file.dependency.append("google/protobuf/any.proto")
    for message, fields in messages.items():
        declared = file.message_type.add(name=message)
        for number, kind, name in fields:
            repeated = kind.startswith("[")
            kind = kind.strip("[]")
            field = declared.field.add(name=name, number=number)
            field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if kind.startswith("."):
                field.type, field.type_name = field.TYPE_MESSAGE, kind
            else:
                field.type = KINDS[kind]
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}


POOL = descriptor_pool.DescriptorPool()
POOL.AddSerializedFile(any_pb2.DESCRIPTOR.serialized_pb)

_wire = declare(POOL, "protogate.wire.v1", {
    "Status": [(1, "uint32", "code"), (2, "string", "reason"), (3, "string", "message"), (4, "uint32", "retry_after_ms"),
               (5, "uint32", "source"), (6, "[.google.protobuf.Any]", "details")],
    "Envelope": [(1, "uint32", "protocol"), (2, "uint32", "id"), (3, "bytes", "payload"), (4, ".protogate.wire.v1.Status", "status"),
                 (5, "uint32", "seq"), (7, "uint32", "deadline_ms"), (8, "bool", "more"), (9, "string", "topic"), (10, "uint64", "offset"), (11, "string", "traceparent"), (13, "string", "idempotency_key"),
                 (16, "uint32", "credit")],
    "Hello": [(1, "uint32", "heartbeat_ms"), (4, "uint32", "message_bytes_max"), (5, "uint32", "inflight_max"), (6, "uint32", "stream_credit"), (7, "string", "catalogue_hash")],
    "Authenticate": [(1, "string", "token"), (2, "string", "client_name")],
    "Ready": [(1, "string", "session_id"), (2, "string", "user"), (3, "[string]", "roles"), (4, "uint64", "expires_ms"), (5, "string", "resume_token")],
    "Resume": [(1, "string", "token"), (2, "string", "resume_token"), (3, "uint32", "last_seq")],
    "Resumed": [(1, "bool", "recovered"), (2, "uint32", "replayed"), (4, ".protogate.wire.v1.Ready", "ready")],
    "Cancel": [(1, "uint32", "id")],
    "Subscribe": [(1, "string", "topic")],
    "Unsubscribe": [(1, "string", "topic")],
    "Ping": [(1, "uint64", "time_ms")],
    "Goodbye": [(1, "uint32", "code"), (2, "string", "reason"), (3, "bool", "reconnect")],
})
Status, Envelope, Hello = _wire["Status"], _wire["Envelope"], _wire["Hello"]
Resume, Resumed, Cancel = _wire["Resume"], _wire["Resumed"], _wire["Cancel"]
Subscribe, Unsubscribe = _wire["Subscribe"], _wire["Unsubscribe"]
Authenticate, Ready, Ping, Goodbye = _wire["Authenticate"], _wire["Ready"], _wire["Ping"], _wire["Goodbye"]

_words = declare(POOL, "words.v1", {
    "SayRequest": [(1, "string", "text"), (2, "string", "speaker"), (3, "uint64", "sleep_ms")],
    "SayReply": [(1, "string", "text"), (2, "[string]", "metadata")],
    "Missing": [(1, "string", "field"), (2, "uint64", "position")],
})
SayRequest, SayReply, Missing = _words["SayRequest"], _words["SayReply"], _words["Missing"]

_auth = declare(POOL, "protogate.auth.v1", {
    "User": [(1, "string", "user_id"), (2, "string", "username")],
    "RegisterRequest": [(1, "string", "username"), (2, "string", "password"), (3, "string", "email")],
    "LoginRequest": [(1, "string", "username"), (2, "string", "password")],
    "LoginResponse": [(1, "string", "access_token"), (2, "string", "refresh_token"), (4, ".protogate.auth.v1.User", "user")],
    "GetUserInfoRequest": [(1, "string", "user_id")],
    "GetUserInfoResponse": [(1, ".protogate.auth.v1.User", "user")],
})
RegisterRequest, LoginRequest, LoginResponse = _auth["RegisterRequest"], _auth["LoginRequest"], _auth["LoginResponse"]
GetUserInfoRequest, GetUserInfoResponse = _auth["GetUserInfoRequest"], _auth["GetUserInfoResponse"]

# What services say to the gateway. A field of a `oneof` is on the wire what it would be without.
_push = declare(POOL, "protogate.push.v1", {
    "Users": [(1, "[string]", "users")],
    "Session": [(1, "string", "user"), (2, "string", "session")],
    "Everyone": [],
    "PushRequest": [(1, ".protogate.push.v1.Users", "users"), (2, ".protogate.push.v1.Session", "session"), (3, "string", "topic"),
                    (4, ".protogate.push.v1.Everyone", "everyone"), (5, "uint32", "number"), (6, "bytes", "payload"), (7, "uint32", "wait")],
    "PushResponse": [(1, "uint32", "sessions"), (2, "uint32", "written"), (3, "string", "epoch"), (4, "uint64", "offset")],
    "KickRequest": [(1, "string", "user"), (2, "string", "session"), (3, "string", "reason")],
    "KickResponse": [(1, "uint32", "sessions")],
    "UnsubscribeRequest": [(1, "string", "topic"), (2, "[string]", "users"), (3, "string", "reason")],
    "UnsubscribeResponse": [],
    "Member": [(1, "string", "user"), (2, "string", "session"), (4, "bool", "connected")],
    "TopicPresence": [(1, "string", "topic"), (2, "[.protogate.push.v1.Member]", "members")],
    "UserPresence": [(1, "string", "user"), (2, "[.protogate.push.v1.Member]", "sessions")],
    "PresenceRequest": [(1, "[string]", "topics"), (2, "[string]", "users")],
    "PresenceResponse": [(1, "[.protogate.push.v1.TopicPresence]", "topics"), (2, "[.protogate.push.v1.UserPresence]", "users")],
})
Users, Session, Everyone, PushRequest, PushResponse = (_push[name] for name in ("Users", "Session", "Everyone", "PushRequest", "PushResponse"))
KickRequest, KickResponse = _push["KickRequest"], _push["KickResponse"]
UnsubscribeRequest, UnsubscribeResponse = _push["UnsubscribeRequest"], _push["UnsubscribeResponse"]
PresenceRequest, PresenceResponse = _push["PresenceRequest"], _push["PresenceResponse"]

_guard = declare(POOL, "protogate.guard.v1", {
    "CheckRequest": [(1, "uint32", "protocol"), (2, "string", "route"), (3, "string", "rpc"), (4, "string", "user"), (5, "[string]", "roles"),
                     (7, "string", "peer_ip"), (9, "bytes", "payload")],
    "CheckResponse": [(1, "bool", "allow"), (2, "uint32", "code"), (3, "string", "reason"), (4, "string", "message")],
})
CheckRequest, CheckResponse = _guard["CheckRequest"], _guard["CheckResponse"]

_table = declare(POOL, "table.v1", {
    "SitRequest": [(1, "string", "table"), (2, "string", "user")],
    "SitReply": [(1, "uint64", "place")],
    "MoveRequest": [(1, "string", "table"), (2, "string", "user"), (3, "string", "what")],
    "MoveReply": [(1, "uint64", "number")],
    "Moved": [(1, "string", "user"), (2, "string", "what")],
})
SitRequest, SitReply, MoveRequest, MoveReply, Moved = (_table[name] for name in ("SitRequest", "SitReply", "MoveRequest", "MoveReply", "Moved"))
