/** The script for bash 4.4 and newer; it needs nothing of the bash-completion package. */
import type { Option, Value, Word } from './vocabulary.ts';

export function bashScript(words: readonly Word[]): string {
  const values: string[] = [];
  const lists: string[] = [`    :) list='${names(words)} --help --version' ;;`];
  const seen: string[] = [];
  const files: string[] = [];
  for (const word of words) {
    const list = [names(word.words), longs(word.options)].filter(Boolean).join(' ');
    lists.push(`    ${word.name}:) list='${list}' ;;`);
    values.push(...valuesOf(`${word.name}:*`, word.options));
    if (word.takesFiles) files.push(word.name);
    for (const inner of word.words) {
      seen.push(`${word.name}:${inner.name}`);
      const all = [...new Set([...inner.options, ...word.options].map(({ long }) => long))].join(' ');
      lists.push(`    ${word.name}:${inner.name}) list='${all}' ;;`);
      values.push(...valuesOf(`${word.name}:${inner.name}`, inner.options));
    }
  }
  return `# bash completion of pointsman, written by: pointsman completion bash
_pointsman() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]}
  local command='' word='' list='' i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      -*) ;;
      *)
        if [[ -z $command ]]; then
          command=\${COMP_WORDS[i]}
        else
          case "$command:\${COMP_WORDS[i]}" in
            ${seen.join(' | ')}) [[ -z $word ]] && word=\${COMP_WORDS[i]} ;;
          esac
        fi
        ;;
    esac
  done
  case "$command:$word:$prev" in
${values.join('\n')}
  esac
  case "$command:$word" in
${lists.join('\n')}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$list" -- "$cur")
  case $command in
    ${files.join(' | ')})
      compopt -o filenames 2>/dev/null
      mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur")
      ;;
  esac
}
complete -F _pointsman pointsman
`;
}

function names(words: readonly Word[]): string {
  return words.map(({ name }) => name).join(' ');
}

function longs(options: readonly Option[]): string {
  return options.map(({ long }) => long).join(' ');
}

function valuesOf(where: string, options: readonly Option[]): string[] {
  return options.flatMap(({ short, long, value }) => {
    if (value === undefined) return [];
    const patterns = [long, ...(short === undefined ? [] : [short])].map((name) => `${where}:${name}`);
    return [`    ${patterns.join(' | ')}) ${replyOf(value)} return ;;`];
  });
}

function replyOf(value: Value): string {
  switch (value.kind) {
    case 'text':
      return '';
    case 'words':
      return `mapfile -t COMPREPLY < <(compgen -W '${value.words.join(' ')}' -- "$cur");`;
    default: {
      const flag = value.kind === 'file' ? '-f' : '-d';
      return `compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen ${flag} -- "$cur");`;
    }
  }
}
