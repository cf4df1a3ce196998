// What must not compile does not, and says why: `node refused.mjs TARGET-FOLDER`.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';

function refuses(words, ...command) {
  const { status, stderr } = spawnSync('cargo', [...command, '--target-dir', process.argv[2]], { encoding: 'utf8' });
  assert.notEqual(status, 0, 'it compiles');
  assert(stderr.includes(words), stderr);
  console.log(`cargo ${command.join(' ')}: ${words}`);
}

refuses('this heap is for modules of one thread', 'check', '--release', '--features', 'one-thread');
refuses('needs nightly Rust for workers', '+stable', 'check', '--release');
console.log('all is well');
