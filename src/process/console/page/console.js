// The console: takes figures from the worker and shows them. Text is only ever set as text, never as markup.
import { Charts } from "./charts.js";
import { byId, details, element, fill, marked, showOrders, showRefusals, showShards, showSlowest, showTodo, toText } from "./lists.js";

const STALE_AFTER_MS = 3000; // a worker sends twice a second
const POLL_EVERY_MS = 2000;
const OPEN_AGAIN_MS = 5000;
const POINTS_KEPT = 900;

const charts = new Charts(byId("rate"), byId("latency"));
const points = new Map();
let source = null;
let opened = false;
let paused = false;
let started = null; // which run of the worker the points are of
let heard = null; // when figures last came, by this browser's clock that never goes back
let way = "none"; // how they came: "live" or "polling"
let said = "";
let step = null;
let latest = null;
let todo = null;
let filling = false;

function keep(list) {
  let gap = false;
  const newest = points.size ? Math.max(...points.keys()) : null;
  if (newest !== null && list.length && list[0].at > newest + 1) gap = true;
  for (const point of list) points.set(point.at, point);
  if (points.size > POINTS_KEPT) {
    const old = [...points.keys()].sort((a, b) => a - b).slice(0, points.size - POINTS_KEPT);
    for (const at of old) points.delete(at);
  }
  return gap;
}

const inOrder = () => [...points.values()].sort((a, b) => a.at - b.at);

function showNow(now, how) {
  heard = performance.now();
  way = how;
  if (started !== now.started_ms) {
    started = now.started_ms;
    points.clear();
    refill();
  }
  // What was missed is asked for, once.
  if (keep(now.points ?? [])) refill();
  if (paused) return;
  latest = now;
  showVerdict(now.verdict);
  showTiles(now.tiles);
  showShards(now.shards, now.worker);
  byId("worker").textContent = `${now.worker} · ${now.version}`;
  byId("lost").textContent = now.measured === false
    ? "Orders are not measured: worker.metrics is false."
    : now.lost_batches > 0 ? `${now.lost_batches} batches went by too fast to be counted.` : "";
  document.title = `${now.verdict.state === "ok" ? "" : now.verdict.state + ": "}Weir`;
  charts.show(inOrder());
  showMinutes();
}

function showLists(lists) {
  if (paused) return;
  showSlowest(lists.slowest);
  showRefusals(lists.refusals);
  todo = lists.todo;
  showTodo(todo);
}

function showVerdict(verdict) {
  byId("verdict").dataset.state = verdict.state;
  byId("verdict-word").textContent = verdict.state;
  byId("verdict-sentence").textContent = verdict.sentence;
  if (step !== verdict.next_step) marked(byId("verdict-step"), step = verdict.next_step);
  // Told aloud only when it is another one, not at each figure.
  const now = `${verdict.state} ${verdict.condition} ${verdict.shard ?? ""}`;
  if (now !== said) {
    said = now;
    byId("said").textContent = `${verdict.state}: ${verdict.sentence} ${verdict.next_step}`;
  }
}

const TREND = {
  orders: (point) => point.confirmed + point.waiting + point.refused,
  within: (point) => point.p99_us,
  refused: (point) => point.refused,
};

function showTiles(tiles) {
  const list = byId("tiles");
  for (const tile of tiles) {
    let item = list.querySelector(`[data-id="${tile.id}"]`);
    if (!item) {
      item = element("li", { "data-id": tile.id });
      item.append(element("div", { class: "note" }), element("div", { class: "value" }), element("div", { class: "note" }));
      if (TREND[tile.id]) item.append(charts.sparkline());
      list.append(item);
    }
    const [title, value, note, trend] = item.children;
    title.textContent = tile.state === "warning" ? `${tile.title} (look here)` : tile.title;
    value.textContent = tile.value;
    note.textContent = tile.note;
    item.dataset.state = tile.state;
    if (trend) charts.trend(trend, inOrder().slice(-120).map(TREND[tile.id]));
  }
}

// The tables behind the pictures: filled while they are open.
function showMinutes() {
  const minutes = charts.minutes(inOrder());
  for (const [id, head, row] of [
    ["rate-table", ["Minute (UTC)", "Confirmed", "Waiting", "Refused"], (m) => [m.at, m.confirmed, m.waiting, m.refused]],
    ["latency-table", ["Minute (UTC)", "Median of a typical second, ms", "99th of 100 in the worst second, ms", "Longest, ms"], (m) => [m.at, m.p50, m.p99, m.max]],
  ]) {
    const table = byId(id);
    if (table.open) fill(table.lastElementChild, null, head, minutes.map(row), [1, 2, 3]);
  }
}

