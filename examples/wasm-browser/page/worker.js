// A worker: a module on one of the allocators, and an editor in it. It answers each message with one.

let module;
let memory;
let editor;

const answers = {
  // Loads the module; the document depends on the seed only.
  async start({ allocator, seed }) {
    module = await import(`./${allocator}/outline.js`);
    ({ memory } = await module.default());
    editor = new module.Editor(seed);
    return {};
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
};

// What is in the heap, if the allocator says it.
function look() {
  if (!module.heapRuns) return {};
  return { report: module.heapReport(), runs: module.heapRuns() };
}

onmessage = async ({ data }) => {
  try {
    const answer = await answers[data.what](data);
    postMessage({ ...answer, ...look(), memory: memory.buffer.byteLength });
  } catch (error) {
    postMessage({ error: String(error?.stack ?? error) });
  }
};
