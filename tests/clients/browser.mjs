// People in a real browser, at the pages of the OAuth service and of the sandbox tenant.
// Usage: browser.mjs CHROMIUM ISSUER RESOURCE DATA_DIR, in the directory where the packages are installed. Prints each
// scenario that went as promised; ends at the first that did not. With SCREENSHOTS=DIR `pages` leaves pictures there.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { DatabaseSync } from "node:sqlite";

const { launch } = createRequire(`${process.cwd()}/`)("puppeteer-core");
const [executablePath, issuer, resource, data] = process.argv.slice(2);

/** The client: it listens where the browser is sent back to, and redeems codes. */
class Client {
  async start() {
    this.server = createServer((request, response) => response.end("back at the client"));
    await new Promise((ready) => this.server.listen(0, "127.0.0.1", ready));
    this.callback = `http://127.0.0.1:${this.server.address().port}/callback`;
    this.metadata = await (await fetch(`${issuer}/.well-known/oauth-authorization-server`)).json();
    const answer = await fetch(this.metadata.registration_endpoint, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({
        client_name: "Notebook <b>assistant</b>",
        redirect_uris: [this.callback],
        token_endpoint_auth_method: "none",
      }),
    });
    assert.equal(answer.status, 201);
    this.id = (await answer.json()).client_id;
    return this;
  }

  authorize() {
    this.verifier = randomBytes(32).toString("base64url");
    this.state = randomBytes(16).toString("base64url");
    const address = new URL(this.metadata.authorization_endpoint);
    address.search = new URLSearchParams({
      client_id: this.id,
      response_type: "code",
      redirect_uri: this.callback,
      code_challenge: createHash("sha256").update(this.verifier).digest("base64url"),
      code_challenge_method: "S256",
      state: this.state,
      scope: "mail.read mail.send",
      resource,
    });
    return address.href;
  }

  /** The parameters of the way back, once the browser is there. */
  arrived(page) {
    const address = new URL(page.url());
    assert.equal(address.origin + address.pathname, this.callback, "the browser is somewhere else");
    const came = Object.fromEntries(address.searchParams);
    assert.deepEqual([came.state, came.iss], [this.state, issuer]);
    return came;
  }

  async redeem(code) {
    const answer = await fetch(this.metadata.token_endpoint, {
      method: "POST",
      body: new URLSearchParams({
        grant_type: "authorization_code",
        client_id: this.id,
        redirect_uri: this.callback,
        code_verifier: this.verifier,
        code,
        resource,
      }),
    });
    return { status: answer.status, ...(await answer.json()) };
  }
}

/** Who is behind an access token, as a service hears it. */
async function introspect(token) {
  const secret = readFileSync(`${data}/svc-mail.secret`, "utf8").trim();
  const answer = await fetch(`http://127.0.0.1:${process.env.OAUTH_PRIVATE_PORT}/introspect`, {
    method: "POST",
    headers: { Authorization: `Basic ${Buffer.from(`svc-mail:${secret}`).toString("base64")}` },
    body: new URLSearchParams({ token }),
  });
  return answer.json();
}

const press = (page, selector) => Promise.all([page.waitForNavigation(), page.click(selector)]);
const allow = (page) => press(page, 'button[value="allow"]');
const deny = (page) => press(page, 'button[value="deny"]');
const account = async (page, name) => {
  const buttons = await page.$$('button[name="user"]');
  for (const button of buttons) {
    if ((await button.evaluate((found) => found.textContent)).includes(name)) {
      return Promise.all([page.waitForNavigation(), button.click()]);
    }
  }
  throw new Error(`nobody is called ${name} at ${page.url()}`);
};
const text = (page) => page.$eval("main", (main) => main.innerText);

/** A page whose every complaint, above all of its content security policy, fails the scenario. */
async function open(browser, language = "en-GB,en") {
  const page = await (await browser.createBrowserContext()).newPage();
  await page.setExtraHTTPHeaders({ "Accept-Language": language });
  // A machine that builds and tests at once is slow.
  page.setDefaultTimeout(60_000);
  page.complaints = [];
  page.on("console", (message) => {
    // The status of a refusal is told on the console, too; a missing icon is of no interest.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) {
      page.complaints.push(message.text());
    }
  });
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  return page;
}

