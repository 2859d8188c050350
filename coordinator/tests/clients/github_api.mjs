// Holds exchanges with a double of GitHub's API against GitHub's own OpenAPI description: what was asked, and what was answered.
//
//   node github_api.mjs EXCHANGES.jsonl
//
// Each line: {"method", "path" (with its query), "body", "status", "answer"}. Prints what is wrong, one a line; nothing: all is well.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(import.meta.url);
const Ajv = require("ajv");
const formats = require("ajv-formats");
const description = require("@octokit/openapi/generated/api.github.com.json");

// OpenAPI 3.0 lets `nullable` stand beside a reference or a list of values; JSON Schema wants a choice with null.
const plain = (node) => {
  if (Array.isArray(node)) return node.map(plain);
  if (node === null || typeof node !== "object") return node;
  const made = Object.fromEntries(Object.entries(node).map(([name, value]) => [name, plain(value)]));
  const listed = made.enum && !made.enum.includes(null);
  if (made.nullable !== true || (made.type !== undefined && !listed)) return made;
  const { nullable, ...rest } = made;
  return { anyOf: [rest, { type: "null" }] };
};

const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: true, logger: false });
formats(ajv);
ajv.addSchema({ ...plain(description), $id: "description" });

const token = (text) => encodeURIComponent(text.replaceAll("~", "~0").replaceAll("/", "~1"));
const reference = (...path) => ({ $ref: `description#/${path.map(token).join("/")}` });
const compiled = new Map();
const check = (schema, value) => {
  const key = JSON.stringify(schema);
  if (!compiled.has(key)) compiled.set(key, ajv.compile(schema));
  const validate = compiled.get(key);
  return validate(value) ? [] : validate.errors.map((error) => `${error.instancePath || "/"} ${error.message}`);
};
const resolve = (found) =>
  found?.$ref ? found.$ref.slice(2).split("/").reduce((at, name) => at[name], description) : found;

// The description's path of an address: literal names go before names in braces.
const templates = Object.keys(description.paths).map((path) => ({ path, parts: path.split("/") }));
const template = (address) => {
  const parts = address.split("/");
  const fits = templates.filter(
    ({ parts: wanted }) =>
      wanted.length === parts.length && wanted.every((part, at) => part.startsWith("{") || part === parts[at]),
  );
  const literal = ({ parts: wanted }) => wanted.filter((part) => !part.startsWith("{")).length;
  return fits.sort((one, other) => literal(other) - literal(one))[0]?.path;
};

const wrong = [];
for (const [at, line] of readFileSync(process.argv[2], "utf8").split("\n").filter(Boolean).entries()) {
  const { method, path, body, status, answer } = JSON.parse(line);
  const say = (what) => wrong.push(`${at + 1} ${method} ${path}: ${what}`);
  const [address, query = ""] = path.split("?");
  const known = template(address);
  const operation = known && description.paths[known][method.toLowerCase()];
  if (!operation) {
    say("GitHub has no such operation");
    continue;
  }
  const parameters = (operation.parameters ?? []).map(resolve);
  for (const [name, text] of new URLSearchParams(query)) {
    const parameter = parameters.find((parameter) => parameter.in === "query" && parameter.name === name);
    if (!parameter) {
      say(`the parameter ${name} is not described`);
      continue;
    }
    const number = ["integer", "number"].includes(resolve(parameter.schema).type);
    for (const error of check({ ...parameter.schema, $id: undefined }, number ? Number(text) : text)) say(`${name}: ${error}`);
  }
  const asked = operation.requestBody?.content?.["application/json"];
  if (asked) {
    const place = ["paths", known, method.toLowerCase(), "requestBody", "content", "application/json", "schema"];
    if (body !== null || operation.requestBody.required) {
      for (const error of check(reference(...place), body)) say(`body ${error}`);
    }
    const properties = asked.schema.properties;
    for (const name of Object.keys(body ?? {})) {
      if (properties && !(name in properties)) say(`body: ${name} is not described`);
    }
  } else if (body !== null) {
    say("a body is not described");
  }
  if (status >= 200 && status < 300) {
    const place = ["paths", known, method.toLowerCase(), "responses", String(status)];
    const response = resolve(operation.responses[status]);
    if (!response) say(`the status ${status} is not described`);
    const schema = response?.content?.["application/json"]?.schema;
    const direct = operation.responses[status]?.$ref ? undefined : reference(...place, "content", "application/json", "schema");
    if (schema && direct) for (const error of check(direct, answer)) say(`answer ${error}`);
  }
}
process.stdout.write(wrong.slice(0, 50).map((text) => `${text}\n`).join(""));
