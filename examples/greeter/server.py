"""The greeter in Python: pip install grpcio googleapis-common-protos; python3 server.py [ADDRESS].

The messages are built when it starts, so that no compiler for .proto files has to be installed.
proto/greeter/v1/greeter.proto says what they mean.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from google.rpc import error_details_pb2, status_pb2

STRING = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
OPTIONAL = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL

# Field numbers count from 1 in the order given.
MESSAGES = {
    "HelloRequest": ["name"],
    "HelloReply": ["text"],
    "FailRequest": [],
    "FailReply": [],
    "AnnounceRequest": ["text", "user_id"],
    "AnnounceReply": ["text"],
}


def build(messages):
    """Makes a class for each message, all of whose fields are strings."""
    file = descriptor_pb2.FileDescriptorProto(name="greeter/v1/greeter.proto", package="greeter.v1", syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for number, field in enumerate(fields, start=1):
            message.field.add(name=field, number=number, type=STRING, label=OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"greeter.v1.{name}")) for name in messages}


TYPES = build(MESSAGES)


def hello(request, context):
    return TYPES["HelloReply"](text=f"hello, {request.name}")


def fail(request, context):
    status = status_pb2.Status(code=grpc.StatusCode.INVALID_ARGUMENT.value[0], message="nobody to greet")
    violation = error_details_pb2.BadRequest.FieldViolation(field="name", description="is empty")
    info = error_details_pb2.ErrorInfo(reason="NAME_MISSING", domain="greeter.example", metadata={"field": "name"})
    for detail in (info, error_details_pb2.BadRequest(field_violations=[violation])):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    context.set_trailing_metadata([("grpc-status-details-bin", status.SerializeToString())])
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, status.message)


def announce(request, context):
    return TYPES["AnnounceReply"](text=f"{request.user_id} announces: {request.text}")


def handler(function, name):
    return grpc.unary_unary_rpc_method_handler(
        function,
        request_deserializer=TYPES[f"{name}Request"].FromString,
        response_serializer=TYPES[f"{name}Reply"].SerializeToString,
    )


def main():
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051"
    methods = {"Hello": handler(hello, "Hello"), "Fail": handler(fail, "Fail"), "Announce": handler(announce, "Announce")}
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("greeter.v1.Greeter", methods),))
    port = server.add_insecure_port(address)
    server.start()
    print(f"the greeter listens on {address.rpartition(':')[0]}:{port}", file=sys.stderr, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