const scenarios = {
  async agrees(browser, client) {
    const page = await open(browser);
    await page.goto(client.authorize());
    const shown = await text(page);
    assert.match(shown, /Notebook <b>assistant<\/b>/, "the name of a client is text");
    assert.match(shown, /127\.0\.0\.1/);
    await page.click('input[value="mail.send"]');
    await allow(page);
    assert.match(await text(page), /Pick an account/);
    await account(page, "이준호");
    const tokens = await client.redeem(client.arrived(page).code);
    assert.deepEqual([tokens.status, tokens.token_type, tokens.scope.includes("mail.send")], [200, "Bearer", false]);
    const told = await introspect(tokens.access_token);
    assert.deepEqual([told.active, told.username, told.client_id], [true, "junho@sandbox.example", client.id]);
    return [page];
  },

  async denies(browser, client) {
    const page = await open(browser);
    await page.goto(client.authorize());
    await deny(page);
    assert.equal(client.arrived(page).error, "access_denied");
    await page.goto(client.authorize());
    await allow(page);
    await account(page, "Cancel");
    const came = client.arrived(page);
    assert.deepEqual([came.error, came.code], ["access_denied", undefined]);
    return [page];
  },

  async comes_late(browser, client) {
    const page = await open(browser);
    await page.goto(client.authorize());
    const database = new DatabaseSync(`${data}/oauth.db`);
    database.exec("PRAGMA busy_timeout = 10000; UPDATE questions SET expires_at = 1");
    database.close();
    await allow(page);
    assert.ok(page.url().startsWith(issuer), "nobody is sent anywhere");
    assert.match(await text(page), /start again/i);
    // The same question answered twice.
    await page.goto(client.authorize());
    const question = await page.$eval('input[name="tx"]', (input) => input.value);
    await allow(page);
    await account(page, "김민지");
    client.arrived(page);
    await page.goto(client.authorize());
    await page.$eval('input[name="tx"]', (input, old) => (input.value = old), question);
    await allow(page);
    assert.match(await text(page), /start again/i);
    return [page];
  },

  async is_second(browser, client) {
    const [first, second] = [await open(browser), await open(browser)];
    await first.goto(client.authorize());
    await allow(first);
    await account(first, "김민지");
    const minji = await client.redeem(client.arrived(first).code);
    await second.goto(client.authorize());
    await allow(second);
    await account(second, "Anna");
    const anna = await client.redeem(client.arrived(second).code);
    const names = [(await introspect(minji.access_token)).username, (await introspect(anna.access_token)).username];
    assert.deepEqual(names, ["minji@sandbox.example", "anna@sandbox.example"]);
    return [first, second];
  },

  async pages(browser, client) {
    const pages = [];
    for (const language of ["en", "ko"]) {
      for (const [size, width, height] of [["desktop", 1280, 800], ["phone", 360, 740]]) {
        const page = await open(browser, language);
        pages.push(page);
        await page.setViewport({ width, height });
        const look = async (name) => {
          const fits = await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth);
          assert.ok(fits, `${name} is wider than a ${size}`);
          if (process.env.SCREENSHOTS) {
            await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}-${language}-${size}.png`, fullPage: true });
          }
        };
        await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "dark" }]);
        await page.goto(client.authorize());
        await look("consent-dark");
        await page.emulateMediaFeatures([]);
        assert.equal(await page.$eval("html", (html) => html.lang), language);
        await look("consent");
        await allow(page);
        await look("accounts");
        await page.goto(`${issuer}/azure_callback?code=x&state=unknown`);
        assert.equal(await page.$eval("html", (html) => html.lang), language);
        await look("stale");
        await page.goto(`${issuer}/authorize?client_id=unknown&redirect_uri=https://evil.example/`);
        await look("unknown-client");
      }
    }
    return pages;
  },
};

const browser = await launch({
  executablePath,
  // Chromium refuses its sandbox to root.
  args: ["--disable-gpu", "--disable-dev-shm-usage", ...(process.getuid() === 0 ? ["--no-sandbox"] : [])],
  userDataDir: `${process.env.HOME}/chromium`,
  timeout: 60_000,
});
try {
  const client = await new Client().start();
  for (const [name, scenario] of Object.entries(scenarios)) {
    for (const page of await scenario(browser, client)) {
      assert.deepEqual(page.complaints, [], name);
      await page.browserContext().close();
    }
    console.log(name);
  }
  client.server.close();
  client.server.closeAllConnections();
} finally {
  await browser.close();
}
