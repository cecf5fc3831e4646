// A WebAssembly module whose memory may be smaller. QuickJS as compiled asks for 16 MB, of which a program touches less than
// one, Pyodide for 30, and every byte of it is written back before the next program: half of what a small program costs.

/** Of 64 kB. */
export const pagesPerMb = 16;

/** What a JavaScript interpreter starts with: with the stack in it, room for some 2 MB of objects before it grows. */
export const initialPages = 8 * pagesPerMb;

/** What Pyodide's own data and stack take; it grows as it starts. */
export const pythonPages = 16 * pagesPerMb;

const [imports, memories] = [2, 5];

/** Bytes of the memory's least size in a module, imported or its own, and where they are. */
function leastSizeIn(wasm: Uint8Array): { at: number; length: number } {
  let at = 8;
  const whole = (): number => {
    let [value, shift] = [0, 0];
    for (;;) {
      const byte = wasm[at++]!;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
      shift += 7;
    }
  };
  const size = () => {
    const start = ++at;
    whole();
    return { at: start, length: at - start };
  };
  const skipLimits = () => {
    const flags = wasm[at++]!;
    whole();
    if (flags & 1) whole();
  };
  while (at < wasm.length) {
    const section = wasm[at++]!;
    const end = whole() + at;
    if (section === memories && whole() > 0) return size();
    if (section !== imports) {
      at = end;
      continue;
    }
    for (let left = whole(); left > 0; left--) {
      for (let name = 0; name < 2; name++) at = whole() + at;
      const kind = wasm[at++]!;
      if (kind === 2) return size();
      // A function's type, a table, a global.
      if (kind === 0) whole();
      else if (kind === 1) {
        at++;
        skipLimits();
      } else at += 2;
    }
  }
  throw new Error("the module has no memory");
}

/** The module's bytes with a memory of `pages` (64 kB each) at least; the length of the module stays. */
export function withLeastMemory(wasm: Uint8Array, pages: number): Uint8Array<ArrayBuffer> {
  const { at, length } = leastSizeIn(wasm);
  if (pages >= 2 ** (7 * length))
    throw new Error(`${pages} pages do not fit where the module says how many it needs`);
  const smaller = new Uint8Array(wasm);
  for (let i = 0; i < length; i++)
    smaller[at + i] = (Math.floor(pages / 2 ** (7 * i)) & 127) | (i < length - 1 ? 128 : 0);
  return smaller;
}
