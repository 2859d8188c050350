// What @actions/expressions makes of expressions: one JSON object {expression, contexts} a line, one answer a line.
// With `bench SECONDS` as arguments: evaluates all again and again and prints {"evaluations": N, "seconds": S}.
import { createInterface } from "node:readline";
import { data, Evaluator, Lexer, Parser } from "@actions/expressions";

function encode(value) {
  switch (value.kind) {
    case data.Kind.Null: return null;
    case data.Kind.Boolean:
    case data.Kind.String: return value.value;
    case data.Kind.Number: return { number: String(value.value) };
    case data.Kind.Array: return value.values().map(encode);
    default: return { object: value.pairs().map(({ key, value }) => [key, encode(value)]) };
  }
}

function parse({ expression, contexts }) {
  const values = JSON.parse(JSON.stringify(contexts), data.reviver);
  const tree = new Parser(new Lexer(expression).lex().tokens, Object.keys(contexts), []).parse();
  return { tree, values };
}

function read(input) {
  let parsed;
  try {
    parsed = parse(input);
  } catch (error) {
    return { error: "parsing", message: error.message };
  }
  try {
    const { tree, values } = parsed;
    return { value: tree === undefined ? null : encode(new Evaluator(tree, values).evaluate()) };
  } catch (error) {
    return { error: "evaluation", message: error.message };
  }
}

const inputs = [];
for await (const line of createInterface({ input: process.stdin })) inputs.push(JSON.parse(line));
if (process.argv[2] === "bench") {
  const parsed = inputs.map(parse);
  const once = () => parsed.forEach(({ tree, values }) => new Evaluator(tree, values).evaluate());
  const warmUntil = performance.now() + 1000;
  while (performance.now() < warmUntil) once();
  const start = performance.now();
  let rounds = 0;
  while (performance.now() < start + Number(process.argv[3]) * 1000) {
    once();
    rounds += 1;
  }
  console.log(JSON.stringify({ evaluations: rounds * parsed.length, seconds: (performance.now() - start) / 1000 }));
} else {
  for (const input of inputs) console.log(JSON.stringify(read(input)));
}
