// What a run of hostile programs says while it goes on and at its end.

import type { HostileReport } from "./families.js";

/** The exit code. */
export async function printed(
  check: (onProgress: (done: number, report: HostileReport) => void) => Promise<HostileReport>,
): Promise<number> {
  const report = await check((done, { programs, forged, broken, lasting }) => {
    if (done % 100 !== 0) return;
    console.log(
      `${done} of ${programs}: ${forged.length} forged, ${broken.length} broken, ${lasting.length} lasting`,
    );
    for (const found of [...forged, ...broken, ...lasting]) console.log(found);
  });
  console.log(JSON.stringify(report, null, 1));
  return report.forged.length + report.broken.length + report.lasting.length === 0 ? 0 : 1;
}
