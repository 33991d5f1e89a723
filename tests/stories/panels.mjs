// Draws panels of Grafana's dashboards from their JSON, with figures of a live Prometheus: as much of the format as Weir's boards use in
// lines, areas, single figures and states. It is no Grafana: it shows that expressions, legends, units, thresholds and mappings of a
// board come to something that can be read.
//
// draw(boards, prometheus, from, to, wanted): HTML. `boards` is the folder of dashboards, `prometheus` its address, times are in seconds
// since 1970, `wanted` has pairs of a board and the beginning of a panel's title.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const WIDTH = 575;
const HEIGHT = 170;
const LEFT = 58;
const BOTTOM = 20;
const POINTS = 240;
const COLOURS = ["#3274d9", "#e0752d", "#3f6833", "#8f3bb8", "#c15c17", "#0a437c", "#6d1f62", "#584477", "#b7950b", "#2f575e", "#c4162a", "#96d98d"];
const NAMED = { red: "#c4162a", green: "#37872d", blue: "#3274d9", yellow: "#e0b400", purple: "#8f3bb8", text: "#6e7681" };

const escaped = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

// A figure as Grafana's units show it.
function shown(value, unit) {
  if (!Number.isFinite(value)) return "–";
  const short = (number) => {
    const at = Math.abs(number);
    for (const [from, name] of [[1e9, " B"], [1e6, " Mil"], [1e3, " K"]]) if (at >= from) return `${trimmed(number / from)}${name}`;
    return trimmed(number);
  };
  const trimmed = (number) => String(Number(number.toPrecision(3)));
  if (unit === "percentunit") return `${trimmed(value * 100)}%`;
  if (unit === "ops") return `${short(value)} /s`;
  if (unit === "bytes") {
    const names = ["B", "KiB", "MiB", "GiB", "TiB"];
    const power = value <= 0 ? 0 : Math.min(names.length - 1, Math.floor(Math.log2(value) / 10));
    return `${trimmed(value / 1024 ** power)} ${names[power]}`;
  }
  if (unit === "s") {
    if (Math.abs(value) >= 3600) return `${trimmed(value / 3600)} h`;
    if (Math.abs(value) >= 60) return `${trimmed(value / 60)} min`;
    return Math.abs(value) >= 1 || value === 0 ? `${trimmed(value)} s` : `${trimmed(value * 1000)} ms`;
  }
  return short(value);
}

function panelsOf(board) {
  return board.panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);
}

async function series(panel, prometheus, from, to) {
  const step = Math.max(1, Math.round((to - from) / POINTS));
  const all = [];
  for (const target of panel.targets) {
    const query = target.expr.replaceAll("$__rate_interval", "15s").replaceAll("$job", ".+").replaceAll("$instance", ".+");
    const asked = new URLSearchParams({ query, start: from, end: to, step });
    const answer = await (await fetch(`http://${prometheus}/api/v1/query_range?${asked}`)).json();
    if (answer.status !== "success") throw new Error(`${panel.title}: ${answer.error}`);
    for (const { metric, values } of answer.data.result) {
      const name = target.legendFormat.replaceAll(/\{\{(\w+)\}\}/g, (_, label) => metric[label] ?? "");
      all.push({ name, points: values.map(([at, value]) => [at, Number(value)]).filter(([, value]) => Number.isFinite(value)) });
    }
  }
  return { step, all };
}

function ticks(low, high) {
  const span = high - low || 1;
  const rough = span / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((times) => times * power).find((size) => size >= rough);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step / 1e6; at += step) found.push(at);
  return found;
}

function frame(from, to, inner, labels) {
  const x = (at) => LEFT + ((at - from) / (to - from)) * (WIDTH - LEFT - 8);
  const times = ticks(0, to - from)
    .map((at) => `<text x="${x(from + at)}" y="${HEIGHT - 4}" text-anchor="middle">${Math.floor(at / 60)}:${String(Math.round(at % 60)).padStart(2, "0")}</text>`);
  return `<svg width="${WIDTH}" height="${HEIGHT}">${labels}${inner(x)}${times.join("")}</svg>`;
}

