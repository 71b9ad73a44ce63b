// The TypeScript SDK, generation 1 or 2, as a client: discovery, registration, login, a tool, refresh, revocation.
// Usage: client.mjs GENERATION MCP_URL PYTHON VISIT, in the directory where the packages are installed. Prints what happened as JSON.

import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";

const installed = createRequire(`${process.cwd()}/`);
const parts = {
  1: ["sdk/client/index.js", "sdk/client/auth.js", "sdk/client/streamableHttp.js"],
  2: ["client"],
};
const [generation, url, python, visit] = process.argv.slice(2);
const sdk = Object.assign({}, ...parts[generation].map((part) => installed(`@modelcontextprotocol/${part}`)));
const CALLBACK = "http://127.0.0.1:41998/callback";

class Provider {
  logins = 0;
  get redirectUrl() {
    return CALLBACK;
  }
  get clientMetadata() {
    return {
      client_name: "TypeScript client",
      redirect_uris: [CALLBACK],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
    };
  }
  state() {
    return (this.sent = crypto.randomUUID());
  }
  clientInformation() {
    return this.client;
  }
  saveClientInformation(client) {
    this.client = client;
  }
  tokens() {
    return this.kept;
  }
  saveTokens(tokens) {
    this.kept = tokens;
  }
  saveCodeVerifier(verifier) {
    this.verifier = verifier;
  }
  codeVerifier() {
    return this.verifier;
  }
  redirectToAuthorization(address) {
    this.logins += 1;
    const came = new URL(execFileSync(python, [visit, address.href, CALLBACK], { encoding: "utf8" }).trim());
    if (came.searchParams.get("state") !== this.sent) throw new Error("another state came back");
    // Generation 2 looks at the issuer in it, too.
    this.answer = generation === "1" ? came.searchParams.get("code") : came.searchParams;
  }
}

let protocol;
async function whoami(provider) {
  const session = async () => {
    const transport = new sdk.StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
    const client = new sdk.Client({ name: "typescript", version: "1" }, { versionNegotiation: { mode: "auto" } });
    try {
      await client.connect(transport);
    } catch (error) {
      if (!(error instanceof sdk.UnauthorizedError) || !provider.answer) throw error;
      await transport.finishAuth(provider.answer);
      provider.answer = undefined;
      return undefined;
    }
    protocol = client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion;
    const answer = await client.callTool({ name: "whoami", arguments: {} });
    await client.close();
    return answer.content[0].text;
  };
  return (await session()) ?? (await session());
}

const provider = new Provider();
const person = await whoami(provider);
const first = provider.kept;

// As if the access token had expired: the service says 401 and the SDK refreshes.
provider.kept = { ...first, access_token: "expired" };
const still = await whoami(provider);
const second = provider.kept;

const { authorizationServerMetadata: metadata } = await sdk.discoverOAuthServerInfo(url);
const credentials = { client_id: provider.client.client_id };
if (provider.client.client_secret) credentials.client_secret = provider.client.client_secret;
const post = (address, fields) => fetch(address, { method: "POST", body: new URLSearchParams({ ...fields, ...credentials }) });
const revoked = await post(metadata.revocation_endpoint, { token: second.refresh_token });
const after = await fetch(url, {
  method: "POST",
  headers: { Authorization: `Bearer ${second.access_token}`, "Content-Type": "application/json" },
  body: "{}",
});
const spent = await post(metadata.token_endpoint, { grant_type: "refresh_token", refresh_token: second.refresh_token });
console.log(
  JSON.stringify({
    protocol,
    person,
    still,
    logins: provider.logins,
    refreshed: first.access_token !== second.access_token && first.refresh_token !== second.refresh_token,
    revoked: revoked.status,
    after: after.status,
    spent: (await spent.json()).error,
  }),
);
