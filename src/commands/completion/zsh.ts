/** The script for zsh, a function of its completion system. */
import type { Option, Value, Word } from './vocabulary.ts';

export function zshScript(words: readonly Word[]): string {
  const top: Option[] = [
    { short: '-h', long: '--help', value: undefined, summary: 'list the commands' },
    { short: '-v', long: '--version', value: undefined, summary: 'print version and commit' },
  ];
  const values: string[] = [];
  const lists = [caseOf(':', words, top)];
  const seen: string[] = [];
  for (const word of words) {
    lists.push(caseOf(`${word.name}:`, word.words, word.options));
    values.push(...valuesOf(`${word.name}:*`, word.options));
    for (const inner of word.words) {
      seen.push(`${word.name}:${inner.name}`);
      const own = new Set(inner.options.map(({ long }) => long));
      const options = [...inner.options, ...word.options.filter(({ long }) => !own.has(long))];
      lists.push(caseOf(`${word.name}:${inner.name}`, [], options));
      values.push(...valuesOf(`${word.name}:${inner.name}`, inner.options));
    }
  }
  const files = words.filter((word) => word.takesFiles).map(({ name }) => name);
  return `#compdef pointsman
# zsh completion of pointsman, written by: pointsman completion zsh
_pointsman() {
  local command='' word='' prev=$words[CURRENT-1] i
  local -a list options
  for ((i = 2; i < CURRENT; i++)); do
    case $words[i] in
      -*) ;;
      *)
        if [[ -z $command ]]; then
          command=$words[i]
        else
          case "$command:$words[i]" in
            (${seen.join('|')}) [[ -z $word ]] && word=$words[i] ;;
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
  (( $#list )) && _describe command list
  (( $#options )) && _describe -o option options
  case $command in
    (${files.join('|')}) _files ;;
  esac
}
if [[ $funcstack[1] = _pointsman ]]; then
  _pointsman "$@"
else
  compdef _pointsman pointsman
fi
`;
}

function caseOf(pattern: string, words: readonly Word[], options: readonly Option[]): string {
  const describe = (name: string, summary: string) => `'${name}${summary === '' ? '' : `:${summary}`}'`;
  const list = words.map(({ name, summary }) => describe(name, summary));
  const flags = options.map(({ long, summary }) => describe(long, summary));
  return `    (${pattern}) list=(${list.join(' ')}); options=(${flags.join(' ')}) ;;`;
}

function valuesOf(where: string, options: readonly Option[]): string[] {
  return options.flatMap(({ short, long, value }) => {
    if (value === undefined) return [];
    const patterns = [long, ...(short === undefined ? [] : [short])].map((name) => `${where}:${name}`);
    return [`    (${patterns.join('|')}) ${replyOf(value)} return ;;`];
  });
}

function replyOf(value: Value): string {
  switch (value.kind) {
    case 'text':
      return '_message value;';
    case 'words':
      return `compadd -- ${value.words.join(' ')};`;
    case 'file':
      return '_files;';
    case 'directory':
      return '_files -/;';
  }
}
