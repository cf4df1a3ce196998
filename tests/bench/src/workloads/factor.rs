//! Factoring as cfrac does it: arithmetic on big numbers where each result, also each step between, is a new block.
//!
//! The method is Pollard's rho with Floyd's search for a cycle.

use std::alloc::GlobalAlloc;
use std::cmp::Ordering;

use super::Job;
use super::block::{Block, on_threads};

/// 20935613507 * 10000000000000000000000000000000987654387, least limb first.
const NUMBER: [u32; 6] = [0x9984_0B99, 0xFCC8_61D9, 0x7A7B_04A7, 0xEE95_C37D, 0x3F4D_C73B, 0x0000_008F];
/// Steps until the smaller factor shows.
const STEPS: usize = 299_384;
/// Steps between two looks at the greatest common divisor.
const LOOK: usize = 200;

/// Each thread factors the number, or begins to.
pub fn run<A: GlobalAlloc + Sync>(allocator: &A, job: &Job) -> u64 {
    let steps = ((STEPS + LOOK) as f64 * job.work / job.threads as f64) as usize + 1;
    on_threads(job.threads, |_| {
        let found = Arithmetic(allocator).rho(steps);
        assert_eq!(found, steps >= STEPS + LOOK, "the factor shows after {STEPS} steps");
    });
    job.all(steps)
}

/// A natural number: limbs of 32 bits in a block, least first; no zero at the end, but at least one limb.
struct Natural {
    block: Block,
    count: usize,
}

impl Natural {
    #[inline(always)]
    fn limbs(&self) -> &[u32] {
        // SAFETY: the block has so many limbs, all of them were written, and it is aligned.
        unsafe { std::slice::from_raw_parts(self.block.start().cast().as_ptr(), self.count) }
    }

    #[inline(always)]
    fn limbs_mut(&mut self) -> &mut [u32] {
        // SAFETY: as in `limbs`; the block is this number's.
        unsafe { std::slice::from_raw_parts_mut(self.block.start().cast().as_ptr(), self.count) }
    }

    fn without_zeros(mut self) -> Self {
        while self.count > 1 && self.limbs()[self.count - 1] == 0 {
            self.count -= 1;
        }
        self
    }

    fn is(&self, value: u32) -> bool {
        self.limbs() == [value]
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.count.cmp(&other.count).then_with(|| self.limbs().iter().rev().cmp(other.limbs().iter().rev()))
    }
}

/// Arithmetic with blocks of an allocator.
struct Arithmetic<'a, A>(&'a A);

impl<A: GlobalAlloc> Arithmetic<'_, A> {
    /// Whether so many steps find a factor.
    fn rho(&self, steps: usize) -> bool {
        let number = self.number(&NUMBER);
        let (mut slow, mut fast, mut product) = (self.number(&[2]), self.number(&[2]), self.number(&[1]));
        let mut found = false;
        for step in 1..=steps {
            slow = self.turn(slow, &number);
            fast = self.turn(self.turn(fast, &number), &number);
            let distance = self.distance(&slow, &fast);
            product = self.replace(product, |product| self.product_rest(product, &distance, &number));
            self.free(distance);
            if step % LOOK == 0 {
                let divisor = self.divisor(&product, &number);
                found = !divisor.is(1);
                self.free(divisor);
                if found {
                    break;
                }
            }
        }
        [number, slow, fast, product].into_iter().for_each(|number| self.free(number));
        found
    }

    /// `x * x + 1`, modulo `number`.
    fn turn(&self, x: Natural, number: &Natural) -> Natural {
        let square = self.replace(x, |x| self.product(x, x));
        let next = self.replace(square, |square| self.successor(square));
        self.replace(next, |next| self.rest(next, number))
    }

    fn replace(&self, old: Natural, new: impl FnOnce(&Natural) -> Natural) -> Natural {
        let new = new(&old);
        self.free(old);
        new
    }

    fn free(&self, number: Natural) {
        number.block.free(self.0);
    }

    /// Zero in so many limbs.
    fn zeros(&self, count: usize) -> Natural {
        let mut number = Natural { block: Block::filled(self.0, 4 * count), count };
        number.limbs_mut().fill(0);
        number
    }

    fn number(&self, limbs: &[u32]) -> Natural {
        let mut number = self.zeros(limbs.len());
        number.limbs_mut().copy_from_slice(limbs);
        number
    }

    fn product(&self, x: &Natural, y: &Natural) -> Natural {
        let mut product = self.zeros(x.count + y.count);
        for (place, &limb) in x.limbs().iter().enumerate() {
            let mut carry = 0;
            for (to, &other) in product.limbs_mut()[place..].iter_mut().zip(y.limbs().iter().chain([&0])) {
                carry += u64::from(limb) * u64::from(other) + u64::from(*to);
                *to = carry as u32;
                carry >>= 32;
            }
        }
        product.without_zeros()
    }

    fn product_rest(&self, x: &Natural, y: &Natural, number: &Natural) -> Natural {
        let product = self.product(x, y);
        self.replace(product, |product| self.rest(product, number))
    }

    fn successor(&self, x: &Natural) -> Natural {
        let mut sum = self.zeros(x.count + 1);
        let mut carry = 1;
        for (to, &limb) in sum.limbs_mut().iter_mut().zip(x.limbs().iter().chain([&0])) {
            carry += u64::from(limb);
            *to = carry as u32;
            carry >>= 32;
        }
        sum.without_zeros()
    }

    /// The difference of two numbers, whichever is greater.
    fn distance(&self, x: &Natural, y: &Natural) -> Natural {
        let (more, less) = if x.compare(y).is_ge() { (x, y) } else { (y, x) };
        let mut distance = self.number(more.limbs());
        let mut borrow = false;
        for (to, &limb) in distance.limbs_mut().iter_mut().zip(less.limbs().iter().chain(std::iter::repeat(&0))) {
            let (value, first) = to.overflowing_sub(limb);
            let (value, second) = value.overflowing_sub(u32::from(borrow));
            (*to, borrow) = (value, first || second);
        }
        distance.without_zeros()
    }

    /// The number times a power of two less than 2 to the 32nd, in one limb more.
    fn shifted(&self, x: &Natural, bits: u32) -> Natural {
        let mut shifted = self.zeros(x.count + 1);
        let mut carry = 0;
        for (to, &limb) in shifted.limbs_mut().iter_mut().zip(x.limbs().iter().chain([&0])) {
            carry |= u64::from(limb) << bits;
            *to = carry as u32;
            carry >>= 32;
        }
        shifted
    }

    /// The rest of a division, by Knuth's algorithm D: guess a digit of the quotient by its first limbs, correct it.
    fn rest(&self, x: &Natural, by: &Natural) -> Natural {
        if x.compare(by).is_lt() {
            return self.number(x.limbs());
        }
        if let [by] = by.limbs() {
            let rest = x.limbs().iter().rev().fold(0, |rest, &limb| (rest << 32 | u64::from(limb)) % u64::from(*by));
            return self.number(&[rest as u32]);
        }
        let bits = by.limbs()[by.count - 1].leading_zeros();
        let divisor = self.shifted(by, bits).without_zeros();
        let mut rest = self.shifted(x, bits);
        for place in (0..rest.count - divisor.count).rev() {
            reduce(&mut rest.limbs_mut()[place..=place + divisor.count], divisor.limbs());
        }
        self.free(divisor);
        let mut result = self.zeros(rest.count);
        let mut carry = 0;
        for (to, &limb) in result.limbs_mut().iter_mut().zip(rest.limbs()).rev() {
            carry = carry << 32 | u64::from(limb);
            *to = (carry >> bits) as u32;
        }
        self.free(rest);
        result.without_zeros()
    }

    /// The greatest common divisor.
    fn divisor(&self, x: &Natural, y: &Natural) -> Natural {
        let (mut x, mut y) = (self.number(x.limbs()), self.number(y.limbs()));
        while !y.is(0) {
            let rest = self.rest(&x, &y);
            self.free(std::mem::replace(&mut x, std::mem::replace(&mut y, rest)));
        }
        self.free(y);
        x
    }
}

