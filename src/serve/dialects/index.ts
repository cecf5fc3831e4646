// Every protocol that the server speaks.

import type { Dialect } from "../route.js";
import { llamaFactory } from "./llama-factory.js";
import { native } from "./native.js";
import { nemoGym } from "./nemo-gym.js";
import { openai } from "./openai.js";
import { openenv } from "./openenv.js";
import { openrlhf } from "./openrlhf.js";
import { ors } from "./ors.js";
import { slime } from "./slime.js";
import { tei } from "./tei.js";
import { vllm } from "./vllm.js";

/** All of them; those with sessions have their own in every server. */
export const allDialects = (): Dialect[] => [
  native,
  openrlhf,
  slime,
  llamaFactory,
  nemoGym(),
  openenv,
  ors(),
  vllm,
  tei,
  openai,
];
