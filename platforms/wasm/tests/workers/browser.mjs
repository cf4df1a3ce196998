// Runs the test in Chromium without a window, on a page that a server here gives it: `node browser.mjs module.wasm`.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folder = new URL('./', import.meta.url);
const script = (name) => ({ type: 'text/javascript', body: readFileSync(new URL(name, folder)) });
const files = {
  '/': { type: 'text/html', body: '<!doctype html><link rel="icon" href="data:,"><script type="module" src="/page.mjs"></script>' },
  '/module.wasm': { type: 'application/wasm', body: readFileSync(process.argv[2]) },
  ...Object.fromEntries(['page.mjs', 'harness.mjs', 'worker.mjs', 'text.mjs'].map((name) => [`/${name}`, script(name)])),
};
// Without these a page gets no shared memory.
const isolation = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

let isOver;
const over = new Promise((resolve) => (isOver = resolve));

const server = createServer(async (request, response) => {
  if (request.method === 'POST') {
    const words = (await request.toArray()).join('');
    if (words) console.log(words);
    response.end();
    if (request.url === '/end') isOver();
    return;
  }
  const file = files[request.url];
  response.writeHead(file ? 200 : 404, { 'Content-Type': file?.type ?? 'text/plain', ...isolation });
  response.end(file?.body);
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

const profile = mkdtempSync(join(tmpdir(), 'coreheap-chromium-'));
const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];
flags.push('--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', `--user-data-dir=${profile}`);
const chromium = spawn('chromium', [...flags, `http://127.0.0.1:${server.address().port}/`], { stdio: 'ignore', detached: true });
chromium.on('exit', isOver);
await over;
// With all processes that it started.
if (chromium.exitCode === null) process.kill(-chromium.pid);
server.close();
server.closeAllConnections();
rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
