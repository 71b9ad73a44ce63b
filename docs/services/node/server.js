// An HTTP service for Node 18 or later that is restarted without losing a request. No packages needed.
'use strict';
const http = require('node:http');
const net = require('node:net');

const { env } = process;
const names = (env.LISTEN_FDNAMES ?? '').split(':');
const inherited = (name) => (names.includes(name) ? { fd: 3 + names.indexOf(name) } : null);

function answer(request, response) {
  if (request.url === '/slow/200') return void setTimeout(() => response.end('done'), 200);
  response.end(request.url === '/health' ? 'healthy' : 'ok');
}

const server = http.createServer(answer);
const idle = new Set(); // connections between two requests
let draining = false;

server.keepAliveTimeout = 75_000; // longer than proxies keep theirs: they close first
server.on('connection', (socket) => {
  idle.add(socket);
  socket.on('close', () => idle.delete(socket));
});
server.prependListener('request', (request, response) => {
  idle.delete(request.socket);
  if (draining) response.setHeader('Connection', 'close');
  response.on('close', () => request.socket.destroyed || idle.add(request.socket));
});

function drain(keepIdleFor, wholeTime) {
  if (!draining) {
    draining = true;
    // Not `server.close()`: that closes idle connections at once, and with them requests that are on the wire.
    net.Server.prototype.close.call(server, () => process.exit(0));
  }
  setTimeout(() => idle.forEach((socket) => socket.destroy()), keepIdleFor).unref();
  setTimeout(() => process.exit(0), wholeTime).unref();
}

const drainTime = Number(env.SUPERVISOR_DRAIN_TIMEOUT_MS ?? 10_000) - 1_000;
const stopTime = Number(env.SUPERVISOR_STOP_TIMEOUT_MS ?? 10_000) - 1_000;
process.on('SIGUSR2', () => drain(Math.min(5_000, drainTime / 2), drainTime)); // a successor serves
process.on('SIGTERM', () => drain(250, stopTime)); // stop

server.listen(inherited('http') ?? { port: env.PORT ?? 8006, host: env.HOST ?? '127.0.0.1' });
// The supervisor asks on a socket of its own, so that the answer is never that of another generation.
if (inherited('supervisor-probe')) http.createServer(answer).listen(inherited('supervisor-probe')).unref();
