// The baseline of `plan`: GitHub's own parser, warm, on the same files.
// Usage: node parse.mjs SECONDS FILE...   Prints {"files": N, "seconds": S, "errors": E}.
import { readFileSync } from "node:fs";
import { convertWorkflowTemplate, NoOperationTraceWriter, parseWorkflow } from "@actions/workflow-parser";

const [seconds, ...paths] = process.argv.slice(2);
const files = paths.map((name) => ({ name, content: readFileSync(name, "utf8") }));
const trace = new NoOperationTraceWriter();

async function once() {
  let errors = 0;
  for (const file of files) {
    const result = parseWorkflow(file, trace);
    if (result.value === undefined) {
      errors += 1;
      continue;
    }
    await convertWorkflowTemplate(result.context, result.value);
    errors += result.context.errors.getErrors().length;
  }
  return errors;
}

let errors = 0;
const warmUntil = performance.now() + 1000;
while (performance.now() < warmUntil) errors = await once();
const start = performance.now();
let rounds = 0;
while (performance.now() < start + Number(seconds) * 1000) {
  await once();
  rounds += 1;
}
console.log(JSON.stringify({ files: rounds * files.length, seconds: (performance.now() - start) / 1000, errors }));
