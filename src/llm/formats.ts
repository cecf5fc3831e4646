// Ways to ask a server for JSON, the strictest first. Servers know some of them and refuse the others by status 400 or 422.

export const jsonForms = ["json_schema", "flat_schema", "json_object", "text"] as const;
export type JsonForm = (typeof jsonForms)[number];

/** What a request says to ask for JSON of this schema in this form. */
export function responseFormat(
  form: JsonForm,
  { name, schema }: { name: string; schema: Record<string, unknown> },
): object {
  if (form === "json_schema")
    return { response_format: { type: "json_schema", json_schema: { name, schema, strict: true } } };
  if (form === "flat_schema") return { response_format: { type: "json_schema", schema } };
  return form === "json_object" ? { response_format: { type: "json_object" } } : {};
}
