// A small run for the test of TensorBoard's event files and its oracle.

import { eventsHead, stepEvent } from "../../src/trackers/tensorboard.js";

export const steps = [
  { step: 1, seconds: 1_700_000_000, figures: { loss: 2.5, "tasks/chat/reward": -0.125 }, samples: [] },
  {
    step: 2,
    seconds: 1_700_000_004,
    figures: { loss: 1.25 },
    samples: ["first", "<b>second</b>\n# no heading"],
  },
  { step: 300, seconds: 1_700_000_010, figures: { loss: 1e-3, "tasks/chat/reward": 0.5 }, samples: [] },
] as const;

export const events = () =>
  Buffer.concat([
    eventsHead(1_700_000_000),
    ...steps.map(({ step, seconds, figures, samples }) =>
      stepEvent({
        step,
        seconds,
        figures: Object.entries(figures),
        samples: samples.map((response, i) => ({
          name: `samples/chat/${i + 1}`,
          prompt: "Grüße?\nsecond line",
          response,
          result: "reward 0.5, satisfied",
        })),
      }),
    ),
  ]);
