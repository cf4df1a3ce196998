// Measures modules, in Node and in browsers. What is measured says a query: `works` and `allocators`, separated by commas, `rounds`, `runs`.
// Each result is a line: the allocator, the work, and numbers.

// In one run, as in talc's benchmark.
const ACTIONS = 100_000;
// In a part of it, which is short enough not to be interrupted most of the time.
const PART = 5000;
const MIB = 1 << 20;

export { exchange, workers } from './workers.mjs';

const instantiate = async (module) => (await WebAssembly.instantiate(module, {})).exports;

// Nanoseconds for an action, for each part of all runs, in rounds that take turns. `load` gets a module's bytes by name.
export async function time(query, load, print) {
  const { works, modules, rounds, runs } = await prepare(query, load);
  for (const work of works) {
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < modules.length; turn++) {
        const { name, module } = modules[(round + turn) % modules.length];
        const exports = await instantiate(module);
        // Code is compiled, and the memory grows.
        run(exports, work, 0);
        const nanoseconds = [];
        for (let seed = 1; seed <= runs; seed++) run(exports, work, seed, (value) => nanoseconds.push(value));
        print(`${name} ${work} ${round} ${nanoseconds.join(' ')}`);
      }
    }
  }
}

// How many bytes are live at most, and by how many the memory has grown: in and after one run, in and after all; then after a block of 1 MiB.
export async function memory(query, load, print) {
  const { works, modules, runs } = await prepare(query, load);
  for (const work of works) {
    for (const entry of modules) await weigh(entry, work, runs, print);
  }
}

export async function prepare(query, load) {
  const plan = new URLSearchParams(query);
  const list = (key) => plan.get(key).split(',');
  const modules = list('allocators').map(async (name) => ({ name, module: await WebAssembly.compile(await load(name)) }));
  return {
    works: list('works').map(Number),
    modules: await Promise.all(modules),
    rounds: Number(plan.get('rounds')),
    runs: Number(plan.get('runs')),
  };
}

// How many bytes were live at most.
function run({ begin, go_on: goOn, end }, work, seed, tell) {
  begin(work, seed);
  for (let actions = 0; actions < ACTIONS; actions += PART) {
    const start = performance.now();
    goOn(PART);
    tell?.((1e6 * (performance.now() - start)) / PART);
  }
  return end();
}

async function weigh({ name, module }, work, runs, print) {
  const exports = await instantiate(module);
  const { alloc, memory } = exports;
  const start = memory.buffer.byteLength;
  const grown = () => memory.buffer.byteLength - start;
  const lives = [run(exports, work, 1)];
  const once = grown();
  for (let seed = 2; seed <= runs; seed++) lives.push(run(exports, work, seed));
  const often = grown();
  alloc(MIB, 8);
  print(`${name} ${work} ${lives[0]} ${once} ${Math.max(...lives)} ${often} ${grown()}`);
}
