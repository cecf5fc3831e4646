// A loader that says on stderr what is loaded.

export async function load(url, context, nextLoad) {
  process.stderr.write(`${url}\n`);
  return nextLoad(url, context);
}
