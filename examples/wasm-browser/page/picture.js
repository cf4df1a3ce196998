// A heap on a canvas: memory line by line, a strip for each run.

import { KINDS, NUMBERS_PER_RUN, describe, kindOf } from './kinds.js';

// What a cell of the picture stands for, in bytes: a slice of the heap with pages, a piece of the other one.
const SLICE = 2048;
// How strong the colour of a page, or piece, without a block is.
const PALEST = 0.25;
// How strong the veil over the run is that the reader points at.
const POINTED = 0.45;

const isDark = matchMedia('(prefers-color-scheme: dark)');

export class Picture {
  // `say` is told what the reader points at.
  constructor(canvas, say) {
    this.canvas = canvas;
    this.say = say;
    this.runs = [];
    this.pointed = undefined;
    canvas.addEventListener('pointermove', (event) => this.point(this.cellAt(event)));
    canvas.addEventListener('pointerdown', (event) => this.point(this.cellAt(event)));
    canvas.addEventListener('keydown', (event) => this.step(event));
    new ResizeObserver(() => this.draw()).observe(canvas);
    isDark.addEventListener('change', () => this.draw());
  }

  // Shows what lies where now in a heap of this kind; returns bytes by kind of run.
  show(numbers, heap) {
    this.heap = heap;
    const totals = KINDS.map(() => 0);
    this.runs = [];
    let cells = 0;
    for (let at = 0; at < numbers.length; at += NUMBERS_PER_RUN) {
      const [start, size, code, blocks, taken, core] = numbers.subarray(at, at + NUMBERS_PER_RUN);
      const kind = kindOf(code);
      totals[kind] += size;
      const first = cells;
      cells += Math.ceil(size / SLICE);
      this.runs.push({ start, size, code, blocks, taken, core, kind, first, end: cells });
    }
    this.cells = cells;
    this.draw();
    if (this.pointed !== undefined) this.say(this.describePointed());
    return totals;
  }

  draw() {
    const { canvas, cells } = this;
    if (!cells) return;
    const ratio = devicePixelRatio;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    this.cell = Math.min(cellSize(canvas.width, canvas.height, cells), Math.round(12 * ratio));
    this.columns = Math.floor(canvas.width / this.cell);
    // Between runs, and between lines where these are high enough.
    const gap = this.cell >= 3 * ratio ? Math.round(ratio) : 0;
    const height = this.cell - (this.cell >= 5 * ratio ? gap : 0);
    const context = canvas.getContext('2d');
    const colours = KINDS.map(({ colour }) => (Array.isArray(colour) ? colour[Number(isDark.matches)] : colour));
    for (const run of this.runs) {
      context.fillStyle = colours[run.kind];
      context.globalAlpha = run.blocks ? PALEST + ((1 - PALEST) * run.taken) / run.blocks : 1;
      for (const [x, y, width] of this.strips(run)) context.fillRect(x, y, width - gap, height);
    }
    context.fillStyle = getComputedStyle(canvas).color;
    context.globalAlpha = POINTED;
    for (const [x, y, width] of this.strips(this.pointedRun())) context.fillRect(x, y, width - gap, height);
    context.globalAlpha = 1;
    for (const run of this.runs.filter((run) => run.core)) this.drawDot(context, run, gap);
  }

  drawDot(context, run, gap) {
    const half = (this.cell - gap) / 2;
    const [[x, y]] = this.strips(run);
    context.beginPath();
    context.arc(x + half, y + half, Math.max(half / 2, devicePixelRatio), 0, 2 * Math.PI);
    context.fill();
  }

  // The parts of a run in each line: left, top and width.
  strips(run) {
    const strips = [];
    for (let from = run?.first; from < run?.end; ) {
      const line = Math.floor(from / this.columns);
      const end = Math.min(run.end, (line + 1) * this.columns);
      strips.push([(from - line * this.columns) * this.cell, line * this.cell, (end - from) * this.cell]);
      from = end;
    }
    return strips;
  }

  cellAt(event) {
    const scale = this.canvas.width / this.canvas.clientWidth / this.cell;
    return Math.floor(event.offsetY * scale) * this.columns + Math.min(Math.floor(event.offsetX * scale), this.columns - 1);
  }

  point(cell) {
    this.pointed = cell >= 0 && cell < this.cells ? cell : undefined;
    this.draw();
    this.say(this.describePointed());
  }

  // By arrow keys: along the runs, or up and down.
  step(event) {
    const run = this.pointedRun() ?? { first: 0, end: 0 };
    const cell = this.pointed ?? 0;
    const target = {
      ArrowRight: run.end,
      ArrowLeft: run.first - 1,
      ArrowDown: cell + this.columns,
      ArrowUp: cell - this.columns,
    }[event.key];
    if (target === undefined || !this.cells) return;
    event.preventDefault();
    this.point(Math.max(0, Math.min(target, this.cells - 1)));
  }

  pointedRun() {
    return this.runs.find((run) => run.first <= this.pointed && this.pointed < run.end);
  }

  describePointed() {
    const run = this.pointedRun();
    return run ? describe(run, this.heap) : '';
  }
}

// The biggest square of which so many fit.
function cellSize(width, height, cells) {
  const fits = (size) => Math.floor(width / size) * Math.floor(height / size) >= cells;
  let size = Math.ceil(Math.sqrt((width * height) / cells));
  while (size > 1 && !fits(size)) size -= 1;
  return size;
}
