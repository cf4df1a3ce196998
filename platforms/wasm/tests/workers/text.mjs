// UTF-8 in a shared memory, which a decoder does not take as it is.
export const text = (memory, start, size) => new TextDecoder().decode(new Uint8Array(memory.buffer).slice(start, start + size));
