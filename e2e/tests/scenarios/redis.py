"""Hits a limit of Flask-Limiter's kind, by the package limits, in the Redis of a URL.

Arguments: URL, strategy, limit, key, scope, how many hits. Prints how many were admitted, and what is left.
"""

import sys

from limits import parse
from limits.storage import storage_from_string
from limits.strategies import STRATEGIES

url, strategy, limit, key, scope, hits = sys.argv[1:]
limiter, item = STRATEGIES[strategy](storage_from_string(url)), parse(limit)
admitted = sum(limiter.hit(item, key, scope) for _ in range(int(hits)))
print(admitted, limiter.get_window_stats(item, key, scope).remaining)
