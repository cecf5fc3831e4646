// Completion for shells, made from commander's tree of verbs, so that it can never name a flag that there is not. Where
// nothing of it fits, the shell completes files.

import type { Command, Option } from "commander";

/** A verb, or a part of one, as a shell needs it. */
interface Node {
  /** The names that lead to it: "warm inspect"; empty for the program itself. */
  path: string;
  /** Below it: name (and alias) and the path that it leads to. */
  children: { names: string[]; path: string; summary: string }[];
  flags: { names: string[]; summary: string; choices: string[]; takesValue: boolean }[];
  /** The words that its first argument may be. */
  choices: string[];
}

const flagOf = ({ short, long, description, argChoices, required, optional }: Option) => ({
  names: [short, long].filter((name) => name !== undefined && name !== null),
  summary: description,
  choices: argChoices ?? [],
  takesValue: required || optional,
});

function nodesOf(command: Command, path = ""): Node[] {
  const below = command.commands.map((child) => ({
    child,
    path: path === "" ? child.name() : `${path} ${child.name()}`,
  }));
  const node: Node = {
    path,
    children: below.map(({ child, path: at }) => ({
      names: [child.name(), ...child.aliases()],
      path: at,
      summary: child.summary() || child.description(),
    })),
    flags: [
      ...command.options.map(flagOf),
      { names: ["--help"], summary: "explain", choices: [], takesValue: false },
    ],
    choices: command.registeredArguments[0]?.argChoices ?? [],
  };
  return [node, ...below.flatMap(({ child, path: at }) => nodesOf(child, at))];
}

/** A text in single quotes, as all three shells read it. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const fishQuoted = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

/** The cases by which bash and zsh find the verb of a line that is being typed: `at` is the path so far. */
const descent = (nodes: readonly Node[]): string[] =>
  nodes.flatMap(({ path, children }) =>
    children.map(
      ({ names, path: at }) =>
        `      ${names.map((name) => quoted(`${path}:${name}`)).join("|")}) at=${quoted(at)} ;;`,
    ),
  );

/** The cases of values: what may follow a flag that has choices. */
const values = (nodes: readonly Node[]): string[] =>
  nodes.flatMap(({ path, flags }) =>
    flags
      .filter(({ choices }) => choices.length > 0)
      .map(
        ({ names, choices }) =>
          `    ${names.map((name) => quoted(`${path}:${name}`)).join("|")}) words=${quoted(choices.join(" "))} ;;`,
      ),
  );

/** The cases of words: flags behind a dash, else the verbs below. */
const words = (nodes: readonly Node[]): string[] =>
  nodes.flatMap(({ path, flags, children, choices }) => [
    `      ${quoted(`${path}:flags`)}) words=${quoted(flags.flatMap(({ names }) => names).join(" "))} ;;`,
    `      ${quoted(`${path}:words`)}) words=${quoted([...children.flatMap(({ names }) => names), ...choices].join(" "))} ;;`,
  ]);

const search = (nodes: readonly Node[], typed: string) => `  for word in ${typed}; do
    case "$at:$word" in
${descent(nodes).join("\n")}
    esac
  done
  case "$at:$before" in
${values(nodes).join("\n")}
    *)
      kind=words
      [[ "$current" == -* ]] && kind=flags
      case "$at:$kind" in
${words(nodes).join("\n")}
      esac ;;
  esac`;

const bash = (nodes: readonly Node[]) => `# touchstone completion bash >> ~/.bashrc
_touchstone() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" at='' word words='' kind
${search(nodes, '"${COMP_WORDS[@]:1:COMP_CWORD-1}"')}
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o bashdefault -o default -F _touchstone touchstone
`;

const zsh = (nodes: readonly Node[]) => `#compdef touchstone
# touchstone completion zsh > "\${fpath[1]}/_touchstone"
_touchstone() {
  local current="\${words[CURRENT]}" before="\${words[CURRENT-1]}" at='' word kind
  local -a typed=("\${(@)words[2,CURRENT-1]}")
  local words=''
${search(nodes, '"${typed[@]}"')}
  if [[ -n "$words" ]]; then compadd -- \${(s: :)words}; fi
  [[ "$current" == -* ]] || _files
}
if [[ "$funcstack[1]" == _touchstone ]]; then _touchstone "$@"; else compdef _touchstone touchstone; fi
`;

/** In fish a condition says behind which verbs a word stands. */
function fish(nodes: readonly Node[]): string {
  const lines = nodes.flatMap(({ path, children, flags, choices }) => {
    const steps = path === "" ? [] : path.split(" ");
    const seen = steps.map((step) => `__fish_seen_subcommand_from ${step}`);
    const names = children.flatMap((child) => child.names);
    const none = names.length === 0 ? [] : [`not __fish_seen_subcommand_from ${names.join(" ")}`];
    const line = (conditions: readonly string[], rest: string) =>
      `complete -c touchstone${conditions.length > 0 ? ` -n ${fishQuoted(conditions.join("; and "))}` : ""} ${rest}`;
    return [
      ...children.flatMap(({ names: own, summary }) =>
        own.map((name) => line([...seen, ...none], `-a ${fishQuoted(name)} -d ${fishQuoted(summary)}`)),
      ),
      ...choices.map((word) => line(seen, `-a ${fishQuoted(word)}`)),
      ...flags.map(({ names: own, summary, choices: allowed, takesValue }) => {
        const written = own.map((name) =>
          name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`,
        );
        const value =
          allowed.length > 0 ? ` -x -a ${fishQuoted(allowed.join(" "))}` : takesValue ? " -r" : "";
        return line([...seen, ...none], `${written.join(" ")}${value} -d ${fishQuoted(summary)}`);
      }),
    ];
  });
  return `# touchstone completion fish > ~/.config/fish/completions/touchstone.fish\n${lines.join("\n")}\n`;
}

const shells = { bash, zsh, fish };

export type Shell = keyof typeof shells;
export const SHELLS = Object.keys(shells) as Shell[];

/** The script that a shell reads once. */
export const completionScript = (shell: Shell, program: Command): string => shells[shell](nodesOf(program));
