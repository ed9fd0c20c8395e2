/** The demo at work: the processes, the traffic, and the tour over them. */
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { StatusDocument } from '../admin/status.ts';
import { ENOUGH, type Evidence } from './checks.ts';
import { ProxyProcess, Upstream } from './child.ts';
import { type DemoEvent, eventOf, type Tone } from './events.ts';
import type { View } from './frame.ts';
import { type MixEntry, UserCrowd } from './mix.ts';
import { ExpectedPins, type Split } from './placement.ts';
import { demoConfigText, SERVICE, TRACKS, type Track, withCanaryWeight } from './table.ts';
import { openWindow, record, total, type Window } from './tally.ts';
import { type Act, type Facts, moveOf, nextStep, type Pace, type Position, stepAt } from './tour.ts';
import { type Answer, Traffic } from './traffic.ts';
import { viewOf } from './view.ts';

/** Most events kept. */
const MAX_EVENTS = 50;

const RESTART_ATTEMPTS = 10;
const RESTART_PAUSE_MS = 500;

/** Longest that the admin port may take to answer. */
const STATUS_MS = 5_000;

export interface SessionOptions {
  /** Requests per second. */
  readonly rate: number;
  readonly pace: Pace;
  /** Between two looks at the proxy's status. */
  readonly pollMs: number;
  /** Ends with the last step instead of beginning anew. */
  readonly once: boolean;
  readonly onEvent: (event: DemoEvent) => void;
}

export class Session {
  readonly #options: SessionOptions;
  readonly #upstreams = Object.fromEntries(TRACKS.map((track) => [track, new Upstream(track)])) as Readonly<
    Record<Track, Upstream>
  >;
  readonly #crowds = { free: new UserCrowd('free'), paid: new UserCrowd('paid') };
  readonly #pins = { free: new ExpectedPins(SERVICE), paid: new ExpectedPins(SERVICE) };
  readonly #events: DemoEvent[] = [];
  readonly #finished: Window[] = [];
  readonly #stuck: string[] = [];
  readonly #end = Promise.withResolvers<void>();
  #ending = false;
  #directory: string | undefined;
  #configPath = '';
  /** As the demo wrote it; anything else in the file is a person's. */
  #written = '';
  #fileIsTheirs = false;
  #proxy: ProxyProcess | undefined;
  #ports = { traffic: 0, admin: 0 };
  #traffic: Traffic | undefined;
  #status: StatusDocument | undefined;
  #position: Position = { step: 0, state: 'waiting', since: 0 };
  #window: Window = openWindow({ step: 'steady', steady: false, splits: {}, down: new Set() });
  #answered = 0;
  #failed = 0;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** Resolves once the proxy forwards; rejects with one clear message, after which `close` is still to be called. */
  async start(): Promise<void> {
    this.#directory = await mkdtemp(path.join(tmpdir(), 'pointsman-demo-'));
    this.#configPath = path.join(this.#directory, 'pointsman.yaml');
    await Promise.all(TRACKS.map((track) => this.#upstreams[track].start()));
    if (this.#ending) return;
    this.#written = demoConfigText(this.#upstreamPorts());
    await writeFile(this.#configPath, this.#written);
    this.#proxy = new ProxyProcess(this.#configPath, (line) => {
      const event = eventOf(line, Date.now());
      if (event !== undefined) this.#tell(event);
    });
    this.#ports = await this.#proxy.listening();
    this.#traffic = new Traffic(this.#ports.traffic, this.#options.rate, {
      user: (entry) => this.#userFor(entry),
      onAnswer: (entry, user, answer) => this.#onAnswer(entry, user, answer),
    });
    this.#status = await this.#readStatus();
  }

