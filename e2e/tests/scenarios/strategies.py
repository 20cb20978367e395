"""What the package limits says to histories of hits, on a clock that stands still between them.

Each line of the file is "strategy amount seconds", or "milliseconds cost" for a hit of the history that was begun
last. For each hit a line is printed: admitted, remaining, milliseconds until the reset; "-" for what limits itself
says otherwise in its decision than in its statistics.
"""

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


def unclear(strategy, storage, item, key):
    """Whether a hit came exactly a window ago, or a window begins right now."""
    window = item.get_expiry()
    if strategy == "moving-window":
        return any(entry.atime == now - window for entry in storage.events.get(key, []))
    return strategy == "sliding-window-counter" and now % window == 0


def reset(strategy, storage, item, key, at):
    left = max(at - now, 0.0)
    if strategy == "moving-window" and not storage.get_moving_window(key, item.amount, item.get_expiry())[1]:
        # A window from now on, though nothing is used.
        return "0"
    if strategy == "sliding-window-counter":
        # A remainder of numbers that are not exact may be the whole instead of nothing.
        before = storage.get_sliding_window(key, item.get_expiry())[0]
        if before and abs(left - item.get_expiry() / before) < 1e-6:
            left = 0.0
    return f"{left * 1000:.6f}"


out = []
for line in open(sys.argv[1]):
    words = line.split()
    if len(words) == 3:
        strategy, item = words[0], RateLimitItemPerSecond(int(words[1]), int(words[2]))
        storage = MemoryStorage()
        limiter, key = STRATEGIES[strategy](storage), item.key_for("a")
        continue
    now, cost = int(words[0]) / 1000, int(words[1])
    # A denied hit of a fixed window would be counted: it is asked first.
    asks = strategy == "fixed-window"
    admitted = (not asks or limiter.test(item, "a", cost=cost)) and limiter.hit(item, "a", cost=cost)
    stats = limiter.get_window_stats(item, "a")
    rest = f"{stats.remaining} {reset(strategy, storage, item, key, stats.reset_time)}"
    out.append(f"{int(admitted)} {'- -' if unclear(strategy, storage, item, key) else rest}\n")
sys.stdout.writelines(out)
