// Where the page is: everything that a view depends on stands in the address, so that every view has a permalink.

import { useEffect, useState } from "preact/hooks";

export interface Route {
  view: string;
  params: URLSearchParams;
}

const read = (): Route => {
  const [view = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  return { view: view || "runs", params: new URLSearchParams(query) };
};

/** The address of a view. Empty and absent values are left out; a list becomes a repeated key. */
export function linkTo(
  view: string,
  params: Record<string, string | readonly string[] | undefined> = {},
): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(params))
    for (const one of Array.isArray(value) ? value : [value]) if (one) query.append(key, one);
  const text = query.toString();
  return `#/${view}${text && `?${text}`}`;
}

/** The same view with some values changed; undefined or "" removes one. */
export function linkWith({ view, params }: Route, changes: Record<string, string | undefined>): string {
  const query = new URLSearchParams(params);
  for (const [key, value] of Object.entries(changes)) {
    query.delete(key);
    if (value) query.set(key, value);
  }
  const text = query.toString();
  return `#/${view}${text && `?${text}`}`;
}

/** Goes there; `replace`: without a step of its own in the history. */
export function go(link: string, { replace = false } = {}): void {
  if (replace) history.replaceState(null, "", link);
  else history.pushState(null, "", link);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

export function useRoute(): Route {
  const [route, setRoute] = useState(read);
  useEffect(() => {
    const onChange = () => setRoute(read());
    addEventListener("hashchange", onChange);
    return () => removeEventListener("hashchange", onChange);
  }, []);
  return route;
}
