// Writes the pages of told stories from what their test left.
//
// usage: node write.mjs LEFT DOCS STORY...
//
// LEFT has a STORY.json and STORY-*.png for each; the pages and pictures go to DOCS. The sentences about a story are here; what
// happened, when, and who heard of it comes from LEFT alone.
import { copyFileSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [left, docs, ...stories] = process.argv.slice(2);
const PICTURE_BYTES_MAX = 150_000;

const SAID = {
  "flash-sale": {
    title: "A flash sale",
    opening: "Forty times the usual orders come at once, most of them for one lamp of which there are 500. Weir decides every one of them in time; the lamp \
is gone within half a minute, and who asks for it then is refused. That is business, so nobody is woken. The shop is told, with what it loses.",
  },
  "carrier-delay": {
    title: "A carrier's delay",
    opening: "swift has delivered nothing for five days, and promises are missed. No order is decided late, so nobody is woken. The model of delays \
knows from two weeks how long swift usually takes; the shop is told which of its open orders will be late, before most customers ask.",
  },
  "cancellation-surge": {
    title: "A surge of cancellations",
    opening: "Three of a hundred orders are cancelled on an ordinary day. Now half of swift's are. The test for changes finds it within a dozen \
cancellations, and the shop's list names the carrier.",
  },
  "dead-worker": {
    title: "A dead worker",
    opening: "Two workers share a shard. The leader is killed: its standby leads within seconds, and nobody is woken for it. Then the last worker is killed: \
orders are still stored, nobody decides them, and somebody is woken, once.",
  },
  "full-log": {
    title: "A full log",
    opening: "Snapshots have no room in their store, so the log cannot be trimmed, and an import fills it. A full log refuses, and drops nothing. Whoever runs \
Weir is woken once, by the log; that snapshots fail, the cause, is told beside it for the morning.",
  },
  "quiet-night": {
    title: "A quiet night",
    opening: "Three orders a minute come, as in the same hour last week. One is refused. No alert fires: neither few orders nor a single refusal is news.",
  },
};

const CAPTION = {
  before: "The console before it begins.",
  "sold-out": "The lamp is gone.",
  "taken-over": "The second worker, which has taken over.",
  end: "The console when all was told.",
  "to-do": "What the shop has to do.",
  panels: "Panels of the dashboards meanwhile, drawn from their JSON by `tests/stories/panels.mjs`, not by Grafana.",
};
const KIND = { happens: "", weir: "Weir says", fires: "an alert fires", heard: "told" };
const RECEIVER = { "platform-pager": "whoever is on call", "platform-tickets": "those who run Weir", shop: "the shop" };

const time = (seconds) => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
const cell = (text) => text.replaceAll("|", "\\|");

function page(story) {
  const told = JSON.parse(readFileSync(join(left, `${story}.json`), "utf8"));
  const { title, opening } = SAID[story];
  const lines = [`# ${title}`, "", opening, ""];
  lines.push("```sh", `weir demo --story ${story}${told.on_server ? " --nats nats://127.0.0.1:4222" : ""}`, "```", "");
  lines.push("## What happens", "", "| time | | |", "|---|---|---|");
  for (const { at, kind, text } of told.events) lines.push(`| ${time(at)} | ${KIND[kind]} | ${cell(text)} |`);
  lines.push("", "## Who hears of it", "");
  const pages = told.heard.filter(({ receiver }) => receiver === "platform-pager").length;
  if (told.after !== null) {
    const whom = told.page ? RECEIVER["platform-pager"] : RECEIVER.shop;
    lines.push(`From “${told.from}” to being told, ${whom} waits ${told.after} seconds. ${pages === 0 ? "Nobody is woken." : `Pages: ${pages}.`}`);
  } else {
    lines.push("Nobody, of anything.");
  }
  const seen = new Set();
  const list = [];
  for (const { receiver, alerts } of told.heard) {
    for (const [name, summary] of alerts) {
      if (seen.has(name)) continue;
      seen.add(name);
      list.push(`- To ${RECEIVER[receiver]}, [${name}](../../dashboards/runbooks/${name}.md): “${summary}”`);
    }
  }
  if (list.length) lines.push("", ...list);
  lines.push("", "## What is seen", "");
  for (const name of told.pictures) {
    const file = `${story}-${name}.png`;
    copyFileSync(join(left, file), join(docs, file));
    const bytes = statSync(join(docs, file)).size;
    if (bytes > PICTURE_BYTES_MAX) throw new Error(`${file} is too large: ${bytes} bytes`);
    lines.push(`${CAPTION[name]}`, "", `![${CAPTION[name]}](${file})`, "");
  }
  writeFileSync(join(docs, `${story}.md`), lines.join("\n"));
  return told;
}

for (const story of stories) {
  for (const old of readdirSync(docs)) if (old.startsWith(`${story}-`)) rmSync(join(docs, old));
  page(story);
}
// The list of all that are there, also those that were not told again.
const rows = [];
let faster = 1;
for (const story of Object.keys(SAID)) {
  let told;
  try {
    told = JSON.parse(readFileSync(join(left, `${story}.json`), "utf8"));
  } catch {
    continue;
  }
  faster = told.faster;
  const names = [...(told.page ? [told.page] : []), ...told.tickets];
  const woken = told.page ? "once" : "no";
  rows.push(`| [${SAID[story].title}](${story}.md) | \`${story}\` | ${woken} | ${names.join(", ") || "none"} | ${told.after === null ? "" : `${told.after} s`} |`);
}
if (rows.length === Object.keys(SAID).length) {
  const text = `# Stories

What somebody sees who runs a shop, or Weir. \`weir demo --story …\` plays each against the real engine: those of orders on streams in memory, after hours
or weeks of a past; those of workers with real ones on a NATS server. A test plays them before a real Prometheus and Alertmanager and asserts who hears what
(\`tests/live/stories.rs\`); \`tests/stories/gallery\` made these pages and pictures.

| story | \`--story\` | is somebody woken? | alerts that are heard | heard after |
|---|---|---|---|---|
${rows.join("\n")}

Times are of a Prometheus that looks every five seconds. Half a minute of each is Alertmanager's \`group_wait\`. What is for the platform goes by the durations of the rules; what is for the shop waits a quarter of an hour and more before it is told, and
went ${faster} times as fast here, so that a page of this gallery does not take an hour.

The machine had two cores and did much else: where a worker says that it is slow, it was. The consoles are real; no Grafana has drawn anything here (see [the dashboards](../../dashboards/README.md)).
`;
  writeFileSync(join(docs, "README.md"), text);
}
