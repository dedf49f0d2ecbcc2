"""The contract of the event stream as checks that take any server's URL: black box, over HTTP, with a key.

A check is one sentence of docs/stream-contract.md. It publishes and builds what it needs and removes it again, or reads
a finished build that it is told of. `ingot conformance` runs them.
"""
