/** Connections whose local port and age are known also after they have ended: by these a failure is explained. */

import { Agent, type AgentOptions } from 'node:http';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { monotonic } from '../clock.ts';

export interface Origin {
  /** 0 until it is connected. */
  port: number;
  readonly connectingAt: number;
}

const origins = new WeakMap<Duplex, Origin>();

export function originOf(socket: Duplex | null): Origin {
  return (socket === null ? undefined : origins.get(socket)) ?? { port: 0, connectingAt: monotonic() };
}

export function connectTracked(options: NetConnectOpts): Socket {
  const origin: Origin = { port: 0, connectingAt: monotonic() };
  const socket = connect(options);
  origins.set(socket, origin);
  socket.once('connect', () => {
    origin.port = socket.localPort ?? 0;
  });
  return socket;
}

export function trackedAgent(options: AgentOptions): Agent {
  const agent = new Agent(options);
  agent.createConnection = (connectOptions) => connectTracked(connectOptions as NetConnectOpts);
  return agent;
}
