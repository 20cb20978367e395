"""What the package limits says to histories of hits, on a clock that stands still between them.

A line of standard input is a history: "strategy amount seconds" and "milliseconds:cost" for each hit. A line "." ends
a batch, which is then answered, line by line: for each hit admitted, remaining and milliseconds until the reset,
"1:4:250"; "1" alone for what limits itself says otherwise in its decision than in its statistics.
"""

import gc
import sys
import threading
import time


class Never:
    """A timer that never comes: it would read the clock from another thread."""

    def __init__(self, *_):
        pass

    def start(self):
        pass

    def is_alive(self):
        return True


now = 0.0
time.time = lambda: now
threading.Timer = Never

from limits import RateLimitItemPerSecond  # noqa: E402
from limits.storage import MemoryStorage  # noqa: E402
from limits.strategies import STRATEGIES  # noqa: E402


def answer(line):
    global now
    strategy, amount, seconds, *hits = line.split()
    window = int(seconds)
    item, storage = RateLimitItemPerSecond(int(amount), window), MemoryStorage()
    limiter, key = STRATEGIES[strategy](storage), item.key_for("a")
    # A denied hit of a fixed window would be counted: it is asked first.
    asks, moves, slides = strategy == "fixed-window", strategy == "moving-window", strategy[0] == "s"
    came, out = set(), []
    for hit in hits:
        at, _, cost = hit.partition(":")
        now, cost = int(at) / 1000, int(cost)
        admitted = (not asks or limiter.test(item, "a", cost=cost)) and limiter.hit(item, "a", cost=cost)
        if admitted:
            came.add(now)
        # A hit came exactly a window ago, or a window begins right now.
        if moves and now - window in came or slides and now % window == 0:
            out.append(f"{int(admitted)}")
            continue
        stats = limiter.get_window_stats(item, "a")
        left = max(stats.reset_time - now, 0.0)
        if moves and stats.remaining == item.amount:
            # A window from now on, though nothing is used.
            left = 0.0
        if slides and left:
            # A remainder of numbers that are not exact may be the whole instead of nothing.
            before = storage.get_sliding_window(key, window)[0]
            if before and abs(left - window / before) < 1e-6:
                left = 0.0
        out.append(f"{int(admitted)}:{stats.remaining}:{left * 1000:.6f}")
    return " ".join(out)


gc.disable()
batch = []
for line in sys.stdin:
    if line != ".\n":
        batch.append(line)
        continue
    sys.stdout.write("".join(answer(line) + "\n" for line in batch))
    sys.stdout.flush()
    batch.clear()
    gc.collect()
