// The page that runs the test in a browser: its main thread takes part. What it says goes to the server.
import { test } from './harness.mjs';

const say = (words) => fetch('/say', { method: 'POST', body: words });

function start(job, receive, fail) {
  const worker = new Worker('/worker.mjs', { type: 'module' });
  worker.onmessage = (event) => receive(event.data);
  worker.onerror = (event) => fail(new Error(event.message));
  worker.postMessage(job);
  // Nobody says when it has ended: its stack cannot be used again.
  return async () => (worker.terminate(), false);
}

try {
  if (!crossOriginIsolated) throw new Error('the page is not isolated, and so cannot share memory');
  await test(await WebAssembly.compileStreaming(fetch('/module.wasm')), start, say);
  await say('all is well');
} catch (error) {
  await say(`${error.stack}`);
}
await fetch('/end', { method: 'POST' });
