// Runs a program of WASI in Node: a runner for cargo, with the program's path and its arguments.
import { readFileSync } from 'node:fs';
import { WASI } from 'node:wasi';

const args = process.argv.slice(2);
const wasi = new WASI({ version: 'preview1', args, env: process.env });
const program = new WebAssembly.Module(readFileSync(args[0]));
process.exit(wasi.start(new WebAssembly.Instance(program, wasi.getImportObject())));
