// Runs the test in Node: `node run.mjs module.wasm`.
import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { test } from './harness.mjs';

function start(job, receive, fail) {
  const worker = new Worker(new URL('./worker.mjs', import.meta.url));
  worker.on('message', receive).on('error', fail);
  worker.postMessage(job);
  return async () => {
    await worker.terminate();
    return true;
  };
}

await test(new WebAssembly.Module(readFileSync(process.argv[2])), start, console.log);
console.log('all is well');
