// A worker: an instance of a module, with a stack and thread-local memory of its own.
const isBrowser = typeof WorkerGlobalScope !== 'undefined';
const port = isBrowser ? self : (await import('node:worker_threads')).parentPort;
let exchange;

function receive({ module, memory, stack, tls, number, places }) {
  if (module) {
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    exports.__stack_pointer.value = stack;
    exports.__wasm_init_tls(tls);
    exchange = exports.exchange;
    port.postMessage('ready');
  } else {
    port.postMessage(exchange(number, places));
  }
}

if (isBrowser) port.onmessage = ({ data }) => receive(data);
else port.on('message', receive);
