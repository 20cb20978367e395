"""Python's prometheus_client in its mode for several processes: what an addition costs, and a scrape."""

import os
import sys
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
numbers = [int(it) for it in sys.argv[1:]]
counters, gauges, histograms = zip(numbers[0:6:2], numbers[1:6:2])
processes = numbers[6]


def declare():
    for metric in range(counters[0]):
        family = Counter(f"bench_{metric}_total", "Counted.", ["route"])
        for route in range(counters[1]):
            family.labels(f"/orders/{route}").inc()
    for metric in range(gauges[0]):
        family = Gauge(f"bench_{metric}_bytes", "Measured.", ["route"], multiprocess_mode="livesum")
        for route in range(gauges[1]):
            family.labels(f"/orders/{route}").set(1.5)
    for metric in range(histograms[0]):
        family = Histogram(f"bench_{metric}_seconds", "Took.", ["route"], buckets=BOUNDS)
        for route in range(histograms[1]):
            for value in (0.003, 0.004, 0.02, 0.3):
                family.labels(f"/orders/{route}").observe(value)


def fastest(rounds, times, once):
    best = float("inf")
    for _ in range(rounds):
        before = time.process_time()
        for _ in range(times):
            once()
        best = min(best, (time.process_time() - before) / times)
    return best


for _ in range(processes):
    if os.fork() == 0:
        declare()
        os._exit(0)
while True:
    try:
        if os.wait()[1] != 0:
            sys.exit("a process failed")
    except ChildProcessError:
        break

print("| prometheus_client of Python, its mode for several processes | CPU |\n|---|--:|")
counter = Counter("alone_total", "Counted.", registry=CollectorRegistry())
histogram = Histogram("alone_seconds", "Took.", buckets=BOUNDS, registry=CollectorRegistry())
print(f"| counter, kept | {fastest(7, 20_000, counter.inc) * 1e9:.0f} ns |")
print(f"| histogram, kept | {fastest(7, 20_000, lambda: histogram.observe(0.02)) * 1e9:.0f} ns |")


def scrape():
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return generate_latest(registry)


size = len(scrape())
print(f"| a scrape of 2,000 series of {processes} processes, {size} bytes | {fastest(3, 1, scrape) * 1e3:.0f} ms |")
