// A browser that does what a test says: one JSON object a line on its input, one answer a line on its output.
//
//   node drive.mjs NODE_MODULES CHROMIUM
//
// What goes wrong in the pages by themselves (errors on the console, which violations of the content security policy are
// too, failed requests, requests to other hosts) is gathered until the test asks for it.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import path from "node:path";

const [modules, executablePath] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(modules), "x.js"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

// How long anything may take: a limit against hanging, not an expectation of speed.
const LIMIT_MS = 60_000;
const LOOK_EVERY_MS = 50;
// Chromium breaks off what it loads, also over loopback, when an interface of the machine comes or goes; jobs in containers, of this test and
// of others beside it, make and remove such all the time. A page's own script gets over that; a page without its files does not.
const INTERFACES_CHANGED = "net::ERR_NETWORK_CHANGED";
const OPEN_TRIES = 5;

const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
context.setDefaultTimeout(LIMIT_MS);
const page = await context.newPage();
let troubles = [];
let expected = false;
const trouble = (text) => { if (!expected && !text.includes(INTERFACES_CHANGED)) troubles.push(text); };
let broken = false;
page.on("console", (message) => { if (message.type() === "error") trouble(`console: ${message.text()}`); });
page.on("pageerror", (error) => trouble(`error: ${error.message}`));
page.on("dialog", async (dialog) => { trouble(`dialog: ${dialog.message()}`); await dialog.dismiss(); });
page.on("requestfailed", (request) => {
  broken ||= ["document", "stylesheet", "script"].includes(request.resourceType())
    && request.failure()?.errorText === INTERFACES_CHANGED;
});
page.on("request", (request) => {
  const url = new URL(request.url());
  if (url.protocol !== "data:" && url.host !== new URL(home).host) trouble(`request to another host: ${url}`);
});
let home = "http://127.0.0.1";

const commands = {
  // Opens an address; the first one says which host is ours.
  open: async ({ url }) => {
    if (url.startsWith("http")) home = url;
    for (let left = OPEN_TRIES; ; left -= 1) {
      broken = false;
      const answer = await page.goto(new URL(url, home).href).catch((error) => { if (!broken) throw error; });
      if (!broken || left <= 1) return { status: answer?.status() ?? 0, url: page.url() };
    }
  },
  look: async ({ scheme, width }) => {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize({ width, height: 900 });
  },
  fill: async ({ selector, text }) => page.fill(selector, text),
  click: async ({ selector }) => page.click(selector),
  press: async ({ keys }) => { for (const key of keys) await page.keyboard.press(key); },
  // Waits until an expression holds in the page. Looked at from outside: the page itself evaluates no text.
  wait: async ({ expression }) => {
    const end = Date.now() + LIMIT_MS;
    while (!(await page.evaluate(expression).catch(() => false))) {
      if (Date.now() > end) throw new Error(`waited ${LIMIT_MS} ms in vain`);
      await new Promise((done) => { setTimeout(done, LOOK_EVERY_MS); });
    }
  },
  ask: async ({ expression }) => page.evaluate(expression),
  axe: async () => {
    await page.evaluate(axe);
    const found = await page.evaluate(() => globalThis.axe.run());
    return found.violations.map((violation) => ({
      id: violation.id,
      nodes: violation.nodes.slice(0, 3).map((node) => `${node.html} ${node.failureSummary}`),
    }));
  },
  // While the coordinator is away requests fail, and that is no trouble.
  expect: async ({ failures }) => { expected = failures; },
  troubles: async () => { const found = troubles; troubles = []; return found; },
  screenshot: async ({ path, full }) => { await page.screenshot({ path, fullPage: full ?? false }); },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...given } = JSON.parse(line);
  let answer;
  try {
    answer = { done: (await commands[command](given)) ?? null };
  } catch (error) {
    answer = { failed: String(error.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
