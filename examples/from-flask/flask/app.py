import logging.config
from flask import Flask, jsonify, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from werkzeug.middleware.proxy_fix import ProxyFix

logging.config.dictConfig({
    "version": 1,
    "formatters": {"plain": {"format": "%(asctime)s - %(name)s - %(levelname)s - %(message)s"}},
    "handlers": {"file": {"class": "logging.FileHandler", "filename": "app.log", "formatter": "plain"}},
    "root": {"level": "INFO", "handlers": ["file"]},
})
log = logging.getLogger("shop")

app = Flask(__name__)
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1)
limiter = Limiter(get_remote_address, app=app, default_limits=["200 per day", "50 per hour"])


@app.get("/health")
@limiter.exempt
def health():
    return jsonify(status="ok")


@app.post("/orders")
@limiter.limit("5/minute")
def place():
    order = request.get_json()
    log.info("order placed: %s", order["item"])
    return jsonify(item=order["item"]), 201


@app.errorhandler(404)
def missing(_):
    return jsonify(error="not found"), 404
