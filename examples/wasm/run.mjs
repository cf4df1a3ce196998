// Runs the module and looks at its memory: `node run.mjs hello-wasm.wasm`.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const PAGE = 64 * 1024;
const MOST = 64;

const print = (text, len) => console.log(new TextDecoder().decode(new Uint8Array(memory.buffer, text, len)));
const bytes = readFileSync(process.argv[2]);
const { instance } = await WebAssembly.instantiate(bytes, { env: { print } });
const { memory, hello, count_words, fill, __heap_base } = instance.exports;
const pages = () => memory.buffer.byteLength / PAGE;

const atStart = pages();
const unused = atStart * PAGE - __heap_base.value;
const block = hello(2026);
const more = pages() - atStart;
console.log(`${bytes.length} bytes of code; ${atStart} pages of memory, of which ${unused} bytes were free; hello world took ${more} more`);
assert(more <= 1);
assert(block >= __heap_base.value && block < atStart * PAGE, 'the memory that was there is used first');
assert.equal(new Uint32Array(memory.buffer, block, 1)[0], 2026);

assert.equal(count_words(1000), 6000);
const afterWords = pages();
assert.equal(count_words(1000), 6000);
assert.equal(pages(), afterWords, 'what was freed is used again');
console.log(`1,000 sentences took ${afterWords - atStart - more} more`);

// The host grows the memory too.
const strange = memory.grow(1);
new Uint8Array(memory.buffer, strange * PAGE, PAGE).fill(0xee);
const blocks = fill();
assert.equal(pages(), MOST);
const part = (blocks * 1000) / ((MOST - strange - 1 + afterWords - atStart) * PAGE + unused);
console.log(`${blocks} blocks of 1,000 bytes in ${MOST} pages, ${(100 * part).toFixed(1)} % of the heap's`);
assert(part > 0.9);
const again = fill();
assert(again >= blocks * 0.98, `${again} the second time`);
assert.equal(count_words(1000), 6000);
assert(new Uint8Array(memory.buffer, strange * PAGE, PAGE).every((byte) => byte === 0xee), "the host's page was left alone");
console.log('all is well');
