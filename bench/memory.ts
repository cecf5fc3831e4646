// What a process of the benchmarks says of its own memory.

import { readFileSync } from "node:fs";

function kilobytes(field: string): number | null {
  if (process.platform !== "linux") return null;
  const line = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync("/proc/self/status", "utf8"));
  return line ? Number(line[1]) : null;
}

/** VmHWM is the peak since the last reset; elsewhere than on Linux there is only the peak since the start. */
export function memoryFigures() {
  const peak = kilobytes("VmHWM") ?? process.resourceUsage().maxRSS;
  return { peakMb: peak / 1024, rssMb: process.memoryUsage.rss() / 2 ** 20 };
}