function lines(panel, { all, step }, from, to) {
  const { unit, thresholds, custom = {} } = panel.fieldConfig.defaults;
  const stacked = custom.stacking?.mode === "normal";
  const drawn = all.filter(({ points }) => points.length > 0).sort((one, other) => one.name.localeCompare(other.name));
  if (drawn.length === 0) return `<p class="none">no data</p>`;
  const ground = new Map();
  const shapes = drawn.map(({ name, points }) => {
    const over = points.map(([at, value]) => {
      const below = stacked ? (ground.get(at) ?? 0) : 0;
      if (stacked) ground.set(at, below + value);
      return [at, below, below + value];
    });
    return { name, over, last: points.at(-1)[1], max: Math.max(...points.map(([, value]) => value)) };
  });
  const limits = custom.thresholdsStyle?.mode === "dashed" ? thresholds.steps.filter(({ value }) => value !== null) : [];
  const values = shapes.flatMap(({ over }) => over.flatMap(([, below, above]) => [below, above])).concat(limits.map(({ value }) => value));
  const low = Math.min(0, ...values);
  const high = Math.max(...values, low + 1e-9) * 1.05;
  const y = (value) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - BOTTOM - 8);
  const grid = ticks(low, high).map((at) => `<line x1="${LEFT}" x2="${WIDTH - 8}" y1="${y(at)}" y2="${y(at)}" class="grid"/><text x="${LEFT - 6}" y="${y(at) + 4}" text-anchor="end">${shown(at, unit)}</text>`);
  const inner = (x) => {
    const parts = shapes.map(({ over }, place) => {
      const colour = COLOURS[place % COLOURS.length];
      // A gap is a gap.
      const runs = [];
      over.forEach((point, index) => {
        if (index === 0 || point[0] - over[index - 1][0] > step * 1.5) runs.push([]);
        runs.at(-1).push(point);
      });
      return runs.map((run) => {
        const top = run.map(([at, , above]) => `${x(at).toFixed(1)},${y(above).toFixed(1)}`);
        const floor = [...run].reverse().map(([at, below]) => `${x(at).toFixed(1)},${y(stacked ? below : low).toFixed(1)}`);
        const opacity = (custom.fillOpacity ?? 0) / 100;
        const dot = run.length === 1 ? `<circle cx="${x(run[0][0])}" cy="${y(run[0][2])}" r="2" fill="${colour}"/>` : "";
        return `<polygon points="${[...top, ...floor].join(" ")}" fill="${colour}" fill-opacity="${opacity}"/><polyline points="${top.join(" ")}" fill="none" stroke="${colour}" stroke-width="1.5"/>${dot}`;
      }).join("");
    });
    const bounds = limits.map(({ value, color }) => `<line x1="${LEFT}" x2="${WIDTH - 8}" y1="${y(value)}" y2="${y(value)}" stroke="${NAMED[color] ?? color}" stroke-dasharray="6 4"/>`);
    return parts.join("") + bounds.join("");
  };
  const legend = shapes.map(({ name, last, max }, place) =>
    `<tr><td><i style="background:${COLOURS[place % COLOURS.length]}"></i>${escaped(name)}</td><td>${shown(last, unit)}</td><td>${shown(max, unit)}</td></tr>`);
  return `${frame(from, to, inner, grid.join(""))}<table><tr><th></th><th>last</th><th>max</th></tr>${legend.slice(0, 12).join("")}</table>`;
}

function states(panel, { all, step }, from, to) {
  const mapping = panel.fieldConfig.defaults.mappings[0].options;
  if (all.length === 0) return `<p class="none">no data</p>`;
  const height = Math.min(34, (HEIGHT - BOTTOM) / all.length);
  const inner = (x) => all.map(({ points }, row) => {
    const cells = points.map(([at, value]) => {
      const colour = mapping[String(value)]?.color ?? "text";
      return `<rect x="${x(at)}" y="${row * height + 2}" width="${x(at + step) - x(at) + 0.5}" height="${height - 4}" fill="${NAMED[colour] ?? colour}"/>`;
    });
    return cells.join("");
  }).join("");
  const names = new Set(all.flatMap(({ points }) => points.map(([, value]) => mapping[String(value)]?.text ?? String(value))));
  const rows = all.map(({ name }, row) => `<text x="${WIDTH - 12}" y="${row * height + height / 2 + 4}" text-anchor="end" class="over">${escaped(name)}</text>`);
  const drawn = frame(from, to, (x) => inner(x) + rows.join(""), "");
  return `${drawn}<p class="note">${[...names].map((name) => {
    const colour = Object.values(mapping).find(({ text }) => text === name)?.color ?? "text";
    return `<i style="background:${NAMED[colour] ?? colour}"></i>${escaped(name)}`;
  }).join(" ")}</p>`;
}

export async function draw(boards, prometheus, from, to, wanted) {
  const drawn = [];
  for (const [uid, title] of wanted) {
    const board = JSON.parse(readFileSync(join(boards, `${uid}.json`), "utf8"));
    const panel = panelsOf(board).find((one) => one.type !== "row" && one.type !== "stat" && one.title.startsWith(title));
    if (!panel) throw new Error(`${uid} has no panel ${title}`);
    const found = await series(panel, prometheus, from, to);
    const body = panel.type === "state-timeline" ? states(panel, found, from, to) : lines(panel, found, from, to);
    drawn.push(`<section><h2>${escaped(panel.title)} <small>${escaped(board.title)}</small></h2>${body}</section>`);
  }
  return `<!doctype html><meta charset="utf-8"><style>
body { margin: 8px; font: 12px system-ui, sans-serif; color: #24292e; background: #f4f5f5; display: grid; grid-template-columns: repeat(2, ${WIDTH + 16}px); gap: 8px; width: max-content; }
section { background: #fff; border: 1px solid #d8d9da; border-radius: 3px; padding: 8px; }
h2 { font-size: 13px; margin: 0 0 6px; font-weight: 600; } small { color: #6e7681; font-weight: 400; }
svg text { font-size: 10px; fill: #52545c; } svg .over { font-weight: 600; fill: #24292e; paint-order: stroke; stroke: #fff; stroke-width: 3px; } .grid { stroke: #ececec; }
table { border-collapse: collapse; width: 100%; font-size: 11px; } th { font-weight: 400; color: #6e7681; } td, th { padding: 0 4px; text-align: right; } td:first-child { text-align: left; }
i { display: inline-block; width: 10px; height: 10px; margin: 0 5px 0 8px; } .none { height: ${HEIGHT}px; display: grid; place-items: center; color: #6e7681; margin: 0; } .note { margin: 4px 0 0; }
</style>${drawn.join("")}`;
}
