"""An MCP server by the Python SDK 2 that accepts the tokens of the OAuth service: it asks its private socket about each.

Not here: tools that do anything.
"""

import os
import pathlib

import httpx2
import uvicorn
from mcp.server import MCPServer
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.settings import AuthSettings

BASE = f"http://127.0.0.1:{os.environ['PORT']}"
INTROSPECT = f"http://127.0.0.1:{os.environ['OAUTH_PRIVATE_PORT']}/introspect"
SECRET = pathlib.Path(os.environ["OAUTH_DATA_DIR"], "svc-mail.secret")


class Introspection(TokenVerifier):
    async def verify_token(self, token):
        async with httpx2.AsyncClient() as client:
            answer = await client.post(
                INTROSPECT, data={"token": token}, auth=("svc-mail", SECRET.read_text().strip()), timeout=20
            )
        answer.raise_for_status()
        told = answer.json()
        if not told["active"] or told["aud"] != BASE:
            return None
        return AccessToken(
            token=token,
            client_id=told["client_id"],
            scopes=told["scope"].split(),
            expires_at=told["exp"],
            resource=f"{BASE}/messages",
            subject=told["username"],
        )


server = MCPServer(
    "resource",
    token_verifier=Introspection(),
    auth=AuthSettings(
        issuer_url=os.environ["OAUTH_BASE_URL"],
        resource_server_url=f"{BASE}/messages",
        required_scopes=["mail.read"],
        validate_token_resource=True,
    ),
)


@server.tool()
def whoami() -> str:
    """Who is behind the token."""
    return get_access_token().subject


app = server.streamable_http_app(streamable_http_path="/messages", json_response=True)
uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
