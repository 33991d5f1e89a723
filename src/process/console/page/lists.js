// Tables and small parts of the page.
export const byId = (id) => document.getElementById(id);

// A text in which `code` stands between backticks.
export function marked(place, text) {
  place.replaceChildren(...text.split("`").map((part, at) => (at % 2 ? element("code", {}, part) : part)));
}

export function element(name, attributes = {}, text) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Fills a place with a table. A cell is a text or an element; `numbers` are the columns that are numbers.
export function fill(place, caption, head, rows, numbers = []) {
  // What somebody marks or has the focus in is left alone meanwhile.
  const marked = getSelection();
  if (marked && !marked.isCollapsed && place.contains(marked.anchorNode)) return;
  if (place.contains(document.activeElement) && place !== document.activeElement) return;
  const table = element("table");
  if (caption) table.append(element("caption", {}, caption));
  const kind = (column) => (numbers.includes(column) ? { class: "number" } : {});
  const top = element("tr");
  head.forEach((title, column) => top.append(element("th", { scope: "col", ...kind(column) }, title)));
  table.append(element("thead"));
  table.tHead.append(top);
  const body = element("tbody");
  for (const row of rows) {
    const line = element("tr");
    row.forEach((cell, column) => {
      const made = element("td", kind(column));
      made.append(cell ?? "–");
      line.append(made);
    });
    body.append(line);
  }
  table.append(body);
  place.replaceChildren(table);
}

const nothing = (place, text) => place.replaceChildren(element("p", { class: "note" }, text));
const clock = (ms) => new Date(ms).toISOString().slice(11, 19);
const whole = (number) => (number ?? 0).toLocaleString("en-US");
const link = (id) => element("a", { href: `#order=${encodeURIComponent(id)}` }, id);

export function showSlowest(orders) {
  const place = byId("slowest");
  if (!orders) return nothing(place, "not measured");
  if (!orders.length) return nothing(place, "No order in five minutes.");
  fill(place, null, ["Order", "Took, ms", "At (UTC)", "Shard", "Sequence"], orders.slice(0, 10).map((order) => [
    link(order.order_id), (order.duration_us / 1000).toFixed(1), clock(order.at_ms), order.shard,
    order.orders > 1 ? `${order.sequence} (${whole(order.orders)} orders)` : String(order.sequence),
  ]), [1]);
}

export function showRefusals(refusals) {
  const place = byId("refusals");
  if (!refusals) return nothing(place, "not measured");
  if (!refusals.length) return nothing(place, "None since this worker started.");
  fill(place, null, ["At (UTC)", "Command", "Of", "Reason", "Detail"], refusals.slice(0, 20).map((refusal) => [
    clock(refusal.at_ms), refusal.command, ["place", "cancel", "pay", "ship"].includes(refusal.command) && refusal.id ? link(refusal.id) : refusal.id,
    refusal.reason, refusal.detail,
  ]));
}

export function showShards(shards, worker) {
  const place = byId("shards");
  if (!shards.length) return nothing(place, "No shard yet: NATS cannot be reached, or the streams are not there.");
  fill(place, null, ["Shard", "Leader", "Here", "State", "Behind", "Open orders", "Waiting", "Log"], shards.map((shard) => [
    shard.shard, shard.leader === worker ? `${worker} (this one)` : shard.leader ?? "nobody", shard.role ?? "–",
    shard.unready ?? shard.life, whole(shard.lag_messages), whole(shard.open_orders), whole(shard.waiting_orders),
    shard.log_bytes_max ? `${(100 * shard.log_bytes / shard.log_bytes_max).toFixed(1)}% full` : "no limit",
  ]), [4, 5, 6]);
}

export function showTodo(rows) {
  const place = byId("todo");
  byId("todo-csv").hidden = !rows;
  byId("todo-copy").hidden = !rows;
  byId("todo-count").textContent = rows ? whole(rows.length) : "";
  if (!rows) return nothing(place, "Orders at risk, SKUs that run out and surges: not measured.");
  if (!rows.length) return nothing(place, "Nothing: no order at risk, no SKU about to run out, no surge.");
  fill(place, null, ["What", "Which", "Until", "Why"], rows.map((row) => [
    row.what, row.kind === "order" ? link(row.subject) : row.subject, row.due, row.reason,
  ]));
}

