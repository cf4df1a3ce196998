// One allocator's side of the comparison: its workers, and what is measured of them.

export class Side {
  constructor(allocator, workerCount) {
    this.allocator = allocator;
    this.workers = Array.from({ length: workerCount }, () => new Worker('worker.js', { type: 'module' }));
    // Milliseconds and what was done in them, by step.
    this.times = {};
    this.counts = {};
    // Bytes of all modules, and of what is in blocks where the allocator says it.
    this.memory = { before: 0, peak: 0, after: 0 };
    this.used = {};
    this.checksum = undefined;
  }

  async start() {
    const answers = await this.askAll((worker) => ({ what: 'start', allocator: this.allocator, seed: 2026 + worker }));
    this.memory.before = this.memory.after;
    return answers;
  }

  // `count` of a step in each worker, after `done` of them; the workers do it at the same time, and the slowest counts.
  async step(call, count, done) {
    const answers = await this.askAll(() => ({ what: 'step', call, count, done }));
    const time = Math.max(...answers.map((answer) => answer.time));
    this.times[call] = (this.times[call] ?? 0) + time;
    this.counts[call] = (this.counts[call] ?? 0) + count * this.workers.length;
    return { time, answers };
  }

  // Asks for what says whether both saved the same.
  async compare() {
    const answers = await this.askAll(() => ({ what: 'checksum' }));
    const checksum = answers.reduce((all, answer) => (Math.imul(all, 31) + answer.checksum) >>> 0, 0);
    this.checksum = checksum.toString(16).padStart(8, '0');
  }

  end() {
    return this.askAll(() => ({ what: 'end' }));
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

  async askAll(messageFor) {
    const answers = await Promise.all(this.workers.map((worker, index) => ask(worker, messageFor(index))));
    const sum = (of) => answers.reduce((total, answer) => total + of(answer), 0);
    this.memory.after = sum((answer) => answer.memory);
    this.memory.peak = Math.max(this.memory.peak, this.memory.after);
    if (answers[0].report) {
      this.used.after = sum((answer) => answer.report.used);
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
