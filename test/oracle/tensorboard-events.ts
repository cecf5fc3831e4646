// Writes the event file that test/oracle/tensorboard_read.py reads: npx tsx test/oracle/tensorboard-events.ts FILE

import { writeFileSync } from "node:fs";
import { events } from "../support/tensorboard-run.js";

writeFileSync(process.argv[2]!, events());
