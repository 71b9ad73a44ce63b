"""gunicorn takes LISTEN_FDS and tells NOTIFY_SOCKET by itself."""
import os

# Workers without keep-alive: each answer is the last of its connection, so a drain has nothing to lose.
# Put a proxy in front that keeps connections to clients.
worker_class = "sync"
workers = 2
# The application is imported before READY=1 is told: one that cannot be imported never takes over.
preload_app = True
# TERM lets requests finish, for so long.
graceful_timeout = max(1, int(os.environ.get("SUPERVISOR_DRAIN_TIMEOUT_MS", 10_000)) // 1000 - 1)
