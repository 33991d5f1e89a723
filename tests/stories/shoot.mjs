// Keeps the live console open in headless Chromium, and takes a picture whenever it is told to.
//
// usage: node shoot.mjs CHROMIUM URL
//
// Each line of its input is the file of a picture, and behind a tab what to take it of, where that is not the whole screen; "taken"
// answers it. The page stays open all the while, as on somebody's second
// screen: when its worker dies, it shows what such a screen shows.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [browserPath, url] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage({ viewport: { width: 1200, height: 900 }, colorScheme: "light" });
await page.goto(url);
await page.waitForSelector("#badge[data-state=live]");
for await (const line of createInterface({ input: process.stdin })) {
  const [path, part] = line.split("\t");
  await (part ? page.locator(part).first() : page).screenshot({ path });
  console.log("taken");
}
await browser.close();
