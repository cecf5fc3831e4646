// The OpenAPI 3.1 description of whatever is served, from the routes themselves.

import { z } from "zod";
import type { Dialect } from "./route.js";

export function openApi(dialects: readonly Dialect[], version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const { name, routes } of dialects)
    for (const { method, path, summary, body, isOpen } of routes) {
      const place = path.replace(/:(\w+)/g, "{$1}");
      const parameters = [...path.matchAll(/:(\w+)/g)].map(([, parameter]) => ({
        name: parameter,
        in: "path",
        required: true,
        schema: { type: "string" },
      }));
      paths[place] = {
        ...paths[place],
        [method.toLowerCase()]: {
          summary,
          tags: [name],
          ...(parameters.length > 0 && { parameters }),
          ...(body && {
            requestBody: {
              required: true,
              content: {
                "application/json": { schema: z.toJSONSchema(body, { unrepresentable: "any", io: "input" }) },
              },
            },
          }),
          ...(isOpen && { security: [] }),
          responses: {
            200: { description: "Done." },
            default: { description: `An error as ${name} says it.` },
          },
        },
      };
    }
  return {
    openapi: "3.1.0",
    info: { title: "Touchstone reward server", version },
    paths,
    components: { securitySchemes: { bearer: { type: "http", scheme: "bearer" } } },
    security: [{ bearer: [] }, {}],
  };
}
