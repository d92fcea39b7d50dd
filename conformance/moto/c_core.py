"""Calls a method without arguments over a Unix socket with gRPC's C core, and prints the size of each answer.

Arguments: the socket's path, the method. The C core names the percent-encoded path as the authority; an option has it name
the path as it is, as clients in other languages do.
"""

import sys

import grpc

path, method = sys.argv[1:]
for target, options in [
    (f"unix:{path}", []),
    (f"unix://{path}", []),
    (f"unix:{path}", [("grpc.default_authority", path)]),
    (f"unix:{path}", [("grpc.default_authority", "localhost")]),
]:
    with grpc.insecure_channel(target, options=options) as channel:
        call = channel.unary_unary(method)
        # The second call names the authority by its place in HPACK's table.
        for _ in range(2):
            print(len(call(b"", timeout=30)), flush=True)
