/**
 * Header rules of a row: fields that are set, added or removed on the way to the upstream, or back. Routes without
 * rules never come here.
 */

import { parseValue, type ValuePart } from '../config/schema/header-rules.ts';
import type { RouteConfig } from '../config/schema.ts';
import { cookieValue, fieldValue, withoutPort } from './message-fields.ts';

/** What values may speak of. The same for a request and its response. */
export interface RuleContext {
  readonly clientAddress: string;
  readonly clientPort: number;
  readonly requestId: string;
  readonly method: string;
  /** As sent, with the port. */
  readonly host: string | undefined;
  /** Path and query as sent. */
  readonly path: string;
  readonly route: string;
  readonly backend: string;
  readonly service: string;
  /** Fields of the request as they came: names and values in turn. */
  readonly rawHeaders: readonly string[];
}

export interface HeaderRules {
  /** Lower-case names that are taken out: those that are removed, and those that are set. */
  readonly drop: ReadonlySet<string>;
  /** New value of Host; undefined: as it is. */
  readonly host: string | undefined;
  /** Appended in this order. */
  readonly fields: readonly RuledField[];
}

interface RuledField {
  readonly name: string;
  /** The value, when no variable is in it. */
  readonly text: string | undefined;
  readonly parts: readonly ValuePart[];
}

type RulesConfig = NonNullable<RouteConfig['request']>;

/** Undefined when there is nothing to do. */
export function compileHeaderRules(rules: RulesConfig | undefined): HeaderRules | undefined {
  if (rules === undefined) return undefined;
  const drop = new Set(rules.remove?.map((name) => name.toLowerCase()));
  const fields: RuledField[] = [];
  let host: string | undefined;
  for (const [name, value] of Object.entries(rules.set ?? {})) {
    if (name.toLowerCase() === 'host') {
      host = value;
      continue;
    }
    drop.add(name.toLowerCase());
    fields.push(compileField(name, value));
  }
  for (const [name, values] of Object.entries(rules.add ?? {})) {
    for (const value of typeof values === 'string' ? [values] : values)
      fields.push(compileField(name, value));
  }
  if (drop.size === 0 && host === undefined && fields.length === 0) return undefined;
  return { drop, host, fields };
}

/**
 * A new list of fields with the rules applied.
 *
 * @param headers names and values in turn; a request's list begins with Host
 */
export function applyHeaderRules(
  rules: HeaderRules,
  headers: readonly string[],
  context: RuleContext,
): string[] {
  const ruled: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!;
    if (rules.drop.size > 0 && rules.drop.has(name.toLowerCase())) continue;
    ruled.push(name, headers[i + 1]!);
  }
  if (rules.host !== undefined) ruled[1] = rules.host;
  for (const field of rules.fields) ruled.push(field.name, field.text ?? render(field.parts, context));
  return ruled;
}

function compileField(name: string, value: string): RuledField {
  const parts = parseValue(value);
  if (typeof parts === 'string') throw new Error(`the value of ${name} ${parts}`);
  const [first] = parts;
  const fixed = parts.length === 1 && first !== undefined && 'text' in first ? first.text : undefined;
  return { name, text: fixed, parts };
}

function render(parts: readonly ValuePart[], context: RuleContext): string {
  let value = '';
  for (const part of parts) {
    if ('text' in part) value += part.text;
    else if ('header' in part) value += fieldValue(context.rawHeaders, part.header) ?? '';
    else if ('cookie' in part) value += cookieValue(context.rawHeaders, part.cookie) ?? '';
    else value += variable(part.variable, context);
  }
  return value;
}

function variable(name: Extract<ValuePart, { variable: unknown }>['variable'], context: RuleContext): string {
  switch (name) {
    case 'client.address':
      return context.clientAddress;
    case 'client.port':
      return String(context.clientPort);
    case 'request.id':
      return context.requestId;
    case 'request.method':
      return context.method;
    case 'request.host':
      return context.host === undefined ? '' : withoutPort(context.host);
    case 'request.path':
      return context.path;
    case 'route':
      return context.route;
    case 'backend':
      return context.backend;
    case 'service':
      return context.service;
  }
}
