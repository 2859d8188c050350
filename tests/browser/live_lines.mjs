// How long lines take from the step that writes them to a browser's page, and beside it from a bare container to whoever reads its output.
//
//   node live_lines.mjs NODE_MODULES CHROMIUM SERVER TOKEN JOB_PAGE IMAGE
//
// Each line says when it was written, by the clock of this machine. Prints one line of JSON.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import path from "node:path";

const [modules, executablePath, server, token, jobPage, image] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(modules), "x.js"));
const { chromium } = require("playwright-core");

const LINES = 200;
const LIMIT_MS = 120_000;

function summed(delays) {
  const sorted = delays.toSorted((a, b) => a - b);
  const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
  return { lines: sorted.length, p50_ms: at(0.5), p99_ms: at(0.99), max_ms: sorted.at(-1) };
}

async function onThePage() {
  const browser = await chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"],
  });
  const page = await browser.newPage();
  page.setDefaultTimeout(LIMIT_MS);
  await page.goto(server);
  await page.fill("#token", token);
  await page.press("#token", "Enter");
  await page.waitForFunction(() => document.querySelector("h1")?.textContent === "Runs");
  await page.goto(new URL(jobPage, server).href);
  await page.waitForFunction(() => /written \d{13}/.test(document.querySelector("main").textContent));
  const delays = await page.evaluate((lines) => new Promise((done) => {
    const seen = [];
    new MutationObserver((changes) => {
      const now = Date.now();
      for (const node of changes.flatMap((change) => [...change.addedNodes])) {
        for (const [, at] of (node.textContent ?? "").matchAll(/written (\d{13})/g)) seen.push(now - Number(at));
      }
      if (seen.length >= lines) done(seen.slice(0, lines));
    }).observe(document.querySelector("main"), { childList: true, subtree: true });
  }), LINES);
  await browser.close();
  return delays;
}

async function ofABareContainer() {
  const script = `for n in $(seq ${LINES}); do echo "written $(date +%s%3N)"; sleep 0.1; done`;
  const container = spawn("docker", ["run", "--rm", image, "bash", "-c", script], { stdio: ["ignore", "pipe", "inherit"] });
  const delays = [];
  for await (const line of createInterface({ input: container.stdout })) delays.push(Date.now() - Number(line.split(" ")[1]));
  return delays;
}

const limit = setTimeout(() => { console.error(`nothing came in ${LIMIT_MS} ms`); process.exit(1); }, LIMIT_MS);
// Both at once, so that both meet the same machine.
const [page, container] = (await Promise.all([onThePage(), ofABareContainer()])).map(summed);
clearTimeout(limit);
console.log(JSON.stringify({ page, container }));
