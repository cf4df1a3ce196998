// Numbers as people read them.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });

export const NONE = '–';

// A number without a fraction; a dash if there is none yet.
export function count(number) {
  return Number.isFinite(number) ? whole.format(number) : NONE;
}

export function bytes(number) {
  if (!Number.isFinite(number)) return NONE;
  const [unit, name] = number >= 1 << 20 ? [1 << 20, 'MiB'] : number >= 1024 ? [1024, 'KiB'] : [1, 'B'];
  return `${short.format(number / unit)} ${name}`;
}

export function milliseconds(number) {
  return Number.isFinite(number) ? `${whole.format(number)} ms` : NONE;
}

export function ratio(number) {
  return number.toFixed(2);
}
