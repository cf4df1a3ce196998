// A worker: an instance of a module, and an editor in it. It answers each message with one.

import { NUMBERS_PER_RUN, TAKEN } from './kinds.js';

// For the stacks of workers that share a memory, which wasm-bindgen takes from the heap: its own choice is 2 MiB.
const STACK = 256 * 1024;

let module;
let memory;
let editor;

const answers = {
  // Loads the module of this folder, on the given memory or on one of its own. The document depends on the seed only.
  async start({ folder, seed, shared }) {
    module = await import(`./${folder}/outline.js`);
    ({ memory } = await module.default({ memory: shared, thread_stack_size: STACK }));
    editor = new module.Editor(seed);
    return memory.buffer instanceof ArrayBuffer ? {} : { shared: memory };
  },

  // One of the editor's steps, and how long it took.
  step({ call, count, done }) {
    const begin = performance.now();
    editor[call](count, done);
    return { time: performance.now() - begin };
  },

  checksum() {
    return { checksum: editor.checksum() };
  },

  end() {
    editor.free();
    return {};
  },

  look() {
    return {};
  },
};

// What is in the heap, if the allocator says it, and how many bytes are in use. A heap without pages is not asked for a report: it would join what is
// ready for that.
function heap() {
  if (module.heapRuns) return { runs: module.heapRuns(), used: module.heapReport().used };
  if (!module.heapBlocks) return {};
  const runs = module.heapBlocks();
  return { runs, used: runs.reduce((used, number, at) => (at % NUMBERS_PER_RUN === TAKEN ? used + number : used), 0) };
}

onmessage = async ({ data }) => {
  try {
    const answer = await answers[data.what](data);
    postMessage({ ...answer, ...(data.looks ? heap() : {}), memory: memory.buffer.byteLength });
  } catch (error) {
    postMessage({ error: String(error?.stack ?? error) });
  }
};
