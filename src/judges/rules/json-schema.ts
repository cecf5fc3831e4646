// JSON Schema by ajv: draft 2020-12, 2019-09 or draft-07, as `$schema` says; without it 2020-12, or draft-07 where only that
// draft knows the keywords. Strict: a keyword that the draft does not know is an error of the schema. Patterns run on RE2, so that
// no response can hang them.

import { Ajv } from "ajv";
import { Ajv2019 } from "ajv/dist/2019.js";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { RE2JS } from "re2js";
import { UserError } from "../../base/errors.js";
import { errorMessage } from "../verdict.js";

/** What is wrong with a value, or undefined. */
export type SchemaCheck = (value: unknown) => string | undefined;

const regExp = Object.assign(
  (source: string) => {
    const pattern = RE2JS.compile(source);
    // ajv tells patterns apart by their text.
    return { test: (text: string) => pattern.test(text), toString: () => source };
  },
  { code: "re2" },
);

const options = {
  strict: true,
  strictTypes: false,
  strictTuples: false,
  strictRequired: false,
  allowUnionTypes: true,
  logger: false,
  // 0.29 / 0.01 is 28.999999999999996.
  multipleOfPrecision: 9,
  code: { regExp },
} as const;

const drafts = { "2020-12": Ajv2020, "2019-09": Ajv2019, "draft-07": Ajv } as const;

function draftsFor({ $schema }: Record<string, unknown>): (keyof typeof drafts)[] {
  if ($schema === undefined) return ["2020-12", "draft-07"];
  const named = Object.keys(drafts).find((draft) => String($schema).includes(draft));
  if (named) return [named as keyof typeof drafts];
  throw new UserError(
    `option "json_schema" cannot be used: its $schema is ${JSON.stringify($schema)}; known are ${Object.keys(drafts).join(", ")}`,
  );
}

/** The check that a JSON Schema describes. */
export function compileSchema(schema: Record<string, unknown>): SchemaCheck {
  let problem = "";
  for (const draft of draftsFor(schema)) {
    const ajv = new drafts[draft](options);
    formats.default(ajv as Ajv);
    try {
      const validate = ajv.compile(schema);
      // Its answer would be a promise, which is always true.
      if ("$async" in validate) throw new Error("it is asynchronous");
      return (value) => {
        try {
          if (validate(value)) return undefined;
        } catch (error) {
          if (error instanceof RangeError) return "the JSON is nested too deeply for the schema";
          throw error;
        }
        const { instancePath, message, params } = validate.errors![0]!;
        const detail = Object.values(params as Record<string, unknown>).find(
          (one) => typeof one === "string",
        );
        const extra =
          detail !== undefined && !message!.includes(detail as string) ? ` (${detail as string})` : "";
        return `the JSON breaks the schema at "${instancePath || "/"}": it ${message}${extra}`;
      };
    } catch (error) {
      problem ||= errorMessage(error);
    }
  }
  throw new UserError(`option "json_schema" cannot be used: ${problem}`);
}
