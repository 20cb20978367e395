bind = [
    "unix:/run/shop/shop.sock",
    "127.0.0.1:8000",  # for probes
]
workers = 3
pidfile = "/run/shop/gunicorn.pid"
accesslog = "/var/log/shop/access.log"
errorlog = "/var/log/shop/error.log"
loglevel = "warning"
statsd_host = "localhost:8125"
statsd_prefix = "shop"
proc_name = "shop"
proxy_protocol = True
user = "www-data"
group = "www-data"
umask = 0o007
