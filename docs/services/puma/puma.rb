# puma takes LISTEN_FDS by itself when it is told to bind the same address.
bind "tcp://#{ENV.fetch("HOST", "127.0.0.1")}:#{ENV.fetch("PORT", "8010")}"
threads 8, 8
# A connection that was accepted is served, even if its first byte comes after the signal.
queue_requests false
