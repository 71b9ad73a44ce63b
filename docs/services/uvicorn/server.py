"""An ASGI service on uvicorn that is restarted without losing a request."""
import asyncio
import os
import signal
import socket

import uvicorn


async def app(scope, receive, send):
    """Your application."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] == "/slow/200":
        await asyncio.sleep(0.2)
    body = b"done" if scope["path"] == "/slow/200" else b"ok"
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def tell(message):
    """Tells the supervisor, as sd_notify does."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)


def seconds(name):
    return int(os.environ.get(name, 10_000)) / 1000


class Server(uvicorn.Server):
    """uvicorn closes idle connections at once, and with them requests that are on the wire. This one waits."""

    draining = False

    async def startup(self, sockets=None):
        await super().startup(sockets=sockets)
        loop = asyncio.get_running_loop()
        drain = seconds("SUPERVISOR_DRAIN_TIMEOUT_MS") - 1
        loop.add_signal_handler(signal.SIGUSR2, self.drain, min(5, drain / 2), drain)  # a successor serves
        loop.add_signal_handler(signal.SIGTERM, self.drain, 0.25, seconds("SUPERVISOR_STOP_TIMEOUT_MS") - 1)
        tell("READY=1")

    def drain(self, keep_idle_for, whole_time):
        self.draining = True
        loop = asyncio.get_running_loop()
        for server in self.servers:
            # asyncio drops what it has accepted but not begun when its server is closed: nothing more comes in first.
            for listener in server.sockets:
                loop.remove_reader(listener)
            loop.call_later(0.1, server.close)
        loop.call_later(keep_idle_for, setattr, self, "should_exit", True)
        loop.call_later(whole_time, setattr, self, "force_exit", True)


async def last_answers(scope, receive, send):
    """Once we drain, every answer is the last of its connection."""

    async def goodbye(message):
        if message["type"] == "http.response.start" and server.draining:
            message = {**message, "headers": [*message.get("headers", []), (b"connection", b"close")]}
        await send(message)

    await app(scope, receive, goodbye)


config = uvicorn.Config(last_answers, host="127.0.0.1", port=int(os.environ.get("PORT", 8007)), timeout_keep_alive=75)
server = Server(config)
names = os.environ.get("LISTEN_FDNAMES", "").split(":")
server.run(sockets=[socket.socket(fileno=3 + names.index("http"))] if "http" in names else None)
