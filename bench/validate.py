"""How long one validation takes: parse, check, canonical form and digest of a typical document of 90 lines.

Prints JSON lines: p50 and p99 in milliseconds for YAML, JSON and a document with ten problems, and the share of the
YAML reader alone. Run it as `python bench/validate.py [rounds]`; the target is a p50 of 5 ms for YAML.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ingot.errors import TemplateError
from ingot.template import parse_publication
from ingot.template.source import read_source

DOCUMENT = Path(__file__).parents[1] / "tests/unit/golden_documents/web_shop.yaml"
TARGET_MS = 5.0


def measure(name: str, action: Callable[[], object], rounds: int) -> dict[str, object]:
    """Times `rounds` calls behind ten that warm up."""
    times = []
    for turn in range(rounds + 10):
        start = time.perf_counter()
        action()
        if turn >= 10:
            times.append((time.perf_counter() - start) * 1000)
    p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
    return {"bench": "validate", "case": name, "rounds": rounds, "p50_ms": round(p50, 3), "p99_ms": round(p99, 3)}


def count_problems(body: bytes) -> int:
    try:
        parse_publication(body, None)
    except TemplateError as error:
        return len(error.problems)
    return 0


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    body = DOCUMENT.read_bytes()
    as_json = json.dumps(parse_publication(body, None).canonical, indent=2).encode()
    broken = body + b"".join(b"unknown_%d: x\n" % number for number in range(10))
    assert count_problems(broken) == 10
    results = [
        {**measure("yaml", lambda: parse_publication(body, "application/yaml"), rounds), "target_p50_ms": TARGET_MS},
        measure("json", lambda: parse_publication(as_json, "application/json"), rounds),
        measure("yaml, ten problems", lambda: count_problems(broken), rounds),
        measure("yaml reader alone", lambda: read_source(body, "application/yaml"), rounds),
    ]
    for result in results:
        print(json.dumps({**result, "lines": body.count(b"\n"), "bytes": len(body)}))


if __name__ == "__main__":
    main()
