bind = "127.0.0.1:8000"
workers = 4
worker_class = "gthread"
threads = 8
timeout = 60
graceful_timeout = 20
keepalive = 5
max_requests = 10000
max_requests_jitter = 500
accesslog = "access.log"
loglevel = "info"
proc_name = "shop"
forwarded_allow_ips = "127.0.0.1"


def when_ready(server):
    server.log.info("ready")
