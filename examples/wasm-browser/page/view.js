// What the page shows.

import { NONE, bytes, count, milliseconds, ratio } from './format.js';
import { KINDS } from './kinds.js';
import { Picture } from './picture.js';

// The table: what a row says of a side.
const ROWS = [
  ['Memory before', ({ memory }) => bytes(memory.before)],
  ['Memory at the peak', ({ memory }) => bytes(memory.peak)],
  ['Memory after', ({ memory }) => bytes(memory.after)],
  ['In blocks at the peak', ({ used }) => bytes(used.peak)],
  ['In blocks after', ({ used }) => bytes(used.after)],
  ['Time to open', ({ times }) => milliseconds(times.open)],
  ['Time for all edits', ({ times }) => milliseconds(times.edit)],
  ['Time to save', ({ times }) => milliseconds(times.save)],
  ['Time to close', ({ times }) => milliseconds(times.close)],
  ['Checksum', ({ checksum }) => checksum ?? NONE],
];

const find = (id) => document.getElementById(id);

export class View {
  constructor() {
    this.isRunning = false;
    this.rows = ROWS.map(([name]) => addRow(name));
    this.totals = KINDS.map(addToLegend);
    this.picture = new Picture(find('picture'), (words) => (find('detail').textContent = words));
    find('workers').addEventListener('change', () => this.isRunning || this.chooseHeap());
    this.chooseHeap();
  }

  // Which heap so many workers have. The style sheet hides what is said of the other.
  chooseHeap() {
    this.heap = this.workers > 1 ? 'pages' : 'blocks';
    document.body.dataset.heap = this.heap;
  }

  get megabytes() {
    return Number(find('size').value);
  }

  get workers() {
    return Number(find('workers').value);
  }

  start() {
    this.isRunning = true;
    this.chooseHeap();
    find('start').textContent = 'Stop';
    this.progress('The modules are loaded.', 0);
  }

  stop(words) {
    this.isRunning = false;
    find('start').textContent = 'Start';
    find('phase').textContent = words;
  }

  progress(words, part) {
    if (find('phase').textContent !== words) find('phase').textContent = words;
    find('progress').value = part;
  }

  // What a side's first worker sees in the heap, if it says it.
  look([{ runs }]) {
    if (!runs) return;
    this.picture.show(runs, this.heap).forEach((size, kind) => (this.totals[kind].textContent = bytes(size)));
  }

  // What is measured.
  show(coreheap, other) {
    const sides = [coreheap, other];
    this.rows.forEach((cells, row) => cells.forEach((cell, side) => (cell.textContent = ROWS[row][1](sides[side]))));
    const rates = sides.map((side) => side.rate('edit'));
    for (const [index, name] of ['coreheap', 'default'].entries()) {
      find(`${name}-rate`).textContent = count(rates[index]);
      find(`${name}-bar`).style.setProperty('--part', rates[index] / Math.max(...rates) || 0);
    }
    if (rates.every(Number.isFinite)) {
      find('verdict').textContent = `coreheap makes ${ratio(rates[0] / rates[1])} times as many edits in the same time.`;
    }
  }
}

function addRow(name) {
  const row = find('rows').insertRow();
  const header = document.createElement('th');
  header.scope = 'row';
  header.textContent = name;
  row.append(header);
  return [0, 1].map(() => {
    const cell = row.insertCell();
    cell.textContent = NONE;
    return cell;
  });
}

function addToLegend({ name, colour, heap }) {
  const swatch = document.createElement('i');
  swatch.style.setProperty('--colour', Array.isArray(colour) ? `light-dark(${colour})` : colour);
  const output = document.createElement('output');
  const item = document.createElement('li');
  item.append(swatch, name, output);
  if (heap) item.dataset.of = heap;
  find('legend').append(item);
  return output;
}
