/** The script for fish. */
import type { Option, Value, Word } from './vocabulary.ts';

export function fishScript(words: readonly Word[]): string {
  const lines = [
    '# fish completion of pointsman, written by: pointsman completion fish',
    'complete -c pointsman -f',
    "complete -c pointsman -n __fish_use_subcommand -s h -l help -d 'list the commands'",
    "complete -c pointsman -n __fish_use_subcommand -s v -l version -d 'print version and commit'",
  ];
  for (const word of words) {
    lines.push(`complete -c pointsman -n __fish_use_subcommand -a ${word.name} -d '${word.summary}'`);
    const here = `__fish_seen_subcommand_from ${word.name}`;
    if (word.takesFiles) lines.push(`complete -c pointsman -n '${here}' -F`);
    for (const option of word.options) lines.push(optionLine(here, option));
    const inner = word.words.map(({ name }) => name).join(' ');
    const known = new Set(word.options.map(({ long }) => long));
    for (const { name, summary, options } of word.words) {
      lines.push(
        `complete -c pointsman -n '${here}; and not __fish_seen_subcommand_from ${inner}' -a ${name} -d '${summary}'`,
      );
      for (const option of options) {
        if (!known.has(option.long)) {
          lines.push(optionLine(`${here}; and __fish_seen_subcommand_from ${name}`, option));
        }
      }
    }
  }
  return `${lines.join('\n')}\n`;
}

function optionLine(condition: string, { short, long, value, summary }: Option): string {
  const letter = short === undefined ? '' : ` -s ${short.slice(1)}`;
  const text = summary === '' ? '' : ` -d '${summary}'`;
  return `complete -c pointsman -n '${condition}'${letter} -l ${long.slice(2)}${argumentOf(value)}${text}`;
}

function argumentOf(value: Value | undefined): string {
  switch (value?.kind) {
    case undefined:
      return '';
    case 'text':
      return ' -x';
    case 'words':
      return ` -x -a '${value.words.join(' ')}'`;
    case 'file':
      return ' -r -F';
    case 'directory':
      return " -x -a '(__fish_complete_directories)'";
  }
}
