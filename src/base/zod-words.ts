// What zod says where a schema says nothing of its own, in the words of somebody who writes YAML and not JavaScript. Imported
// for its effect by what shows such sentences.

import { config } from "zod/v4/core";

const KINDS: Record<string, string> = {
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  tuple: "a list",
  object: "a mapping (key: value)",
  record: "a mapping (key: value)",
  null: "null",
};

const kindOf = (value: unknown): string => {
  const name = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
  return name === "boolean" ? String(value) : (KINDS[name] ?? name);
};

config({
  customError: (issue) => {
    if (issue.code === "invalid_format" && issue.format === "url")
      return "must be an address such as http://127.0.0.1:8000/v1";
    if (issue.code !== "invalid_type") return undefined;
    const wanted = KINDS[issue.expected] ?? issue.expected;
    return issue.input === undefined
      ? `is missing; give ${wanted}`
      : `must be ${wanted}, not ${kindOf(issue.input)}`;
  },
});
