// Keys that this process sends to servers. A server that repeats one in its reply must not get it into a log, a rollout
// or an error message, so that texts from outside are cleaned of every key that is known.

const known = new Set<string>();

/** A shorter word would also be found where it is no secret. */
const shortest = 8;

/** Remembers a key; from now on `redact` takes it out. */
export function keepSecret(secret: string): void {
  if (secret.length < shortest) return;
  known.add(secret);
  known.add(encodeURIComponent(secret));
  known.add(JSON.stringify(secret).slice(1, -1));
  const padded = Buffer.from(secret).toString("base64");
  // The longest first, so that no padding is left over.
  for (const text of [padded, padded.replace(/=+$/, ""), Buffer.from(secret).toString("base64url")])
    known.add(text);
}

/** The text without any known key. */
export function redact(text: string): string {
  let clean = text;
  for (const secret of known) if (clean.includes(secret)) clean = clean.replaceAll(secret, "[redacted]");
  return clean;
}
