"""A person with a browser, in 70 lines: follows redirects, keeps cookies, and presses a button on each page with a form.

Not here: looking at pages; a real browser does that.
"""

import urllib.error
import urllib.parse
import urllib.request
from html.parser import HTMLParser
from http.cookiejar import CookieJar


class Form(HTMLParser):
    """The first form of a page: where it goes, its fields, its buttons."""

    def __init__(self, page):
        super().__init__()
        self.action, self.fields, self.buttons = None, [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        name, value = given.get("name"), given.get("value") or ""
        if tag == "form" and self.action is None:
            self.action = given.get("action") or ""
        elif tag == "button" and name:
            self.buttons.append((name, value))
        elif tag == "input" and name:
            chosen = given.get("type") not in ("checkbox", "radio") or "checked" in given
            if chosen:
                self.fields.append((name, value or "on"))


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Person:
    """One browser, with its cookies. `button` is pressed wherever a page has one of that value."""

    def __init__(self, button="allow"):
        self.button = button
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()), Stay)

    def visit(self, url, callback):
        """Goes on from `url` until the client's own address comes, and gives that with its query."""
        body, came_from = None, None
        for _ in range(12):
            status, headers, page = self.ask(url, body, came_from)
            body = None
            if status in (302, 303):
                url = urllib.parse.urljoin(url, headers["Location"])
                if url.startswith(callback):
                    return url
                continue
            form = Form(page)
            if status != 200 or form.action is None:
                raise RuntimeError(f"stuck with status {status} at {url.split('?')[0]}: {page}")
            pressed = [button for button in form.buttons if button[1] == self.button]
            if not pressed:
                raise RuntimeError(f"no button `{self.button}` among {form.buttons}")
            came_from = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(url))
            url = urllib.parse.urljoin(url, form.action)
            body = urllib.parse.urlencode(form.fields + pressed[:1]).encode()
        raise RuntimeError("too many steps")

    def ask(self, url, body, origin):
        headers = {"Origin": origin} if body is not None else {}
        try:
            answer = self.opener.open(urllib.request.Request(url, body, headers), timeout=30)
        except urllib.error.HTTPError as refused:
            answer = refused
        with answer:
            return answer.status, answer.headers, answer.read().decode()


def parameters(url):
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))


if __name__ == "__main__":
    import sys

    print(Person().visit(sys.argv[1], sys.argv[2]))
