// Python's `datetime.now().strftime(format)` in the C locale, for local time without a zone.

const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const months = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

const two = (value: number, fill = "0"): string => String(value).padStart(2, fill);

/** Days since the first of January, from 0. */
function dayOfYear(time: Date): number {
  const start = Date.UTC(time.getFullYear(), 0, 1);
  return Math.round((Date.UTC(time.getFullYear(), time.getMonth(), time.getDate()) - start) / 86_400_000);
}

/** Year and week of ISO 8601. */
function isoWeek(time: Date): { year: number; week: number } {
  const thursday = new Date(Date.UTC(time.getFullYear(), time.getMonth(), time.getDate()));
  thursday.setUTCDate(thursday.getUTCDate() + 4 - (thursday.getUTCDay() || 7));
  const year = thursday.getUTCFullYear();
  const week = Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / 604_800_000) + 1;
  return { year, week };
}

const directives: Record<string, (time: Date) => string> = {
  a: (t) => days[t.getDay()]!.slice(0, 3),
  A: (t) => days[t.getDay()]!,
  b: (t) => months[t.getMonth()]!.slice(0, 3),
  B: (t) => months[t.getMonth()]!,
  c: (t) => strftime(t, "%a %b %e %H:%M:%S %Y"),
  C: (t) => two(Math.floor(t.getFullYear() / 100)),
  d: (t) => two(t.getDate()),
  D: (t) => strftime(t, "%m/%d/%y"),
  e: (t) => two(t.getDate(), " "),
  f: (t) => String(t.getMilliseconds() * 1000).padStart(6, "0"),
  F: (t) => strftime(t, "%Y-%m-%d"),
  G: (t) => String(isoWeek(t).year),
  H: (t) => two(t.getHours()),
  I: (t) => two(t.getHours() % 12 || 12),
  j: (t) => String(dayOfYear(t) + 1).padStart(3, "0"),
  m: (t) => two(t.getMonth() + 1),
  M: (t) => two(t.getMinutes()),
  n: () => "\n",
  p: (t) => (t.getHours() < 12 ? "AM" : "PM"),
  r: (t) => strftime(t, "%I:%M:%S %p"),
  R: (t) => strftime(t, "%H:%M"),
  s: (t) => String(Math.floor(t.getTime() / 1000)),
  S: (t) => two(t.getSeconds()),
  t: () => "\t",
  T: (t) => strftime(t, "%H:%M:%S"),
  u: (t) => String(t.getDay() || 7),
  U: (t) => two(Math.floor((dayOfYear(t) + 7 - t.getDay()) / 7)),
  V: (t) => two(isoWeek(t).week),
  w: (t) => String(t.getDay()),
  W: (t) => two(Math.floor((dayOfYear(t) + 7 - ((t.getDay() + 6) % 7)) / 7)),
  x: (t) => strftime(t, "%m/%d/%y"),
  X: (t) => strftime(t, "%H:%M:%S"),
  y: (t) => two(t.getFullYear() % 100),
  Y: (t) => String(t.getFullYear()),
  z: () => "",
  Z: () => "",
  "%": () => "%",
};
directives.h = directives.b!;

/** With glibc's flags: `-` for no padding, `_` for blanks, `0` for zeros, `^` for capitals. */
export function strftime(time: Date, format: string): string {
  return format.replace(/%([-_0^]?)([A-Za-z%])/g, (whole, flag: string, letter: string) => {
    const directive = Object.hasOwn(directives, letter) ? directives[letter]! : undefined;
    if (!directive) return whole;
    const text = directive(time);
    if (flag === "-") return /^[0 ]+(?=\d)/.test(text) ? text.replace(/^[0 ]+(?=\d)/, "") : text;
    if (flag === "_") return text.replace(/^0+(?=\d)/, (zeros) => " ".repeat(zeros.length));
    if (flag === "0") return text.replace(/^ +/, (blanks) => "0".repeat(blanks.length));
    return flag === "^" ? text.toUpperCase() : text;
  });
}
