// The registry of the task families.

import { drawArithmetic } from "./arithmetic.js";
import { drawCode } from "./code.js";
import { drawEngagement } from "./engagement.js";
import type { DrawTask, FamilyName } from "./family.js";
import { drawInstructions } from "./instructions.js";
import { drawSafety } from "./safety.js";
import { drawWriting } from "./writing.js";

export const families: Readonly<Record<FamilyName, DrawTask>> = {
  writing: drawWriting,
  arithmetic: drawArithmetic,
  code: drawCode,
  instructions: drawInstructions,
  engagement: drawEngagement,
  safety: drawSafety,
};
