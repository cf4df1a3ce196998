// What a run of memory can be, and its colour: pages by the size of their blocks, and the rest.

import { bytes, count } from './format.js';

// The numbers of `coreheap_wasm::js::runs`, for each run.
export const NUMBERS_PER_RUN = 6;

const METADATA = 0;
const FREE = 1;
const UNUSED = 2;
const LARGE = 3;

// Each kind of page takes blocks up to `most` bytes. Colours with two values are for light and dark.
const PAGES = [
  { most: 16, colour: '#f9b83f' },
  { most: 32, colour: '#f28f3b' },
  { most: 64, colour: '#ef6a4c' },
  { most: 128, colour: '#dd5182' },
  { most: 256, colour: '#b85cc0' },
  { most: 512, colour: '#7d7bf0' },
  { most: 1024, colour: '#3fa2e8' },
  { most: Infinity, colour: '#2fb8a6' },
];

const OTHERS = [
  { code: LARGE, name: 'large blocks', colour: '#7fb342' },
  { code: METADATA, name: 'tables', colour: '#858ca0' },
  { code: FREE, name: 'free', colour: ['#dfe3ec', '#2c3140'] },
  { code: UNUSED, name: 'never used', colour: ['#eef0f5', '#20242f'] },
];

export const KINDS = [
  ...PAGES.map(({ most, colour }, index) => ({ name: nameOf(most, index), colour })),
  ...OTHERS,
];

function nameOf(most, index) {
  return most === Infinity ? `> ${bytes(PAGES[index - 1].most)}` : `≤ ${bytes(most)}`;
}

// The kind, by its place in `KINDS`, of a run with this code: a block size, or one of the four above.
export function kindOf(code) {
  const other = OTHERS.findIndex((kind) => kind.code === code);
  return other < 0 ? PAGES.findIndex(({ most }) => code <= most) : PAGES.length + other;
}

// A run in words.
export function describe({ start, size, code, blocks, taken, core }) {
  const place = `${bytes(size)} at 0x${start.toString(16)}`;
  const words = {
    [METADATA]: 'Tables of the heap',
    [FREE]: 'Free memory',
    [UNUSED]: 'Memory that was never used',
    [LARGE]: 'A large block',
  };
  if (words[code]) return `${words[code]}: ${place}.`;
  const current = core > 0 ? `, where core heap ${core - 1} gets new blocks from` : '';
  return `A page of blocks of ${bytes(code)}: ${count(taken)} of ${count(blocks)} taken; ${place}${current}.`;
}
