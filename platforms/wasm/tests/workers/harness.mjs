// The test: workers on one heap that exchange blocks with each other and with the main thread, that end and are replaced, and that are
// terminated without notice. `start` starts a worker and gives its messages to a function; what comes back ends it, and says when it is
// certain that it has ended.
import { text } from './text.mjs';

const STACK = 64 * 1024;
const MAXIMUM = 4096;

const check = (condition, words) => {
  if (!condition) throw new Error(words);
};
const turn = (milliseconds = 0) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export async function test(module, start, say) {
  const { minimum } = WebAssembly.Module.imports(module).find(({ kind }) => kind === 'memory').type ?? { minimum: 32 };
  const memory = new WebAssembly.Memory({ initial: minimum, maximum: MAXIMUM, shared: true });
  const print = (start, size) => say(text(memory, start, size));
  const { exports } = new WebAssembly.Instance(module, { env: { memory, print } });
  const { reserve, exchange, empty, purge, used, checked, assert_valid, core_heaps, lost_core_heaps } = exports;
  const free = [];
  let seeds = 1;
  let workers = 0;

  const resources = () =>
    free.pop() ?? {
      stack: reserve(STACK, 16) + STACK,
      tls: reserve(exports.__tls_size.value, exports.__tls_align.value),
    };

  // A worker that is started, its end, and a way to end it.
  function worker(operations) {
    const own = resources();
    workers += 1;
    let hasStarted;
    const started = new Promise((resolve) => (hasStarted = resolve));
    let terminate;
    const done = new Promise((resolve, reject) => {
      const receive = (message) => (message === 'started' ? hasStarted() : resolve());
      terminate = start({ module, memory, ...own, seed: seeds++, operations }, receive, reject);
    }).then(async () => {
      if (await terminate()) free.push(own);
    });
    const kill = async () => {
      if (await terminate()) free.push(own);
    };
    return { started, done, kill };
  }

  // The main thread takes part until `promise` is settled.
  async function meanwhile(promise) {
    let isSettled = false;
    const settle = () => (isSettled = true);
    promise.then(settle, settle);
    while (!isSettled) {
      exchange(seeds++, 200);
      await turn();
    }
    return promise;
  }

  async function part(name, work) {
    const before = { checked: checked(), workers };
    const begin = performance.now();
    const words = await meanwhile(work());
    const seconds = ((performance.now() - begin) / 1000).toFixed(1);
    say(`${name}: ${workers - before.workers} workers, ${checked() - before.checked} blocks checked, ${seconds} s${words ?? ''}`);
    check(checked() > before.checked, 'nobody met anybody');
  }

  await part('at a time', () => Promise.all([1, 2, 3, 4].map(() => worker(400_000).done)));
  await part('one after the other', () =>
    Promise.all([1, 2, 3].map(async () => {
      for (let count = 0; count < 20; count += 1) await worker(10_000).done;
    })),
  );
  empty();
  assert_valid();
  const stacks = workers * (STACK + 1024);
  check(used() <= stacks, `${used()} bytes are in use, which are not the workers' stacks`);

  const before = used();
  const TERMINATED = 60;
  await part('terminated', async () => {
    for (let count = 0; count < TERMINATED; count += 1) {
      const [one, other] = [worker(2 ** 30), worker(2 ** 30)];
      await Promise.all([one.started, other.started]);
      await turn(Math.random() * 20);
      await Promise.all([one.kill(), other.kill()]);
    }
  });
  await part('after that', () => Promise.all([1, 2, 3, 4].map(() => worker(100_000).done)));
  empty();
  purge();
  // What they had in hand, and the stacks of those of whom nobody knows when they ended.
  const lost = Math.max(used() - before, 0);
  say(`${lost_core_heaps()} of ${core_heaps()} core heaps and ${lost} bytes were lost with ${2 * TERMINATED} workers`);
  check(lost < 2 * TERMINATED * 2 * STACK, 'more than they had in hand');
}
