// A small run for the test of TensorBoard's event files and its oracle.

import { tensorboardEvents } from "../../src/dashboard/tensorboard.js";
import type { Rollout } from "../../src/run/metrics.js";

export const metrics: { step: number; loss: number; [other: string]: number | string | null }[] = [
  { step: 1, loss: 2.5, "tasks/chat/reward": -0.125, note: "no figure" },
  { step: 2, loss: 1.25, "tasks/chat/reward": null },
  { step: 300, loss: 1e-3, "tasks/chat/reward": 0.5 },
];

const rollout = (step: number, response: string): Rollout => ({
  step,
  task: "chat",
  prompt: "Grüße?\nsecond line",
  response,
  finish_reason: "stop",
  tokens: 3,
  reward: 0.5,
  outcome: "satisfied",
  verdicts: {},
});

export const events = () =>
  tensorboardEvents(metrics, {
    end: 1_700_000_010,
    timings: [
      { step: 2, step_time: 4 },
      { step: 300, step_time: 6 },
    ],
    rollouts: [
      rollout(2, "first"),
      rollout(2, "<b>second</b>\n# no heading"),
      rollout(2, "third, not shown"),
    ],
  });
