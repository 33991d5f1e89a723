// Drives the live console in headless Chromium against a live demo, and looks at what a person would look at.
//
// usage: node drive.mjs WEIR CHROMIUM FOLDER
//
// WEIR is the program, CHROMIUM the browser; pictures go to FOLDER. Prints what was seen; exits 1 at the first thing that is not so.
// Between browser and worker stands a relay that can be cut, wholly or for the stream alone.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [weir, browserPath, folder] = process.argv.slice(2);
assert(weir && browserPath && folder, "usage: node drive.mjs WEIR CHROMIUM FOLDER");
mkdirSync(folder, { recursive: true });
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WITHIN = 60_000; // a machine that does much else is slow

function step(what) {
  console.log(`ok  ${what}`);
}

// The demo, and where its console listens.
async function startDemo() {
  const demo = spawn(weir, ["demo", "--for", "20m", "--rate", "300", "--admin", "127.0.0.1:0", "--console", "127.0.0.1:0"]);
  let text = "";
  const port = await new Promise((resolve, reject) => {
    demo.stdout.on("data", (bytes) => {
      text = (text + bytes).slice(-10_000);
      const found = /Console: http:\/\/127\.0\.0\.1:(\d+)\//.exec(text);
      if (found) resolve(Number(found[1]));
    });
    demo.on("exit", () => reject(new Error(`the demo ended: ${text}`)));
  });
  return { demo, port };
}

// Carries bytes between browser and worker. `way` is "open", "streamless" (requests for the stream are cut) or "cut".
class Relay {
  constructor(port) {
    this.way = "open";
    this.sockets = new Set();
    this.server = net.createServer((near) => {
      if (this.way === "cut") return near.destroy();
      const far = net.connect(port, "127.0.0.1");
      for (const socket of [near, far]) {
        this.sockets.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => { near.destroy(); far.destroy(); this.sockets.delete(socket); });
      }
      near.on("data", (bytes) => {
        if (this.way === "streamless" && bytes.includes("GET /stream")) return near.destroy();
        far.write(bytes);
      });
      far.pipe(near);
    });
  }

  async listen() {
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return this.server.address().port;
  }

  turn(way) {
    this.way = way;
    for (const socket of this.sockets) socket.destroy();
  }
}

const { demo, port } = await startDemo();
const relay = new Relay(port);
const address = `http://127.0.0.1:${await relay.listen()}/`;
const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox", "--disable-gpu"] });
let trouble = [];

async function openPage(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(WITHIN);
  page.on("console", (message) => { if (message.type() === "error") trouble.push(`console: ${message.text()}`); });
  page.on("pageerror", (error) => trouble.push(`page: ${error}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(address) && !request.url().startsWith("blob:")) trouble.push(`another origin: ${request.url()}`);
  });
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  await page.goto(address);
  await page.waitForSelector("#badge[data-state=live]");
  return page;
}

const text = (page, selector) => page.textContent(selector);

async function looksRight(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations.filter((violation) => ["serious", "critical"].includes(violation.impact));
  assert.deepEqual(serious.map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.target).join(", ")}`), [], name);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert(wide <= 0, `${name}: ${wide} pixels stand out at the side`);
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
  const lesser = violations.filter((violation) => !serious.includes(violation)).map((violation) => violation.id);
  step(`${name}: a picture, no serious fault by axe${lesser.length ? ` (lesser: ${lesser})` : ""}, nothing beyond the edge`);
}

async function nothingAmiss(page) {
  assert.deepEqual(trouble, []);
  assert.deepEqual(await page.evaluate(() => window.violations), []);
}

