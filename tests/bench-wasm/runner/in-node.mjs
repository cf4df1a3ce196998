// Measures in Node: `node in-node.mjs FUNCTION FOLDER QUERY`, with a function of `measure.mjs` and the modules in the folder.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import * as measure from './measure.mjs';

const [name, folder, query] = process.argv.slice(2);
await measure[name](query, (module) => readFile(join(folder, `${module}.wasm`)), console.log);
