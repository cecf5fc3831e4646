// A response token by token: how much likelier the policy makes each than the reference does.

import { formatEstimate } from "../../src/dashboard/numbers.js";
import type { Row } from "./api.js";

interface Token {
  text: string;
  /** log(pi_w / pi_ref), nats. */
  logRatio: number;
}

/** Nats from which a token has the full colour. */
const FULL = 2;

/** The tokens of a row that holds them (`rollouts: { tokens: n }`). */
export function tokensOf({ token_texts: texts, token_log_ratios: ratios }: Row): Token[] | undefined {
  if (!Array.isArray(texts) || !Array.isArray(ratios) || texts.length !== ratios.length) return undefined;
  return texts.map((text, i) => ({ text: String(text), logRatio: Number(ratios[i]) }));
}

/** Blue: likelier under the policy. Orange: less likely. Never so dark that the text is hard to read. */
function colour(logRatio: number): string {
  const part = Math.round(40 * Math.min(1, Math.abs(logRatio) / FULL));
  return part === 0
    ? "transparent"
    : `color-mix(in srgb, var(--c${logRatio > 0 ? 0 : 1}) ${part}%, transparent)`;
}

const shown = (logRatio: number) => `${logRatio > 0 ? "+" : ""}${formatEstimate(logRatio, [-0.1, 0.1])}`;

export function Tokens({ tokens }: { tokens: readonly Token[] }) {
  return (
    <>
      <p>
        Background: log-ratio of each token to the reference, nats;{" "}
        <span style={{ background: colour(FULL) }}>likelier under the policy</span>,{" "}
        <span style={{ background: colour(-FULL) }}>less likely</span>, full from {FULL} on. Point at a token
        for its figure.
      </p>
      <div class="text tokens">
        {tokens.map(({ text, logRatio }, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: tokens have no other name
          <span key={i} title={shown(logRatio)} style={{ background: colour(logRatio) }}>
            {text}
          </span>
        ))}
      </div>
      <details>
        <summary>tokens as a table</summary>
        <table>
          <thead>
            <tr>
              <th scope="col" class="n">
                token
              </th>
              <th scope="col">text</th>
              <th scope="col" class="n">
                log-ratio, nats
              </th>
            </tr>
          </thead>
          <tbody>
            {tokens.map(({ text, logRatio }, i) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: tokens have no other name
              <tr key={i}>
                <td class="n">{i + 1}</td>
                <td>
                  <code>{JSON.stringify(text).slice(1, -1)}</code>
                </td>
                <td class="n">{shown(logRatio)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </>
  );
}
