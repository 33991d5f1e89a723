// Keeps the live console open in headless Chromium, and takes a picture whenever it is told to.
//
// usage: node shoot.mjs CHROMIUM URL
//
// Each line of its input is an object: `path` is the file of a picture, `part` what to take it of, where that is not the whole
// screen, `panels` the arguments of `draw` where it is to show panels in place of the console. "taken" answers it. The page stays
// open all the while, as on somebody's second screen: when its worker dies, it shows what such a screen shows.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";
import { draw } from "./panels.mjs";

const [browserPath, url] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage({ viewport: { width: 1200, height: 900 }, colorScheme: "light" });
page.setDefaultTimeout(120_000); // a machine that does much else is slow
await page.goto(url);
await page.waitForSelector("#badge[data-state=live]");
for await (const line of createInterface({ input: process.stdin })) {
  const { path, part, panels } = JSON.parse(line);
  if (panels) {
    const drawn = await browser.newPage({ viewport: { width: 1208, height: 300 } });
    await drawn.setContent(await draw(...panels));
    await drawn.locator("body").screenshot({ path });
    await drawn.close();
  } else {
    await (part ? page.locator(part).first() : page).screenshot({ path });
  }
  console.log("taken");
}
await browser.close();
