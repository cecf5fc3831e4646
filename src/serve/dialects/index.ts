// Every protocol that the server speaks.

import type { Dialect } from "../route.js";
import { native } from "./native.js";

export const dialects: readonly Dialect[] = [native];