async function get(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  if (answer.status === 401) location.assign("/login");
  if (!answer.ok && ![404, 502, 503].includes(answer.status)) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function refill() {
  if (filling) return;
  filling = true;
  try {
    const whole = await get("/snapshot");
    if (whole.now.started_ms === started) keep(whole.now.points ?? []);
  } catch {
    // The next gap asks again.
  } finally {
    filling = false;
  }
}

// While no stream gives figures, they are asked for.
async function poll() {
  if (!isLive() && document.visibilityState === "visible") {
    try {
      const whole = await get("/snapshot?points=60");
      showNow(whole.now, "polling");
      showLists(whole.lists);
    } catch {
      // The badge says it.
    }
  }
  setTimeout(poll, POLL_EVERY_MS);
}

const age = () => (heard === null ? null : performance.now() - heard);
const isLive = () => way === "live" && age() !== null && age() < STALE_AFTER_MS;

function open() {
  source?.close();
  source = new EventSource("/stream");
  source.addEventListener("now", (event) => showNow(JSON.parse(event.data), "live"));
  source.addEventListener("lists", (event) => showLists(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    // It opens a broken stream again by itself, but not one that was refused.
    if (source.readyState === EventSource.CLOSED && !opened) {
      opened = true;
      setTimeout(() => { opened = false; open(); }, OPEN_AGAIN_MS);
    }
  });
}

function showAge() {
  const old = age();
  const badge = byId("badge");
  const stale = old === null || old >= STALE_AFTER_MS;
  const state = old === null ? "none" : stale ? "stale" : way;
  const words = { none: "connecting", stale: "stale", live: "live", polling: "stream broken, polling" };
  if (badge.dataset.state !== state) {
    badge.dataset.state = state;
    badge.textContent = words[state];
    if (state === "stale") byId("said").textContent = "The figures are stale: nothing comes from the worker.";
    if (state === "live" && said) byId("said").textContent = "The figures are live again.";
  }
  document.body.classList.toggle("stale", old !== null && stale);
  const streams = (latest?.shards ?? []).map((shard) => shard.asked_ms ?? 0);
  const asked = Math.max(0, ...streams) / 1000;
  byId("age").textContent = old === null ? "no data yet"
    : `data ${(old / 1000).toFixed(0)} s old${asked > 3 ? `; the broker last answered ${asked.toFixed(0)} s before` : ""}${paused ? "; paused" : ""}`;
}

byId("pause").addEventListener("click", (event) => {
  paused = !paused;
  event.currentTarget.setAttribute("aria-pressed", String(paused));
  showAge();
});

for (const id of ["rate-table", "latency-table"]) byId(id).addEventListener("toggle", showMinutes);

// An order has an address of its own: #order=O-1.
async function look() {
  const id = new URLSearchParams(location.hash.slice(1)).get("order");
  if (!id) return;
  byId("order-id").value = id;
  details(null, "looking …");
  try {
    showOrders(await get(`/order?id=${encodeURIComponent(id)}`));
  } catch {
    details(null, "The worker does not answer; try again.");
  }
}

byId("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const hash = `#order=${encodeURIComponent(byId("order-id").value.trim())}`;
  if (location.hash === hash) look(); else location.hash = hash;
});
addEventListener("hashchange", look);

byId("todo-copy").addEventListener("click", async () => {
  const text = toText(todo);
  try {
    await navigator.clipboard.writeText(text);
    byId("copied").textContent = text ? "copied" : "nothing to copy";
  } catch {
    byId("copied").textContent = "the browser does not allow it; use CSV";
  }
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.draw(inOrder()));
addEventListener("resize", () => charts.fit());
addEventListener("visibilitychange", showAge);

setInterval(showAge, 500);
try {
  const whole = await get("/snapshot");
  started = whole.now.started_ms;
  keep(whole.now.points ?? []);
  showNow(whole.now, "polling");
  showLists(whole.lists);
} catch {
  // The stream, or polling, comes to it.
}
open();
setTimeout(poll, POLL_EVERY_MS);
look();
