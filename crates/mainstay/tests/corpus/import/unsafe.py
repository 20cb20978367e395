forwarded_allow_ips = "*"
limit_request_fields = 32768
limit_request_line = 0
loglevel = "trace"
workers = 0
backlog = "many"
certfile = "/etc/ssl/shop.pem"
workers = 4