try {
  const page = await openPage({ viewport: { width: 1280, height: 900 }, colorScheme: "light" });
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  step("by keyboard: to the figures at once");
  await page.waitForFunction(() => /^Confirming [\d,]+ orders\/s/.test(document.getElementById("verdict-sentence").textContent));
  await page.waitForFunction(() => document.getElementById("rate-said").textContent.includes("confirmed"));
  const before = await text(page, "#rate-said");
  await page.waitForFunction((before) => document.getElementById("rate-said").textContent !== before, before);
  const tiles = await page.$$eval("#tiles li", (items) => items.map((item) => item.textContent));
  assert.equal(tiles.length, 6);
  step(`figures move; the verdict: ${await text(page, "#verdict-sentence")}`);

  // Half a minute of figures, for the pictures.
  await page.click("#rate-table summary");
  await page.waitForFunction(() => document.querySelectorAll("#rate-table tbody tr").length >= 1);
  await page.waitForFunction(() => document.querySelectorAll("#slowest tbody tr").length === 10);
  await page.click("#rate-table summary");

  const order = await text(page, "#slowest tbody tr a");
  await page.fill("#order-id", order);
  await page.press("#order-id", "Enter");
  await page.waitForFunction((order) => document.querySelector("#found dd")?.textContent === order, order);
  const found = await page.$$eval("#found dd", (cells) => cells.map((cell) => cell.textContent));
  assert(["confirmed", "paid", "shipped", "delivered", "returned", "cancelled", "waiting", "refused", "expired"].includes(found[1].split(",")[0]), found);
  // The demo's outcomes are gone once they are shown, and the page says so.
  assert.match(await text(page, "#found"), /History.*(no longer kept|confirmed)/);
  await page.locator("#order").screenshot({ path: join(folder, "order.png") });
  assert(page.url().endsWith(`#order=${order}`), page.url());
  await nothingAmiss(page);
  // The browser itself counts a 404 as an error of the console.
  await page.fill("#order-id", "nobody's <b>order</b>");
  await page.press("#order-id", "Enter");
  await page.waitForFunction(() => document.getElementById("found").textContent.includes("Nothing is known of nobody's <b>order</b>"));
  assert(trouble.every((line) => line.includes("404")), trouble);
  trouble = [];
  step(`the look-up finds an order: ${found.slice(0, 2).join(", ")}; and says of another that nobody knows it`);

  await page.click("#pause");
  const held = await text(page, "#rate-said");
  const age = await text(page, "#age");
  await page.waitForFunction((age) => document.getElementById("age").textContent !== age || age.includes("paused"), age);
  assert.equal(await text(page, "#rate-said"), held);
  await page.click("#pause");
  await page.waitForFunction((held) => document.getElementById("rate-said").textContent !== held, held);
  step("a pause holds the figures");
  await nothingAmiss(page);

  relay.turn("cut");
  await page.waitForSelector("#badge[data-state=stale]");
  assert(await page.evaluate(() => document.body.classList.contains("stale")));
  assert.match(await text(page, "#verdict-sentence"), /orders\/s/);
  await page.screenshot({ path: join(folder, "stale.png") });
  relay.turn("streamless");
  await page.waitForSelector("#badge[data-state=polling]");
  relay.turn("open");
  await page.waitForSelector("#badge[data-state=live]");
  const gaps = await page.evaluate(async () => {
    const whole = await (await fetch("/snapshot")).json();
    return whole.now.points.filter((point, place, all) => place && point.at > all[place - 1].at + 5).length;
  });
  assert.equal(gaps, 0, "the worker kept every second meanwhile");
  assert(trouble.every((line) => /ERR_|Failed to load/.test(line)), trouble);
  trouble = [];
  step("the stream is cut: stale, polling, and live again");

  await looksRight(page, "light");
  await page.emulateMedia({ colorScheme: "dark" });
  await looksRight(page, "dark");
  await nothingAmiss(page);
  for (const colorScheme of ["light", "dark"]) {
    const phone = await openPage({ viewport: { width: 390, height: 844 }, colorScheme, isMobile: true, hasTouch: true, deviceScaleFactor: 2 });
    await phone.waitForFunction(() => document.querySelectorAll("#slowest tbody tr").length > 0);
    await looksRight(phone, `phone-${colorScheme}`);
    await nothingAmiss(phone);
    await phone.context().close();
  }
  step("no error in the console, nothing refused by the security policy, nothing from another origin");

  const told = performance.now();
  const ended = new Promise((resolve) => demo.on("exit", resolve));
  demo.kill("SIGTERM");
  assert.equal(await ended, 0);
  step(`an open page does not hold up the end: ${Math.round(performance.now() - told)} ms`);
  await page.waitForSelector("#badge[data-state=stale]");
} finally {
  await browser.close();
  relay.turn("cut");
  relay.server.close();
  if (demo.exitCode === null) demo.kill("SIGKILL");
}
