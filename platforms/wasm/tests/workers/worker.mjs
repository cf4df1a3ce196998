// A worker, in Node or in a browser: an instance of the module on the shared memory, with a stack and thread-local memory of its own.
import { text } from './text.mjs';

const isBrowser = typeof WorkerGlobalScope !== 'undefined';
const port = isBrowser ? self : (await import('node:worker_threads')).parentPort;

function work({ module, memory, stack, tls, seed, operations }) {
  const print = (start, size) => console.error(text(memory, start, size));
  const { exports } = new WebAssembly.Instance(module, { env: { memory, print } });
  exports.__stack_pointer.value = stack;
  exports.__wasm_init_tls(tls);
  port.postMessage('started');
  exports.exchange(seed, operations);
  port.postMessage('done');
}

if (isBrowser) port.onmessage = (event) => work(event.data);
else port.on('message', work);
