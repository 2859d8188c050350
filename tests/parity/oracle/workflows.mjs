// What GitHub's parser makes of workflow files: one JSON object {name, content} a line, one answer a line.
import { createInterface } from "node:readline";
import { FeatureFlags } from "@actions/expressions";
import { convertWorkflowTemplate, NoOperationTraceWriter, parseWorkflow } from "@actions/workflow-parser";
import { TemplateContext, TemplateValidationErrors } from "@actions/workflow-parser/templates/template-context";
import { getWorkflowSchema } from "@actions/workflow-parser/workflows/workflow-schema";

// Steps of the background are part of GitHub's language; the package still asks for a word before it reads them.
const featureFlags = new FeatureFlags({ allowBackgroundSteps: true });

const text = (token) => (token === undefined ? null : (token.value ?? token.source ?? token.toString()).toString());

// A parallel group is shown as its steps and one more. It gives generated ids of its own, so those are left out.
function steps(all) {
  const grouped = all.some((step) => step.parallel);
  const one = (step, inGroup) => {
    const id = grouped && step.id.startsWith("__") ? null : step.id;
    if (step.wait) return [{ id, wait: step.wait.map(text) }];
    if (step["wait-all"] !== undefined) return [{ id, wait: null }];
    if (step.cancel) return [{ id, cancel: text(step.cancel) }];
    if (step.parallel) {
      return [...step.parallel.flatMap((inner) => one(inner, true)), { id, group: step.parallel.length }];
    }
    const action = step.uses ? { uses: text(step.uses) } : { run: step.run?.isExpression ? null : text(step.run) };
    return [{ id, background: inGroup || step.background === true, ...action }];
  };
  return all.flatMap((step) => one(step, false));
}

function job(job) {
  const needs = (job.needs ?? []).map(text);
  if (job.type === "reusableWorkflowJob") return { id: text(job.id), needs, uses: text(job.ref), steps: [] };
  return { id: text(job.id), needs, uses: null, steps: steps(job.steps) };
}

async function read(file) {
  try {
    const errorList = new TemplateValidationErrors();
    const context = new TemplateContext(errorList, getWorkflowSchema(), new NoOperationTraceWriter());
    context.state.featureFlags = featureFlags;
    const parsed = parseWorkflow(file, context);
    const errors = () => parsed.context.errors.getErrors().map((error) => error.message);
    if (parsed.value === undefined || errors().length > 0) return { errors: errors() };
    const workflow = await convertWorkflowTemplate(parsed.context, parsed.value, undefined, { featureFlags });
    if (errors().length > 0) return { errors: errors() };
    return { errors: [], jobs: workflow.jobs.map(job) };
  } catch (error) {
    return { errors: [`the package threw: ${error.message}`] };
  }
}

for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(await read(JSON.parse(line))));
