// Runs a program of WASI in Node, one with threads too: a runner for cargo, with the program's path and its arguments.
import { readFileSync, writeSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { WASI } from 'node:wasi';
import { Worker, isMainThread, workerData } from 'node:worker_threads';

// Node 20 crashes when it collects garbage in a function of WASI that was called the fast way.
setFlagsFromString('--no-turbo-fast-api-calls');

const args = isMainThread ? process.argv.slice(2) : workerData.args;
const program = isMainThread ? new WebAssembly.Module(readFileSync(args[0])) : workerData.program;
const hasThreads = WebAssembly.Module.imports(program).some(({ kind }) => kind === 'memory');
const wasi = new WASI({ version: 'preview1', args, env: process.env, returnOnExit: !hasThreads });

if (hasThreads) runThread();
else process.exit(runAlone());

// A program of one thread, which may ask for pages to be discarded: they are written over and counted.
function runAlone() {
  let discarded = 0;
  const discard = (start, size) => {
    new Uint8Array(instance.exports.memory.buffer, start >>> 0, size).fill(0xdd);
    discarded += size;
  };
  const imports = { ...wasi.getImportObject(), env: { discard, discarded: () => discarded } };
  const instance = new WebAssembly.Instance(program, imports);
  return wasi.start(instance);
}

// The first thread, or one that a thread started: an instance of its own on the memory that they share.
function runThread() {
  // As rustc links it, which is 1 GiB at most.
  const memory = workerData?.memory ?? new WebAssembly.Memory({ initial: 64, maximum: 16384, shared: true });
  const threads = workerData?.threads ?? new Int32Array(new SharedArrayBuffer(4));
  const start = (argument) => {
    const thread = Atomics.add(threads, 0, 1) + 1;
    new Worker(new URL(import.meta.url), { workerData: { args, program, memory, threads, thread, argument } });
    return thread;
  };
  const imports = { ...wasi.getImportObject(), env: { memory }, wasi: { 'thread-spawn': start } };
  const { exports } = new WebAssembly.Instance(program, imports);
  // Makes the functions of WASI use this memory; it is for libraries, which have neither of these.
  wasi.initialize({ exports: { memory } });
  if (isMainThread) {
    exports._start();
    return;
  }
  try {
    exports.wasi_thread_start(workerData.thread, workerData.argument);
  } catch (error) {
    // The first thread may wait for this one, and would hear nothing.
    writeSync(2, `${error.stack}\n`);
    process.kill(process.pid, 'SIGABRT');
  }
}
