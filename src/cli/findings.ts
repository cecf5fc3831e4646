// Findings of a check as a person reads them: one line each.

import type { Finding } from "../run/finding.js";

export const MARKS = { ok: "✓", warning: "!", problem: "✗" } as const;

export const findingLine = ({ name, status, detail }: Finding): string =>
  `${MARKS[status]} ${name}: ${detail}`;
