// A worker: an instance of a module, and an editor in it. It answers each message with one.

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

// What is in the heap, if the allocator says it.
function heap() {
  return module.heapRuns ? { report: module.heapReport(), runs: module.heapRuns() } : {};
}

onmessage = async ({ data }) => {
  try {
    const answer = await answers[data.what](data);
    postMessage({ ...answer, ...(data.looks ? heap() : {}), memory: memory.buffer.byteLength });
  } catch (error) {
    postMessage({ error: String(error?.stack ?? error) });
  }
};
