// What a run of memory can be, and its colour: blocks, or pages of them, by their size, and the rest.

import { bytes, count } from './format.js';

// The numbers of `coreheap_wasm::js::runs` and `blocks`, for each run. One of them says how many of its blocks, or bytes, are in use.
export const NUMBERS_PER_RUN = 6;
export const TAKEN = 4;

const METADATA = 0;
const FREE = 1;
const UNUSED = 2;
const LARGE = 3;
const READY = 4;

// Blocks up to `most` bytes. Colours with two values are for light and dark.
const SIZES = [
  { most: 16, colour: '#f9b83f' },
  { most: 32, colour: '#f28f3b' },
  { most: 64, colour: '#ef6a4c' },
  { most: 128, colour: '#dd5182' },
  { most: 256, colour: '#b85cc0' },
  { most: 512, colour: '#7d7bf0' },
  { most: 1024, colour: '#3fa2e8' },
  { most: Infinity, colour: '#2fb8a6' },
];

// Some are of one heap only: of the one with pages, or of the one whose blocks lie side by side.
const OTHERS = [
  { code: LARGE, name: 'large blocks', colour: '#7fb342', heap: 'pages' },
  { code: METADATA, name: 'tables', colour: '#858ca0', heap: 'pages' },
  { code: READY, name: 'ready', colour: ['#b9c6e4', '#44506d'], heap: 'blocks' },
  { code: FREE, name: 'free', colour: ['#dfe3ec', '#2c3140'] },
  { code: UNUSED, name: 'never used', colour: ['#eef0f5', '#20242f'], heap: 'pages' },
];

export const KINDS = [
  ...SIZES.map(({ most, colour }, index) => ({ name: nameOf(most, index), colour })),
  ...OTHERS,
];

function nameOf(most, index) {
  return most === Infinity ? `> ${bytes(SIZES[index - 1].most)}` : `≤ ${bytes(most)}`;
}

// The kind, by its place in `KINDS`, of a run with this code: a block size, or one of the five above.
export function kindOf(code) {
  const other = OTHERS.findIndex((kind) => kind.code === code);
  return other < 0 ? SIZES.findIndex(({ most }) => code <= most) : SIZES.length + other;
}

// A run in words, of a heap of this kind.
export function describe({ start, size, code, blocks, taken, core }, heap) {
  const place = `${bytes(size)} at 0x${start.toString(16)}`;
  const words = {
    [METADATA]: 'Tables of the heap',
    [FREE]: 'Free memory',
    [UNUSED]: 'Memory that was never used',
    [LARGE]: 'A large block',
    [READY]: 'Freed blocks, ready for requests of their size',
  };
  if (words[code]) return `${words[code]}: ${place}.`;
  if (heap === 'blocks') return `Blocks, most of them of up to ${bytes(code)}: ${count((100 * taken) / blocks)} % in use; ${place}.`;
  const current = core > 0 ? `, where core heap ${core - 1} gets new blocks from` : '';
  return `A page of blocks of ${bytes(code)}: ${count(taken)} of ${count(blocks)} taken; ${place}${current}.`;
}
