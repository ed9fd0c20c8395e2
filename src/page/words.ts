/** Figures and states in the page's words. */
import type { BackendReport, EndpointReport } from '../admin/status.ts';
import { type Html, html } from './html.ts';

export type Tone = 'good' | 'warn' | 'bad' | 'dark' | 'soft';

export interface Mark {
  /** Told apart by shape too, not by colour alone. */
  readonly sign: string;
  readonly tone: Tone;
  readonly word: string;
}

export function endpointMark({ health, admin, ejection }: EndpointReport): Mark {
  if (admin.state === 'drain') return { sign: '◧', tone: 'soft', word: 'drained' };
  if (health === 'down') return { sign: '✕', tone: 'bad', word: 'down' };
  if (ejection !== null) return { sign: '▲', tone: 'warn', word: 'ejected' };
  if (health === 'up') return { sign: '●', tone: 'good', word: 'up' };
  return { sign: '○', tone: 'dark', word: 'unchecked' };
}

export function backendMark({ circuit, endpoints }: BackendReport): Mark {
  if (endpoints.length > 0 && endpoints.every(({ admin }) => admin.state === 'drain')) {
    return { sign: '◧', tone: 'soft', word: 'drained' };
  }
  if (circuit.state === 'closed') return { sign: '●', tone: 'good', word: 'all up' };
  if (circuit.state === 'open') return { sign: '✕', tone: 'bad', word: 'none available' };
  if (circuit.state === 'panic') return { sign: '▲', tone: 'bad', word: 'too few left: panic' };
  return { sign: '▲', tone: 'warn', word: 'some down' };
}

export function marked({ sign, tone, word }: Mark): Html {
  return html`<span class="${tone}"><span aria-hidden="true">${sign}</span> ${word}</span>`;
}

/** 12.345 → `12.3`, 0.04 → `0.04` */
export function figure(value: number): string {
  if (value === 0) return '0';
  if (value >= 100) return Math.round(value).toLocaleString('en');
  return value.toFixed(value >= 10 ? 1 : 2).replace(/\.?0+$/, '');
}

export function percent(value: number): string {
  return `${figure(value)} %`;
}

export function milliseconds(value: number | null): string {
  return value === null ? '–' : `${figure(value)} ms`;
}

export function count(value: number): string {
  return value.toLocaleString('en');
}

/** Counted on by the page itself, so that it goes on while contact is lost. */
export function ago(iso: string): Html {
  return html`<time datetime="${iso}" data-age>${iso.slice(11, 19)}</time>`;
}

/** A moment to come. */
export function left(iso: string): Html {
  return html`<time datetime="${iso}" data-left>${iso.slice(0, 16).replace('T', ' ')} UTC</time>`;
}

export function clock(iso: string): Html {
  return html`<time datetime="${iso}">${iso.slice(0, 19).replace('T', ' ')}</time>`;
}
