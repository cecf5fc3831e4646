// File patterns as shells and data set cards use them: `*`, `?`, `[...]`, `{a,b}` and `**` for any folders.

export function isGlob(path: string): boolean {
  return /[*?[{]/.test(path);
}

export function globToRegExp(glob: string): RegExp {
  return new RegExp(`^${globSource(glob)}$`);
}

function globSource(glob: string): string {
  return glob.replace(/\*\*\/|\*\*|\{[^{}]*\}|\[[^\]/]+\]|[*?{}[\].+^$()|\\]/g, (token) => {
    if (token === "**/") return "(?:.*/)?";
    if (token === "**") return ".*";
    if (token === "*") return "[^/]*";
    if (token === "?") return "[^/]";
    if (token.length === 1) return `\\${token}`;
    if (token.startsWith("[")) return token.replace("[!", "[^");
    return `(?:${token.slice(1, -1).split(",").map(globSource).join("|")})`;
  });
}
