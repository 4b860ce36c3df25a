//! WireGuard as the domain sees it: public keys only. Private keys stay in the shell's key store.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// A Curve25519 public key, written as 44 characters of base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// A text that is not a WireGuard key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a WireGuard key: use the 44 characters that `wg pubkey` prints")]
pub struct InvalidKey;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(44);
        for chunk in self.0.chunks(3) {
            let mut word = [0u8; 3];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            let bits = u32::from_be_bytes([0, word[0], word[1], word[2]]);
            for place in 0..=chunk.len() {
                let index = (bits >> (18 - 6 * place)) & 63;
                text.extend(ALPHABET.get(index as usize).map(|b| char::from(*b)));
            }
        }
        text.push('=');
        f.pad(&text)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let digits = text.strip_suffix('=').ok_or(InvalidKey)?;
        if digits.len() != 43 {
            return Err(InvalidKey);
        }
        let mut key = Vec::with_capacity(33);
        let (mut bits, mut held) = (0u32, 0u32);
        for byte in digits.bytes() {
            let value = ALPHABET.iter().position(|a| *a == byte).ok_or(InvalidKey)?;
            bits = bits << 6 | u32::try_from(value).map_err(|_| InvalidKey)?;
            held += 6;
            if held >= 8 {
                held -= 8;
                key.push((bits >> held & 0xff) as u8);
            }
        }
        // The last digit holds two bits beyond the 256; a canonical encoding has them zero.
        if bits & ((1 << held) - 1) != 0 {
            return Err(InvalidKey);
        }
        key.try_into().map(Self).map_err(|_| InvalidKey)
    }
}

/// Whether a text is a key, public or private, as WireGuard writes it. Keeps no copy of it.
#[must_use]
pub fn is_key(text: &str) -> bool {
    let Some(digits) = text.strip_suffix('=').map(str::as_bytes) else {
        return false;
    };
    let value = |byte: &u8| ALPHABET.iter().position(|a| a == byte);
    // The last digit holds two bits beyond the 256; a canonical encoding has them zero.
    let last = digits.last().and_then(value);
    digits.len() == 43
        && digits.iter().all(|byte| value(byte).is_some())
        && last.is_some_and(|last| last & 3 == 0)
}

/// The interface-wide settings of a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Which key it uses; the shell finds the private half by this.
    pub public_key: PublicKey,
    /// UDP port on which it listens.
    pub listen_port: u16,
    /// The mark of its outer packets, which binds them to an uplink.
    pub fwmark: u32,
    /// Bytes of an inner packet.
    pub mtu: u32,
}

/// One peer of a tunnel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Where it was last heard, or where to speak first.
    pub endpoint: Option<SocketAddr>,
    /// Sources that it may use and destinations that are sent to it.
    pub allowed_ips: BTreeSet<IpNet>,
    /// Seconds between keepalives which hold a NAT binding open; `None` for none.
    pub keepalive: Option<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_written_as_wg_does() {
        let text = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=";
        let key: PublicKey = text.parse().unwrap();
        assert_eq!(key.to_string(), text);
        assert!(is_key(text));
        assert_eq!(
            PublicKey([0; 32]).to_string(),
            format!("{}=", "A".repeat(43))
        );
        assert_eq!(
            PublicKey([255; 32]).to_string().parse(),
            Ok(PublicKey([255; 32]))
        );
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        let long = format!("{}=", "A".repeat(44));
        let loose = format!("{}B=", "A".repeat(42));
        for bad in [
            "",
            "=",
            "HIgo9",
            &long,
            &loose,
            "!!go9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=",
        ] {
            assert_eq!(bad.parse::<PublicKey>(), Err(InvalidKey), "{bad:?}");
            assert!(!is_key(bad), "{bad:?}");
        }
    }
}
