// The baseline of `expressions`: @actions/expressions, warm, on the same expressions, parsed once.
// Usage: node expressions.mjs SECONDS < {"contexts": …, "expressions": […]}   Prints {"evaluations": N, "seconds": S}.
import { readFileSync } from "node:fs";
import { data, Evaluator, Lexer, Parser } from "@actions/expressions";

const seconds = Number(process.argv[2]);
const { contexts, expressions } = JSON.parse(readFileSync(0, "utf8"));
const values = JSON.parse(JSON.stringify(contexts), data.reviver);
const trees = expressions.map((text) => new Parser(new Lexer(text).lex().tokens, Object.keys(contexts), []).parse());
const once = () => trees.forEach((tree) => new Evaluator(tree, values).evaluate());

const warmUntil = performance.now() + 1000;
while (performance.now() < warmUntil) once();
const start = performance.now();
let rounds = 0;
while (performance.now() < start + seconds * 1000) {
  once();
  rounds += 1;
}
console.log(JSON.stringify({ evaluations: rounds * trees.length, seconds: (performance.now() - start) / 1000 }));
