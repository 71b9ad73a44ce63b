"""A WSGI service on gunicorn."""
import time


def application(environ, start_response):
    slow = environ["PATH_INFO"] == "/slow/200"
    if slow:
        time.sleep(0.2)
    body = b"done" if slow else b"ok"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
