# A Rack service on puma. Without keep-alive each answer is the last of its connection, so a drain has nothing to lose;
# a proxy in front keeps connections to clients.
require "socket"

run lambda { |env|
  slow = env["PATH_INFO"] == "/slow/200"
  sleep 0.2 if slow
  body = slow ? "done" : "ok"
  [200, { "content-length" => body.bytesize.to_s, "connection" => "close" }, [body]]
}

# Tells the supervisor, as sd_notify does. The socket was inherited, so clients already wait in its queue and nobody
# is refused between this line and puma's first accept.
if (address = ENV["NOTIFY_SOCKET"])
  Addrinfo.unix(address.sub(/\A@/, "\0"), :DGRAM).connect { |notify| notify.send("READY=1", 0) }
end
