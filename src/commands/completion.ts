/** `pointsman completion`: a script with which a shell completes commands, options and values. */
import { parseArgs } from 'node:util';
import { bashScript } from './completion/bash.ts';
import { fishScript } from './completion/fish.ts';
import { optionsOf, takesFiles, type Word, wordsOf } from './completion/vocabulary.ts';
import { zshScript } from './completion/zsh.ts';
import { type CommandIo, UsageError } from './io.ts';

const HELP = `Usage: pointsman completion SHELL

Prints a script for the shell, which completes commands, subcommands, options and their values.

Shells:
  bash  pointsman completion bash > ~/.local/share/bash-completion/completions/pointsman
  zsh   pointsman completion zsh > ~/.zfunc/_pointsman, with ~/.zfunc in fpath before compinit
  fish  pointsman completion fish > ~/.config/fish/completions/pointsman.fish

Options:
  -h, --help   this text

Exit codes: 0 printed; 2 wrong usage.
`;

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript } as const;

type Command = (args: readonly string[], io: CommandIo) => Promise<number>;

export interface Listed {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

/**
 * @param commands those of the command line, this one among them
 * @throws UsageError, or a TypeError of `parseArgs`
 */
export function completionOf(commands: readonly Listed[]): Command {
  return async (args, io) => {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { help: { type: 'boolean', short: 'h', default: false } },
    });
    if (values.help) {
      io.stdout(HELP);
      return 0;
    }
    const [shell, ...more] = positionals;
    if (shell === undefined || more.length > 0 || !Object.hasOwn(SCRIPTS, shell)) {
      throw new UsageError(`name the shell: ${Object.keys(SCRIPTS).join(', ')}`);
    }
    const words: Word[] = [];
    for (const command of commands) words.push(await wordOf(command, io));
    io.stdout(SCRIPTS[shell as keyof typeof SCRIPTS](words));
    return 0;
  };
}

/** Asks the command itself for its help, and its subcommands where they have one of their own. */
async function wordOf({ name, summary, load }: Listed, io: CommandIo): Promise<Word> {
  const command = await load();
  const help = await helpOf(command, [], io);
  const words: Word[] = [];
  for (const { name: word, summary: text, options } of wordsOf(help)) {
    const own = await helpOf(command, [word], io);
    words.push({
      name: word,
      summary: text,
      options: own === help ? options : optionsOf(own),
      words: [],
      takesFiles: false,
    });
  }
  return { name, summary, options: optionsOf(help), words, takesFiles: takesFiles(help) };
}

async function helpOf(command: Command, words: readonly string[], io: CommandIo): Promise<string> {
  let text = '';
  const stdout = (more: string) => {
    text += more;
  };
  await command([...words, '--help'], { ...io, stdout, stderr: () => {} });
  return text;
}
