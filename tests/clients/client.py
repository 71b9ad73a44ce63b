"""The Python SDK, generation 1 or 2, as a client: discovery, registration, login, a tool, refresh, revocation.

Usage: client.py MCP_URL. Prints what happened as JSON.
"""

import asyncio
import json
import sys

import mcp
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata

from visit import Person, parameters

CALLBACK = "http://127.0.0.1:41999/callback"


class Storage:
    tokens = client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


class Login:
    """Both generations call the same two functions; the second one wants the answer as an object."""

    def __init__(self):
        self.count, self.answer = 0, None

    async def begin(self, url):
        self.count += 1
        self.answer = parameters(await asyncio.to_thread(Person().visit, url, CALLBACK))

    async def end(self):
        try:
            from mcp.shared.auth import AuthorizationCodeResult
        except ImportError:
            return self.answer["code"], self.answer["state"]
        return AuthorizationCodeResult(**self.answer)


def http_client(auth=None):
    try:
        import httpx2 as httpx
    except ImportError:
        import httpx
    return httpx.AsyncClient(auth=auth, timeout=60)


async def whoami(url, provider):
    """A session of its own, to the end."""
    async with http_client(provider) as http, streamable_http_client(url, http_client=http) as streams:
        async with mcp.ClientSession(streams[0], streams[1]) as session:
            version = await session.initialize()
            version = getattr(version, "protocolVersion", None) or version.protocol_version
            answer = await session.call_tool("whoami", {})
            return version, answer.content[0].text


async def newest(url, provider):
    """Generation 2 speaks the stateless protocol when the server does."""
    from mcp import Client

    async with http_client(provider) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            answer = await client.call_tool("whoami", {})
            return client.protocol_version, answer.content[0].text


async def main(url):
    storage, login = Storage(), Login()
    provider = OAuthClientProvider(
        server_url=url,
        client_metadata=OAuthClientMetadata(
            client_name="Python client",
            redirect_uris=[CALLBACK],
            grant_types=["authorization_code", "refresh_token"],
            response_types=["code"],
        ),
        storage=storage,
        redirect_handler=login.begin,
        callback_handler=login.end,
    )
    speak = newest if hasattr(mcp, "Client") else whoami
    protocol, person = await speak(url, provider)
    first = storage.tokens

    # As if the access token had expired: the SDK refreshes before it asks.
    provider.context.token_expiry_time = 1
    _, still = await speak(url, provider)
    second = storage.tokens

    metadata = provider.context.oauth_metadata
    async with http_client() as http:
        credentials = {"client_id": storage.client.client_id}
        if storage.client.client_secret:
            credentials["client_secret"] = storage.client.client_secret
        revoked = await http.post(
            str(metadata.revocation_endpoint), data={"token": second.refresh_token, **credentials}
        )
        after = await http.post(url, json={}, headers={"Authorization": f"Bearer {second.access_token}"})
        spent = await http.post(
            str(metadata.token_endpoint),
            data={"grant_type": "refresh_token", "refresh_token": second.refresh_token, **credentials},
        )
    print(
        json.dumps(
            {
                "protocol": protocol,
                "person": person,
                "still": still,
                "logins": login.count,
                "refreshed": first.access_token != second.access_token and first.refresh_token != second.refresh_token,
                "revoked": revoked.status_code,
                "after": after.status_code,
                "spent": spent.json().get("error"),
            }
        )
    )


asyncio.run(main(sys.argv[1]))
