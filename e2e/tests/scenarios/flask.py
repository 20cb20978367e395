"""Asks an application with Flask-Limiter, and prints what each answer says of its limits as a line of JSON.

Arguments: strategy, the limits of "/", then the paths to ask for one after the other.
"""

import json
import sys
import time

from flask import Flask
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

strategy, rates, paths = sys.argv[1], sys.argv[2], sys.argv[3:]
if strategy == "sliding-window-counter":
    # Its windows begin where the service's do: at multiples of their length since the host's start.
    time.time = lambda: 1_700_000_000 // 7200 * 7200 + time.monotonic()
app = Flask(__name__)
limiter = Limiter(
    get_remote_address,
    app=app,
    application_limits=["12 per hour"],
    default_limits=["2/hour"],
    headers_enabled=True,
    strategy=strategy,
    storage_uri="memory://",
)


@app.route("/")
@limiter.limit(rates)
def root():
    return "hello"


@app.route("/slow")
@limiter.limit("4 per 2 hour")
def slow():
    return "hello"


@app.route("/few")
def few():
    return "hello"


client = app.test_client()
for path in paths:
    answer = client.get(path)
    names = [(name.lower(), value) for name, value in answer.headers]
    told = [(name, value) for name, value in names if "ratelimit" in name or name == "retry-after"]
    print(json.dumps([answer.status_code, told, time.time(), answer.text]))
