// What may stand before the path of any route: a token for clients that send no header, the task for protocols that have
// no word for it, and the id that an observed NeMo Gym run puts there.
//   /t/<token>/task/<name>/get_reward

export interface Address {
  /** Path and query of the route. */
  url: string;
  token?: string;
  task?: string;
}

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

/** Takes the prefixes off a request's path and query. */
export function addressOf(url: string): Address {
  const address: Address = { url };
  for (;;) {
    const match = /^\/(t|task|ng-rollout)\/([^/?]+)(?=\/|\?|$)/.exec(address.url);
    if (!match) break;
    const [whole, kind, value] = match;
    if (kind === "t") address.token = decoded(value!);
    if (kind === "task") address.task = decoded(value!);
    const rest = address.url.slice(whole.length);
    address.url = rest.startsWith("/") ? rest : `/${rest}`;
  }
  // OpenRLHF's address is a whole one, to which a token can only be added.
  const tail = /^\/get_reward\/([^/?]+)/.exec(address.url);
  if (tail) {
    address.token ??= decoded(tail[1]!);
    address.url = `/get_reward${address.url.slice(tail[0].length)}`;
  }
  const at = address.url.indexOf("?");
  if (at >= 0) {
    const query = new URLSearchParams(address.url.slice(at));
    address.token ??= query.get("token") ?? undefined;
    address.task ??= query.get("task") ?? undefined;
  }
  return address;
}
