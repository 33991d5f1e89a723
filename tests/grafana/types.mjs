// Writes each part of each dashboard as a constant of the type that Grafana's schema package has for it.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";

const [folder, written] = process.argv.slice(2);
const kinds = {
  stat: "stat", timeseries: "timeseries", heatmap: "heatmap", "state-timeline": "statetimeline", table: "table",
};
const raw = "@grafana/schema/dist/types/raw";
const lines = [`import * as dashboard from "./node_modules/${raw}/dashboard/x/types.gen";`];
for (const kind of Object.values(kinds)) {
  lines.push(`import * as ${kind} from "./node_modules/${raw}/composable/${kind}/panelcfg/x/types.gen";`);
}
// JSON has the values of enums, not their names.
lines.push(
  "type Json<T> = T extends string ? `${T}` : T extends number | boolean | null | undefined ? T : " +
    "T extends (infer U)[] ? Json<U>[] : T extends object ? { [K in keyof T]: Json<T[K]> } : T;",
  // What an annotation asks is up to its source: the dashboard's schema does not say.
  "type Board = Omit<dashboard.Dashboard, \"panels\" | \"annotations\">;",
);
let count = 0;
const constant = (type, value) => lines.push(`export const c${count++}: ${type} = ${JSON.stringify(value)};`);
const panel = ({ panels, ...one }) => {
  lines.push(`// ${one.title}`);
  if (one.type === "row") {
    constant('Json<Omit<dashboard.RowPanel, "panels">>', one);
    panels.forEach(panel);
    return;
  }
  const kind = kinds[one.type];
  if (!kind) throw new Error(`no type is known for a panel of type ${one.type}`);
  const { options, fieldConfig, ...rest } = one;
  const { custom, ...defaults } = fieldConfig.defaults;
  constant(`Json<Partial<${kind}.Options>>`, options);
  if (custom) constant(`Json<Partial<${kind}.FieldConfig>>`, custom);
  constant('Json<Omit<dashboard.Panel, "options">>', { ...rest, fieldConfig: { ...fieldConfig, defaults } });
};
const boards = readdirSync(folder).filter((name) => name.endsWith(".json"));
if (boards.length === 0) throw new Error(`no dashboards in ${folder}`);
for (const name of boards) {
  const { panels, annotations, ...board } = JSON.parse(readFileSync(`${folder}/${name}`, "utf8"));
  lines.push(`// ${name}`);
  constant("Json<Board>", board);
  panels.forEach(panel);
}
writeFileSync(written, lines.join("\n") + "\n");
console.log(`${boards.length} dashboards, ${count} parts`);
