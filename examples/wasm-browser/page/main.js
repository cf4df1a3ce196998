// The page: runs the same work on two allocators, in turns, and shows what comes of it.

import { Side } from './side.js';
import { View } from './view.js';

// How long a turn should take, in milliseconds: short, so that the picture moves.
const TURN = 40;
// Per MB of document.
const CHAPTERS = 16;
const EDITS = 250_000;

const view = new View();
let sides = [];

document.querySelector('#controls').addEventListener('submit', (event) => {
  event.preventDefault();
  const wasRunning = view.isRunning;
  end();
  if (wasRunning) {
    view.stop('Stopped.');
  } else {
    run(view.megabytes, view.workers).catch((error) => {
      console.error(error);
      end();
      view.stop(`This did not work: ${error.message}`);
    });
  }
});

// Whoever waits for a worker of theirs waits for good.
function end() {
  sides.forEach((side) => side.terminate());
  sides = [];
}

async function run(megabytes, workers) {
  // One worker needs no atomics; several share one memory.
  const isShared = workers > 1;
  const suffix = isShared ? '-shared' : '';
  const coreheap = new Side(`coreheap${suffix}`, workers, isShared);
  const other = new Side(`default${suffix}`, workers, isShared);
  sides = [coreheap, other];
  view.start();
  for (const side of sides) view.look(await side.start());
  const [chapters, edits] = [CHAPTERS, EDITS].map((perMegabyte) => Math.ceil((perMegabyte * megabytes) / workers));
  await inTurns('write', chapters, 'The document is written as text.');
  await inTurns('open', chapters, 'It is opened: text becomes a tree.');
  await inTurns('edit', edits, 'It is edited: it becomes shorter and longer again.');
  await inTurns('save', chapters, 'It is saved: the tree becomes text.');
  for (const side of sides) await side.compare();
  await inTurns('close', chapters, 'It is closed.');
  for (const side of sides) view.look(await side.end());
  view.show(coreheap, other);
  end();
  if (coreheap.checksum !== other.checksum) throw new Error('the two saved different documents');
  view.stop('Done. Both saved the same document.');
}

// A step on both sides, part by part: as much as takes a turn. Each is the first every other time.
async function inTurns(call, total, words) {
  let count = 1;
  for (let done = 0, turn = 0; done < total; turn += 1) {
    count = Math.min(count, total - done);
    let longest = 1;
    for (const side of turn % 2 ? sides.toReversed() : sides) {
      const { time, answers } = await side.step(call, count, done);
      longest = Math.max(longest, time);
      view.look(answers);
    }
    done += count;
    count = Math.max(1, Math.min(2 * count, Math.round((count * TURN) / longest)));
    view.show(...sides);
    view.progress(words, done / total);
  }
}
