// One allocator's side of the comparison: its workers, and what is measured of them.

export class Side {
  // The modules are in `folder`. Workers share one memory if `isShared`, else each has its own.
  constructor(folder, workerCount, isShared) {
    this.folder = folder;
    this.isShared = isShared;
    this.workers = Array.from({ length: workerCount }, () => new Worker('worker.js', { type: 'module' }));
    // Milliseconds and what was done in them, by step.
    this.times = {};
    this.counts = {};
    // Bytes of all memories, and of what is in blocks where the allocator says it.
    this.memory = { before: 0, peak: 0, after: 0 };
    this.used = {};
    this.checksum = undefined;
  }

  // The first worker makes the memory, if it is shared.
  async start() {
    const message = (worker, shared) => ({ what: 'start', folder: this.folder, seed: 2026 + worker, shared, looks: this.looks(worker) });
    const first = await ask(this.workers[0], message(0));
    const others = this.workers.slice(1).map((worker, index) => ask(worker, message(index + 1, first.shared)));
    const answers = this.note([first, ...(await Promise.all(others))]);
    this.memory.before = this.memory.after;
    return answers;
  }

  // `count` of a step in each worker, after `done` of them; the workers do it at the same time, and the slowest counts.
  async step(call, count, done) {
    const answers = await this.askAll({ what: 'step', call, count, done });
    const time = Math.max(...answers.map((answer) => answer.time));
    this.times[call] = (this.times[call] ?? 0) + time;
    this.counts[call] = (this.counts[call] ?? 0) + count * this.workers.length;
    return { time, answers };
  }

  // Asks for what says whether both saved the same.
  async compare() {
    const answers = await this.askAll({ what: 'checksum' });
    const checksum = answers.reduce((all, answer) => (Math.imul(all, 31) + answer.checksum) >>> 0, 0);
    this.checksum = checksum.toString(16).padStart(8, '0');
  }

  // Drops all documents, and looks at what is left then.
  async end() {
    await this.askAll({ what: 'end' });
    return this.askAll({ what: 'look' });
  }

  terminate() {
    for (const worker of this.workers) {
      worker.onmessage = null;
      worker.terminate();
    }
  }

  // Per second, so far.
  rate(call) {
    return (1000 * (this.counts[call] ?? 0)) / this.times[call];
  }

  // Whether a worker is to look at its heap: of those that share one, the first.
  looks(worker) {
    return !this.isShared || worker === 0;
  }

  async askAll(message) {
    const asked = this.workers.map((worker, index) => ask(worker, { ...message, looks: this.looks(index) }));
    return this.note(await Promise.all(asked));
  }

  // Takes down what the workers say of their memory.
  note(answers) {
    const heaps = answers.filter((_, worker) => this.looks(worker));
    const sum = (of) => heaps.reduce((total, answer) => total + of(answer), 0);
    this.memory.after = sum((answer) => answer.memory);
    this.memory.peak = Math.max(this.memory.peak, this.memory.after);
    if (heaps[0].runs) {
      this.used.after = sum((answer) => answer.used);
      this.used.peak = Math.max(this.used.peak ?? 0, this.used.after);
    }
    return answers;
  }
}

// Posts a message; resolves to the answer.
function ask(worker, message) {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data));
    worker.onerror = (event) => reject(new Error(event.message || 'a worker could not be started'));
    worker.postMessage(message);
  });
}
