// Measures workers on one shared memory, in Node and in browsers.
import { prepare } from './measure.mjs';

// As the modules are built: `SHARED_MEMORY` in `src/module.rs`.
const MEMORY = { initial: 32, maximum: 4096, shared: true };
const STACK = 64 * 1024;
const WARM_MS = 50;
const MEASURE_MS = 200;

const Worker = globalThis.Worker ?? (await import('node:worker_threads')).Worker;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Pairs of allocate and free, in millions a second, of all workers together, in rounds that take turns. A work is how many workers there are.
// Each has its blocks for itself.
export const workers = (query, load, print) => measureAll(query, load, false, print);

// Each frees what others allocated.
export const exchange = (query, load, print) => measureAll(query, load, true, print);

async function measureAll(query, load, isShared, print) {
  const { works, modules, rounds } = await prepare(query, load);
  for (let round = 0; round < rounds; round++) {
    for (const work of works) {
      for (let turn = 0; turn < modules.length; turn++) {
        const { name, module } = modules[(round + turn) % modules.length];
        print(`${name} ${work} ${round} ${await measure(module, work, isShared)}`);
      }
    }
  }
}

async function measure(module, count, isShared) {
  const memory = new WebAssembly.Memory(MEMORY);
  const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
  const { alloc, set_goes_on: setGoesOn, __tls_size: tlsSize, __tls_align: tlsAlign } = exports;
  const started = Array.from({ length: count }, (_, number) => {
    const worker = new Worker(new URL('./worker.mjs', import.meta.url), { type: 'module' });
    const stack = alloc(STACK, 16) + STACK;
    const tls = alloc(Math.max(tlsSize.value, 1), Math.max(tlsAlign.value, 1));
    worker.postMessage({ module, memory, stack, tls });
    return { worker, number, places: isShared ? 0 : number };
  });
  await Promise.all(started.map(({ worker }) => answer(worker)));
  const runFor = async (ms) => {
    setGoesOn(true);
    const start = performance.now();
    const answers = started.map(({ worker, number, places }) => {
      worker.postMessage({ number, places });
      return answer(worker);
    });
    await sleep(ms);
    setGoesOn(false);
    const microseconds = 1000 * (performance.now() - start);
    const pairs = await Promise.all(answers);
    return pairs.reduce((sum, count) => sum + count) / microseconds;
  };
  // Code is compiled, and each place has its block.
  await runFor(WARM_MS);
  const rate = await runFor(MEASURE_MS);
  await Promise.all(started.map(({ worker }) => worker.terminate()));
  return rate;
}

// A worker's next message.
function answer(worker) {
  return new Promise((resolve, reject) => {
    if (worker.once) {
      worker.once('message', resolve).once('error', reject);
    } else {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = ({ message }) => reject(new Error(message));
    }
  });
}