export function toText(rows) {
  return (rows ?? []).map((row) => [row.kind, row.subject, row.due ?? "", row.what, row.reason ?? ""].join("\t")).join("\n");
}

// Name and value pairs in the look-up's place, or a sentence.
export function details(pairs, text) {
  const place = byId("found");
  if (!pairs) return nothing(place, text);
  const list = element("dl");
  for (const [name, value] of pairs) list.append(element("dt", {}, name), element("dd", {}, value));
  place.replaceChildren(list);
}

const percent = (share) => `${(100 * share).toFixed(0)}%`;
const UNITS = ["waiting", "reserved", "cancelled", "expired", "shipped", "delivered", "returned", "written_off", "lacking"];
// What is told elsewhere on the page, or says nothing to people.
const SILENT = new Set(["outcome", "order_id", "sequence", "index", "place", "at", "duplicate", "first_sequence"]);

// What an event says, in words: fields and their values.
function told(value) {
  if (Array.isArray(value)) return value.map(told).join("; ");
  if (value && typeof value === "object") return Object.entries(value).filter(([key]) => !SILENT.has(key)).map(([key, part]) => `${key.replaceAll("_", " ")} ${told(part)}`).join(", ");
  return String(value);
}

export function showOrders(order) {
  if (!order.state) return details(null, `Nothing is known of ${order.order_id}: ${order.why}.`);
  const pairs = [["Order", order.order_id], ["State", order.paid ? `${order.state}, paid` : order.state]];
  const add = (name, value) => { if (value !== undefined && value !== null && value !== "") pairs.push([name, value]); };
  add("Why", order.reason);
  if (order.waits_for) add("Waits for", `${order.waits_for.sku} at ${order.waits_for.site}`);
  if (order.next) add("Next", order.next.by ? `${order.next.step}, by ${order.next.by}` : order.next.step);
  add("Promised by", order.placed?.promised_by);
  add("Placed", order.placed?.at);
  add("Carrier", order.placed?.carrier);
  if (order.value) add("Value", `${(order.value.minor / 100).toFixed(2)} ${order.value.currency}`);
  for (const line of order.lines ?? []) {
    const parts = UNITS.filter((name) => line[name]).map((name) => `${line[name]} ${name.replace("_", " ")}`);
    add(`${line.sku} at ${line.site}`, `${line.quantity}: ${parts.join(", ") || "–"}`);
  }
  const risk = order.delay_risk;
  pairs.push(["Delay risk", risk?.arrives_late === undefined ? "not known" : `${percent(risk.arrives_late)} likely to be late`]);
  if (risk?.ships_late !== undefined) add("Leaves late", `${percent(risk.ships_late)} likely`);
  if (risk?.arrives_by) add("Expected", `${risk.arrives_by.p50}; between ${risk.arrives_by.p5} and ${risk.arrives_by.p95} with 90% probability`);
  add("Because of", (risk?.causes ?? []).map((cause) => `${cause.name} ${cause.days >= 0 ? "+" : ""}${cause.days.toFixed(1)} days`).join(", "));
  pairs.push(["As of", `message ${order.sequence} of shard ${order.shard}`]);
  details(pairs);
  const history = order.history;
  if (!history) return;
  const place = byId("found");
  place.append(element("h3", {}, "History"));
  if (!history.from_the_start) place.append(element("p", { class: "note" }, `Earlier outcomes are no longer kept${history.kept_since ? ` (since ${history.kept_since})` : ""}.`));
  const steps = element("ol", { class: "steps" });
  for (const { outcome, command } of history.events) {
    const step = element("li");
    step.append(element("strong", {}, outcome.outcome.replaceAll("_", " ")), ` ${outcome.at}: ${told(outcome) || "nothing more to say"}`);
    if (command) step.append(element("div", { class: "note" }, `by ${told(command)}`));
    steps.append(step);
  }
  place.append(steps);
  if (history.cursor) place.append(element("p", { class: "note" }, "There is more than is shown here: `weir orders` has all of it."));
}
