//! What counts as one address.

/// What is counted as one: an address of IPv4, or a network of IPv6 with a prefix of 64 bits,
/// within which one machine may have any address (RFC 7421).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressKey(u128);

/// Where IPv4 stands within IPv6 (RFC 4291 section 2.5.5.2). No network has such a key, because the
/// lower half of a network's is zero.
const IPV4: u128 = 0xffff << 32;

const NETWORK_BITS: u32 = 64;

impl AddressKey {
    /// Of an address of IPv4.
    pub fn of_ipv4(octets: [u8; 4]) -> AddressKey {
        AddressKey(IPV4 | u128::from(u32::from_be_bytes(octets)))
    }

    /// Of an address of IPv6, which is none of IPv4 within it.
    pub fn of_ipv6(octets: [u8; 16]) -> AddressKey {
        AddressKey(u128::from_be_bytes(octets) >> NETWORK_BITS << NETWORK_BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_are_one() {
        let key = |first: u8, eighth: u8, last: u8| {
            let mut octets = [0; 16];
            (octets[0], octets[7], octets[15]) = (first, eighth, last);
            AddressKey::of_ipv6(octets)
        };
        assert_eq!(key(0x20, 1, 1), key(0x20, 1, 2));
        assert_ne!(key(0x20, 1, 1), key(0x20, 2, 1));
        assert_ne!(AddressKey::of_ipv4([192, 0, 2, 1]), AddressKey::of_ipv4([192, 0, 2, 2]));
        assert_ne!(key(0, 0, 1), AddressKey::of_ipv4([0, 0, 0, 1]), "no network is an address");
    }
}