  /**
   * Follows the tour until `stop`, or with `once` to its end. Rejects when the proxy ends by itself.
   *
   * @returns what was counted in whole steps
   */
  async run(): Promise<Evidence> {
    this.#position = { step: 0, state: 'waiting', since: performance.now() };
    this.#open(false);
    this.#traffic?.start();
    while (!this.#ending) {
      await this.#pause(this.#options.pollMs);
      if (this.#ending) break;
      if (this.#proxy?.child.hasExited === true) {
        throw new Error(`the proxy has ended by itself\n${this.#proxy.child.complaint}`);
      }
      await this.#look();
      if (await this.#advance()) break;
    }
    return {
      windows: this.#finished,
      stuck: this.#stuck,
      users: this.#pins.free.size + this.#pins.paid.size,
    };
  }

  /** Ends `run` soon. */
  stop(): void {
    this.#ending = true;
    this.#end.resolve();
  }

  /** Ends every process that was started and removes every file; safe at any time. */
  async close(): Promise<void> {
    this.stop();
    this.#traffic?.close();
    await this.#proxy?.child.stop();
    await Promise.all(TRACKS.map((track) => this.#upstreams[track].stop()));
    if (this.#directory !== undefined) await rm(this.#directory, { recursive: true, force: true });
  }

  get totals(): { readonly answered: number; readonly failed: number } {
    return { answered: this.#answered, failed: this.#failed };
  }

  view(): View {
    return viewOf({
      now: Date.now(),
      position: this.#position,
      fileIsTheirs: this.#fileIsTheirs,
      window: this.#window,
      answered: this.#answered,
      failed: this.#failed,
      users: { free: this.#pins.free.counts(), paid: this.#pins.paid.counts() },
      status: this.#status,
      ports: this.#upstreamPorts(),
      trafficPort: this.#ports.traffic,
      adminPort: this.#ports.admin,
      configPath: this.#configPath,
      events: this.#events,
    });
  }

  // ---- the tour ----

  /** @returns true at the end of the tour */
  async #advance(): Promise<boolean> {
    const { pace, once } = this.#options;
    const position = this.#position;
    await this.#noticeEdits();
    const facts = this.#facts();
    const move = moveOf(position, facts, performance.now(), pace, this.#isEnough());
    if (move === 'stay') return false;
    const step = stepAt(position);
    // Nothing may be under way across a change, or a window would count what was decided in another.
    await this.#traffic?.still();
    this.#close();
    if (move === 'hold') {
      this.#position = { ...position, state: 'holding', since: performance.now() };
      this.#open(true);
      this.#traffic?.start();
      return false;
    }
    if (move === 'stuck') {
      this.#stuck.push(step.goal);
      this.#say(`waited in vain until ${step.goal}`, 'bad');
    }
    const next = nextStep(position.step, facts);
    if (once && next === 0) return true;
    if (next === 0) this.#renewUsers();
    this.#position = { step: next, state: 'waiting', since: performance.now() };
    this.#open(false);
    this.#traffic?.start();
    await this.#act(stepAt(this.#position).act);
    return false;
  }

  /** Those of the round before keep the backend they met under the other weight, and would blur the shares. */
  #renewUsers(): void {
    for (const route of ['free', 'paid'] as const) {
      this.#crowds[route].renew();
      this.#pins[route].clear();
    }
    this.#say('the tour begins anew, with new users', 'act');
  }

  async #act(act: Act): Promise<void> {
    const { canary } = this.#upstreams;
    switch (act.kind) {
      case 'kill':
        this.#say('canary is killed (SIGKILL)', 'act');
        return await canary.kill();
      case 'restart':
        this.#say('canary is started again', 'act');
        return await this.#restartCanary();
      case 'weight':
        return await this.#setWeight(act.canary);
    }
  }

  /** While it was down its port was anybody's: a connection of somebody else may hold it for a moment. */
  async #restartCanary(): Promise<void> {
    for (let attempt = 1; !this.#ending; attempt++) {
      try {
        return await this.#upstreams.canary.start();
      } catch (error) {
        if (attempt === RESTART_ATTEMPTS) throw error;
        await this.#pause(RESTART_PAUSE_MS);
      }
    }
  }

  /** Edits the file as long as nobody else has. */
  async #setWeight(weight: number): Promise<void> {
    await this.#noticeEdits();
    const next = withCanaryWeight(this.#written, weight);
    if (this.#fileIsTheirs || next === undefined || next === this.#written) return;
    this.#say(`pointsman.yaml is edited: canary ${weight}`, 'act');
    this.#written = next;
    await writeFile(`${this.#configPath}.new`, next);
    await rename(`${this.#configPath}.new`, this.#configPath);
  }

  async #noticeEdits(): Promise<void> {
    if (this.#fileIsTheirs || (await this.#readFile()) === this.#written) return;
    this.#fileIsTheirs = true;
    this.#say('the file was changed by hand: the tour leaves it alone from now on', 'act');
  }

  async #readFile(): Promise<string | undefined> {
    try {
      return await readFile(this.#configPath, 'utf8');
    } catch {
      return undefined;
    }
  }

  #facts(): Facts {
    const canary = this.#status?.backends.find(({ name }) => name === 'canary')?.endpoints[0];
    const free = this.#status?.routes.find(({ name }) => name === 'free');
    return {
      canary: canary?.health,
      canaryWeight: free?.split['canary'],
      fileIsTheirs: this.#fileIsTheirs,
    };
  }

  #isEnough(): boolean {
    const { anonymous } = this.#window;
    return total(anonymous['free']) >= ENOUGH && total(anonymous['paid']) >= ENOUGH;
  }

  /** Reads the status; a table that a person changed meanwhile begins a new count. */
  async #look(): Promise<void> {
    const before = this.#status?.config.hash;
    this.#status = (await this.#readStatus()) ?? this.#status;
    if (this.#window.steady && before !== undefined && before !== this.#status?.config.hash) {
      await this.#traffic?.still();
      this.#close();
      this.#open(true);
      this.#traffic?.start();
    }
  }

  async #readStatus(): Promise<StatusDocument | undefined> {
    try {
      const response = await fetch(`http://127.0.0.1:${this.#ports.admin}/status`, {
        signal: AbortSignal.timeout(STATUS_MS),
      });
      return (await response.json()) as StatusDocument;
    } catch {
      return undefined;
    }
  }

  // ---- counting ----

  #open(steady: boolean): void {
    const splits: Record<string, Split> = {};
    for (const { name, split } of this.#status?.routes ?? []) splits[name] = split;
    const down = (this.#status?.backends ?? []).filter(({ usableEndpoints }) => usableEndpoints === 0);
    this.#window = openWindow({
      step: stepAt(this.#position).id,
      steady,
      splits,
      down: new Set(down.map(({ name }) => name)),
    });
  }

  #close(): void {
    // Only a run that ends is judged; one that goes round and round would keep every window for ever.
    if (this.#options.once) this.#finished.push(this.#window);
  }

  #userFor({ route }: MixEntry): string | undefined {
    return route === 'free' || route === 'paid' ? this.#crowds[route].next(this.#window.steady) : undefined;
  }

  #onAnswer({ route }: MixEntry, user: string | undefined, { track, failure }: Answer): void {
    if (this.#ending) return;
    const window = this.#window;
    const split = window.splits[route];
    const expected =
      window.steady && user !== undefined && split !== undefined && (route === 'free' || route === 'paid')
        ? this.#pins[route].expect(user, split, window.down)
        : undefined;
    record(window, { route, user, backend: track, expected, failure });
    this.#answered++;
    if (failure === undefined && track !== undefined) return;
    this.#failed++;
    if (window.failed === 1) this.#say(`a request failed: ${failure ?? 'no upstream named itself'}`, 'bad');
  }

  #upstreamPorts(): Record<Track, number> {
    return Object.fromEntries(TRACKS.map((track) => [track, this.#upstreams[track].port])) as Record<
      Track,
      number
    >;
  }

  #say(text: string, tone: Tone): void {
    this.#tell({ at: Date.now(), text, tone });
  }

  #tell(event: DemoEvent): void {
    this.#events.push(event);
    if (this.#events.length > MAX_EVENTS) this.#events.shift();
    this.#options.onEvent(event);
  }

  /** Returns early when the demo ends. */
  async #pause(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([
      this.#end.promise,
      new Promise<void>((resolve) => {
        timer = setTimeout(resolve, ms);
      }),
    ]);
    clearTimeout(timer);
  }
}
