//! Large primes, for keys that live as long as a test.
//! Not here: anything fit for keeping secrets: nothing is done in constant time.

use num_bigint::BigUint;

use crate::random;

/// Miller-Rabin rounds. A random 1,024-bit number that passes even 5 is composite with a chance below 2^-100 (FIPS
/// 186-5, table B.1); 8 cost nothing.
const ROUNDS: usize = 8;

/// A prime of 1,024 bits whose two highest bits are set, so that a product of two has 2,048.
pub(crate) fn prime() -> BigUint {
    let sieve = small_primes();
    loop {
        let mut bytes = random::bytes::<128>();
        bytes[0] |= 0b1100_0000;
        bytes[127] |= 1;
        let candidate = BigUint::from_bytes_be(&bytes);
        let divisible = sieve.iter().any(|small| &candidate % *small == BigUint::ZERO);
        if !divisible && is_prime(&candidate) {
            return candidate;
        }
    }
}

fn small_primes() -> Vec<u32> {
    let mut primes: Vec<u32> = Vec::new();
    for number in 3..4_000 {
        if primes.iter().all(|prime| number % prime != 0) && number % 2 == 1 {
            primes.push(number);
        }
    }
    primes
}

/// Miller-Rabin, for odd numbers above 4,000.
fn is_prime(number: &BigUint) -> bool {
    let one = BigUint::from(1_u8);
    let minus_one = number - &one;
    let twos = minus_one.trailing_zeros().unwrap_or(0);
    let odd = &minus_one >> twos;
    (0..ROUNDS).all(|_| {
        let base = BigUint::from_bytes_be(&random::bytes::<127>()) + 2_u8;
        let mut power = base.modpow(&odd, number);
        if power == one || power == minus_one {
            return true;
        }
        (1..twos).any(|_| {
            power = &power * &power % number;
            power == minus_one
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_prime_is_told_from_its_composite_neighbours() {
        // 2^521 - 1 is prime (Robinson 1952); 2^523 - 1 is not.
        let mersenne = |bits: u32| (BigUint::from(1_u8) << bits) - 1_u8;
        assert!(is_prime(&mersenne(521)));
        assert!(!is_prime(&mersenne(523)));
        assert!(!is_prime(&(mersenne(521) * mersenne(607))));
    }
}
