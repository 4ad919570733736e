"""`python -m tests.faults.simulate --seeds N`: the whole platform on a virtual clock, N times, with faults.

A seed is a scenario: the same seed gives the same messages, and so the same digest, on every machine. Every run ends
in the audit, against the venues' own journals. A seed that breaks a promise is made as short as it can be, and its
history printed. Exit code 1 if any did.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections import Counter
from typing import Any

from tests.faults.simulation.scenario import draw
from tests.faults.simulation.shrink import narrate, shrink
from tests.faults.simulation.simulation import Outcome
from tests.faults.simulation.workers import outcomes

TOLD_EVERY = 20  # seeds
TOLD_MAX = 3  # failing seeds whose history is printed; the others are named


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object")
    parser.add_argument("--tell", action="store_true", help="print the whole history of each seed")
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    if arguments.tell:
        for seed in seeds:
            print(*narrate(draw(seed)), sep="\n")
        return 0
    started = time.perf_counter()
    failed: list[Outcome] = []
    faults: Counter[str] = Counter()
    messages = children = 0
    digest = hashlib.blake2b(digest_size=16)
    for number, outcome in enumerate(outcomes(seeds, arguments.jobs), 1):
        digest.update(outcome.digest.encode())
        messages += outcome.messages
        children += outcome.children
        faults.update(outcome.faults)
        if outcome.violations:
            failed.append(outcome)
            print(f"seed {outcome.seed}: {'; '.join(outcome.violations)}", file=sys.stderr)
        if sys.stderr.isatty() and number % TOLD_EVERY == 0:
            print(f"\r{number} of {len(seeds)}", end="", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - started
    figures: dict[str, Any] = {
        "seeds": len(seeds),
        "first": arguments.first,
        "violations": len(failed),
        "failed_seeds": [outcome.seed for outcome in failed],
        "messages": messages,
        "children": children,
        "faults": dict(sorted(faults.items())),
        "digest": digest.hexdigest(),
        "seconds": round(seconds, 1),
        "seeds_per_second": round(len(seeds) / seconds, 1),
        "jobs": arguments.jobs,
    }
    if arguments.json:
        print(json.dumps(figures))
    else:
        print(*(f"{key}: {value}" for key, value in figures.items()), sep="\n")
        for outcome in failed[:TOLD_MAX]:
            print(f"\nseed {outcome.seed}, as short as it gets:")
            print(*narrate(shrink(draw(outcome.seed))), sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
