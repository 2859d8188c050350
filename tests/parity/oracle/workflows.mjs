// What GitHub's parser makes of workflow files: one JSON object {name, content} a line, one answer a line.
import { createInterface } from "node:readline";
import { convertWorkflowTemplate, NoOperationTraceWriter, parseWorkflow } from "@actions/workflow-parser";

const text = (token) => (token === undefined ? null : (token.value ?? token.source ?? token.toString()).toString());

function step(step) {
  const action = step.uses ? { uses: text(step.uses) } : { run: step.run?.isExpression ? null : text(step.run) };
  return { id: step.id, ...action };
}

function job(job) {
  const needs = (job.needs ?? []).map(text);
  if (job.type === "reusableWorkflowJob") return { id: text(job.id), needs, uses: text(job.ref), steps: [] };
  return { id: text(job.id), needs, uses: null, steps: job.steps.map(step) };
}

async function read(file) {
  try {
    const parsed = parseWorkflow(file, new NoOperationTraceWriter());
    const errors = () => parsed.context.errors.getErrors().map((error) => error.message);
    if (parsed.value === undefined || errors().length > 0) return { errors: errors() };
    const workflow = await convertWorkflowTemplate(parsed.context, parsed.value);
    if (errors().length > 0) return { errors: errors() };
    return { errors: [], jobs: workflow.jobs.map(job) };
  } catch (error) {
    return { errors: [`the package threw: ${error.message}`] };
  }
}

for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(await read(JSON.parse(line))));
