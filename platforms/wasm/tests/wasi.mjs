// Runs a program of WASI in Node: a runner for cargo, with the program's path and its arguments.
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { WASI } from 'node:wasi';

// Node 20 crashes when it collects garbage in a function of WASI that was called the fast way.
setFlagsFromString('--no-turbo-fast-api-calls');

const args = process.argv.slice(2);
const wasi = new WASI({ version: 'preview1', args, env: process.env });
const program = new WebAssembly.Module(readFileSync(args[0]));
process.exit(wasi.start(new WebAssembly.Instance(program, wasi.getImportObject())));