/// Takes as many of `divisor` from `rest` as there are; `rest` has one limb more, the divisor's highest bit is set.
fn reduce(rest: &mut [u32], divisor: &[u32]) {
    let top = divisor.len();
    let high = u64::from(rest[top]) << 32 | u64::from(rest[top - 1]);
    let first = u64::from(divisor[top - 1]);
    let (mut digit, mut left) = (high / first, high % first);
    while digit >> 32 != 0 || digit * u64::from(divisor[top - 2]) > (left << 32 | u64::from(rest[top - 2])) {
        digit -= 1;
        left += first;
        if left >> 32 != 0 {
            break;
        }
    }
    if subtract(rest, divisor, digit) {
        // One too many, which is rare.
        let mut carry = 0;
        for (to, &limb) in rest.iter_mut().zip(divisor.iter().chain([&0])) {
            carry += u64::from(*to) + u64::from(limb);
            *to = carry as u32;
            carry >>= 32;
        }
    }
}

/// Subtracts a multiple; whether there was less.
fn subtract(rest: &mut [u32], divisor: &[u32], digit: u64) -> bool {
    let (mut carry, mut borrow) = (0, false);
    for (to, &limb) in rest.iter_mut().zip(divisor.iter().chain([&0])) {
        carry += digit * u64::from(limb);
        let (value, first) = to.overflowing_sub(carry as u32);
        let (value, second) = value.overflowing_sub(u32::from(borrow));
        (*to, borrow) = (value, first || second);
        carry >>= 32;
    }
    borrow
}

#[cfg(test)]
mod tests {
    use std::alloc::System;

    use super::*;

    fn value(number: &Natural) -> u128 {
        number.limbs().iter().rev().fold(0, |value, &limb| value << 32 | u128::from(limb))
    }

    #[test]
    fn arithmetic_is_that_of_integers() {
        let arithmetic = Arithmetic(&System);
        let mut random = crate::numbers::Random::new();
        for turn in 0..2_000 {
            let (x, y) = (random.number() >> (turn % 60), random.number() >> (turn % 31));
            let [a, b] = [x, y].map(|n| arithmetic.number(&[n as u32, (n >> 32) as u32]).without_zeros());
            let (x, y) = (u128::from(x), u128::from(y));
            let product = arithmetic.product(&a, &b);
            assert_eq!(value(&product), x * y);
            assert_eq!(value(&arithmetic.successor(&a)), x + 1);
            assert_eq!(value(&arithmetic.distance(&a, &b)), x.abs_diff(y));
            assert_eq!(value(&arithmetic.rest(&a, &b)), x % y);
            let next = arithmetic.successor(&product);
            assert_eq!(value(&arithmetic.rest(&next, &b)), (x * y + 1) % y);
        }
    }
}
