// Measures in a headless Chromium: `node in-chromium.mjs FUNCTION FOLDER QUERY`, with a function of `measure.mjs` and the modules in the
// folder.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { basename, extname, join } from 'node:path';

const [name, folder, query] = process.argv.slice(2);
const TYPES = { '.html': 'text/html', '.mjs': 'text/javascript', '.wasm': 'application/wasm' };
// Root has no sandbox; V8 is to compile once, and optimize; the others keep the browser from the network and from this machine's graphics.
const FLAGS = `--headless --js-flags=--no-liftoff --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
  --disable-component-update --disable-sync --disable-dev-shm-usage`.split(/\s+/);

let lines;

const profile = await mkdtemp(join(tmpdir(), 'coreheap-bench-'));
const server = createServer((request, response) => {
  answer(request, response).catch((error) => response.writeHead(404).end(String(error)));
});
server.listen(0, '127.0.0.1', () => {
  const page = `http://127.0.0.1:${server.address().port}/page.html?function=${name}&${query}`;
  const browser = spawn('chromium', [...FLAGS, `--user-data-dir=${profile}`, page], { stdio: 'ignore' });
  browser.on('error', end);
  browser.on('exit', end);
  server.on('done', () => browser.kill());
});

// Once Chromium has ended: before the page was done, or because it is.
async function end(reason) {
  // Some of its processes may not have ended yet.
  await rm(profile, { recursive: true, maxRetries: 10, retryDelay: 100 });
  if (lines === undefined) console.error(`Chromium ended: ${reason}`);
  process.stdout.write(lines ?? '', () => process.exit(lines === undefined ? 1 : 0));
}

// Files of this folder and modules; the page sends its results.
async function answer(request, response) {
  if (request.method === 'POST') {
    lines = Buffer.concat(await request.toArray()).toString();
    response.end();
    server.emit('done');
    return;
  }
  const file = basename(new URL(request.url, 'http://localhost').pathname);
  const type = extname(file);
  const path = type === '.wasm' ? join(folder, file) : new URL(file, import.meta.url);
  // A page on its own gets a finer clock.
  const isolated = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };
  const bytes = await readFile(path);
  response.writeHead(200, { 'Content-Type': TYPES[type], ...isolated }).end(bytes);
}
