import os

PORT = os.environ.get("PORT", "8000")
bind = f"0.0.0.0:{PORT}"
workers = int(os.environ.get("WEB_CONCURRENCY", 2))
timeout = 120  # slow reports
if os.environ.get("DEBUG"):
    reload = True
raw_env = [
    "DJANGO_SETTINGS_MODULE=shop.settings",
]
