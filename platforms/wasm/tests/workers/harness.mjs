// The test: workers on one heap that exchange blocks with each other and with the main thread, that end and are replaced, and that are
// terminated without notice. `start` starts a worker and gives its messages to a function; what comes back ends it, and says when it is
// certain that it has ended.
import { text } from './text.mjs';

const STACK = 64 * 1024;
// In pages, as the module says.
const MAXIMUM = 4096;
// What a worker may have in hand: a block, or a batch of them, or a page.
const IN_HAND = 16 * 1024;
const TERMINATED = 60;

const check = (condition, words) => {
  if (!condition) throw new Error(words);
};
const turn = (milliseconds = 0) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export async function test(module, start, say) {
  const memory = new WebAssembly.Memory({ initial: 32, maximum: MAXIMUM, shared: true });
  const print = (start, size) => say(text(memory, start, size));
  const { exports } = new WebAssembly.Instance(module, { env: { memory, print } });
  const { reserve, exchange, empty, purge, used, checked, assert_valid, core_heaps } = exports;
  const free = [];
  let seeds = 1;
  let workers = 0;
  let stacks = 0;

  function reserveOwn() {
    stacks += 1;
    return { stack: reserve(STACK, 16) + STACK, tls: reserve(exports.__tls_size.value, exports.__tls_align.value) };
  }

  // A worker that is started, its end, and a way to end it before.
  function worker(operations) {
    const own = free.pop() ?? reserveOwn();
    workers += 1;
    let hasStarted;
    const started = new Promise((resolve) => (hasStarted = resolve));
    let terminate;
    const done = new Promise((resolve, reject) => {
      const receive = (message) => (message === 'started' ? hasStarted() : resolve());
      terminate = start({ module, memory, ...own, seed: seeds++, operations }, receive, reject);
    });
    const end = async () => {
      if (await terminate()) free.push(own);
    };
    return { started, done: done.then(end), end };
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
    await meanwhile(work());
    const seconds = ((performance.now() - begin) / 1000).toFixed(1);
    say(`${name}: ${workers - before.workers} workers, ${checked() - before.checked} blocks checked, ${seconds} s`);
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
  // A stack, and what is thread-local.
  const most = () => stacks * (STACK + 1024);
  check(used() <= most(), `${used()} bytes are in use, which are not the workers' stacks`);

  await part('terminated', async () => {
    for (let count = 0; count < TERMINATED; count += 1) {
      const pair = [worker(2 ** 30), worker(2 ** 30)];
      await Promise.all(pair.map(({ started }) => started));
      await turn(Math.random() * 20);
      await Promise.all(pair.map(({ end }) => end()));
    }
  });
  await part('after that', () => Promise.all([1, 2, 3, 4].map(() => worker(100_000).done)));
  empty();
  purge();
  const lost = Math.max(used() - stacks * STACK, 0);
  say(`${core_heaps()} core heaps; ${lost} bytes were lost with ${2 * TERMINATED} workers that were terminated`);
  check(lost < 2 * TERMINATED * IN_HAND, 'more than they had in hand');
}
