"""Reads a node's status and checkpoint as any stranger could: with stock gRPC, and by reflection only.

Nothing of the project is used, no .proto file and no generated code: the node itself says which services it has and
what their messages look like. Prints one JSON object.

    status.py HOST:PORT
"""

import json
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

PACKAGE = "markstein.v1"
TIMEOUT_S = 30


def call(channel, pool, service_name, method_name):
    """Calls a method without arguments and returns its answer as a message."""
    service = pool.FindServiceByName(f"{PACKAGE}.{service_name}")
    method = service.FindMethodByName(method_name)
    request = message_factory.GetMessageClass(method.input_type)
    response = message_factory.GetMessageClass(method.output_type)
    invoke = channel.unary_unary(
        f"/{service.full_name}/{method.name}",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    return invoke(request(), timeout=TIMEOUT_S)


def as_dict(message):
    """The message as JSON has it: 64-bit numbers and bytes are strings, the latter in base64."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def main():
    with grpc.insecure_channel(sys.argv[1]) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = descriptor_pool.DescriptorPool(database)
        status = call(channel, pool, "Operations", "Status")
        checkpoint = call(channel, pool, "Ledger", "GetCheckpoint")
        answer = {
            "services": sorted(database.get_services()),
            "ledger_id": status.ledger_id.hex(),
            "status": as_dict(status),
            "checkpoint": as_dict(checkpoint),
        }
        print(json.dumps(answer))


if __name__ == "__main__":
    main()
