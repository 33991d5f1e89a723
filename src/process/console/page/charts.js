// The two charts (uPlot) and the sparklines (own SVG).
const OBJECTIVE_MS = 250;
const HEIGHT = 210;

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const ms = (us) => (us === null || us === undefined ? null : Math.max(us / 1000, 0.01));

export class Charts {
  constructor(rate, latency) {
    this.places = [rate, latency];
    this.plots = null;
  }

  draw(points) {
    this.plots?.forEach((plot) => plot.destroy());
    const clock = (at) => (at === null || at === undefined ? "" : new Date(at * 1000).toISOString().slice(11, 19));
    const axis = { stroke: color("--soft"), grid: { stroke: color("--grid"), width: 1 }, ticks: { stroke: color("--grid"), width: 1 } };
    const line = (label, name, width = 1.5) => ({ label, stroke: color(name), width, points: { show: false }, value: (_, value) => (value === null || value === undefined ? "–" : String(Math.round(value * 10) / 10)) });
    const time = { ...axis, space: 90, values: (_, ticks) => ticks.map((at) => clock(at)) };
    const base = {
      width: this.width(), height: HEIGHT - 34,
      cursor: { sync: { key: "weir" }, drag: { x: false, y: false } },
      padding: [8, 30, 0, 0],
    };
    const rate = {
      ...base,
      scales: { y: { range: (_, __, max) => [0, Math.max(max * 1.1, 1)] } },
      axes: [time, { ...axis, size: 56 }],
      series: [{ label: "UTC", value: (_, at) => clock(at) || "–" }, line("confirmed", "--confirmed"), line("waiting", "--waiting"), line("refused", "--refused")],
    };
    const latency = {
      ...base,
      scales: { y: { distr: 3, range: (_, min, max) => [Math.min(min ?? 1, 1), Math.max(max ?? 1, OBJECTIVE_MS * 2)] } },
      axes: [time, { ...axis, size: 74, values: (_, ticks) => ticks.map((tick) => (Number.isInteger(Math.log10(tick)) ? `${tick} ms` : "")) }],
      series: [{ label: "UTC", value: (_, at) => clock(at) || "–" }, line("median", "--p50"), line("99th of 100", "--p99"), line("longest", "--soft", 1)],
      hooks: {
        draw: [(plot) => {
          const y = plot.valToPos(OBJECTIVE_MS, "y", true);
          const { ctx, bbox } = plot;
          ctx.save();
          ctx.strokeStyle = color("--critical");
          ctx.setLineDash([6, 4]);
          ctx.beginPath();
          ctx.moveTo(bbox.left, y);
          ctx.lineTo(bbox.left + bbox.width, y);
          ctx.stroke();
          ctx.restore();
        }],
      },
    };
    this.plots = [new uPlot(rate, this.data(points)[0], this.places[0]), new uPlot(latency, this.data(points)[1], this.places[1])];
  }

  // Seconds that are missing are gaps.
  data(points) {
    const rate = [[], [], [], []];
    const latency = [[], [], [], []];
    let before = null;
    for (const point of points) {
      if (before !== null && point.at > before + 2) {
        for (const list of [rate, latency]) list.forEach((column, place) => column.push(place ? null : before + 1));
      }
      before = point.at;
      [point.at, point.confirmed, point.waiting, point.refused].forEach((value, place) => rate[place].push(value));
      [point.at, ms(point.p50_us), ms(point.p99_us), ms(point.max_us)].forEach((value, place) => latency[place].push(value));
    }
    return [rate, latency];
  }

  show(points) {
    if (!this.plots) this.draw(points);
    const data = this.data(points);
    this.plots.forEach((plot, place) => plot.setData(data[place]));
    const last = points.at(-1);
    const said = (id, text) => { document.getElementById(id).textContent = text; };
    if (!last) return;
    said("rate-said", `Last second: ${last.confirmed} confirmed, ${last.waiting} waiting, ${last.refused} refused.`);
    said("latency-said", last.p99_us === null ? "Last second: no orders."
      : `Last second: median ${ms(last.p50_us).toFixed(1)} ms, 99 of 100 within ${ms(last.p99_us).toFixed(1)} ms.`);
  }

  width() {
    return Math.max(this.places[0].clientWidth, 200);
  }

  fit() {
    this.plots?.forEach((plot, place) => plot.setSize({ width: Math.max(this.places[place].clientWidth, 200), height: HEIGHT - 34 }));
  }

  sparkline() {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 120 24");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    svg.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
    return svg;
  }

  trend(svg, values) {
    const most = Math.max(1e-9, ...values.map((value) => value ?? 0));
    const step = 120 / Math.max(values.length - 1, 1);
    const places = values.map((value, at) => (value === null ? null : `${(at * step).toFixed(1)} ${(23 - 22 * value / most).toFixed(1)}`));
    const path = places.map((place, at) => (place === null ? "" : `${at && places[at - 1] !== null ? "L" : "M"}${place}`)).join("");
    svg.firstElementChild.setAttribute("d", path);
  }

  // What the pictures show, minute by minute, the newest first.
  minutes(points) {
    const minutes = new Map();
    for (const point of points) {
      const at = Math.floor(point.at / 60) * 60;
      const minute = minutes.get(at) ?? { confirmed: 0, waiting: 0, refused: 0, p50: [], p99: 0, max: 0 };
      minute.confirmed += point.confirmed;
      minute.waiting += point.waiting;
      minute.refused += point.refused;
      if (point.p50_us !== null) minute.p50.push(point.p50_us);
      minute.p99 = Math.max(minute.p99, point.p99_us ?? 0);
      minute.max = Math.max(minute.max, point.max_us ?? 0);
      minutes.set(at, minute);
    }
    const whole = (number) => number.toLocaleString("en-US");
    const shown = (us) => (us ? (us / 1000).toFixed(1) : "–");
    return [...minutes].sort((a, b) => b[0] - a[0]).map(([at, minute]) => ({
      at: new Date(at * 1000).toISOString().slice(11, 16),
      confirmed: whole(minute.confirmed), waiting: whole(minute.waiting), refused: whole(minute.refused),
      p50: shown(minute.p50.sort((a, b) => a - b)[minute.p50.length >> 1]), p99: shown(minute.p99), max: shown(minute.max),
    }));
  }
}
