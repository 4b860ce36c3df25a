//! Bytes as text that survives being read out: Crockford's base 32, in lower case and without its
//! leniency, so that one value has one text.

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What keeps a text from being bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotBytes {
    /// This character, at this place counted from 0, is none of ours.
    Character(char, usize),
    /// It ends within a byte, or with bits that no bytes have.
    Tail,
}

/// How many characters that many bytes have.
pub(crate) const fn length(bytes: usize) -> usize {
    (bytes * 8).div_ceil(5)
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(length(bytes.len()));
    let (mut bits, mut held) = (0_u32, 0_u32);
    let mut push = |value: u32| {
        let digit = ALPHABET.get((value & 31) as usize);
        text.extend(digit.map(|digit| char::from(*digit)));
    };
    for byte in bytes {
        bits = (bits << 8 | u32::from(*byte)) & 0xfff;
        held += 8;
        while held >= 5 {
            held -= 5;
            push(bits >> held);
        }
    }
    if held > 0 {
        push(bits << (5 - held));
    }
    text
}

pub(crate) fn decode(text: &str) -> Result<Vec<u8>, NotBytes> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for (place, character) in text.chars().enumerate() {
        let value = ALPHABET.iter().position(|it| char::from(*it) == character);
        let value = value.and_then(|it| u32::try_from(it).ok());
        let value = value.ok_or(NotBytes::Character(character, place))?;
        bits = (bits << 5 | value) & 0xfff;
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    if held >= 5 || bits & ((1 << held) - 1) != 0 {
        return Err(NotBytes::Tail);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_one_text() {
        let table: [(&[u8], &str); 5] = [
            (b"", ""),
            (b"\0", "00"),
            (b"\xff", "zw"),
            (b"foobar", "csqpyrk1e8"),
            (b"\x00\x44\x32\x14\xc7\x42\x54\xb6", "0123456789abc"),
        ];
        for (bytes, text) in table {
            let encoded = encode(bytes);
            assert_eq!(decode(&encoded), Ok(bytes.to_vec()), "{text}");
            assert_eq!(encoded.len(), length(bytes.len()), "{text}");
            assert_eq!(encoded, text);
        }
    }

    #[test]
    fn other_texts_are_none() {
        assert_eq!(decode("zz"), Err(NotBytes::Tail));
        assert_eq!(decode("z"), Err(NotBytes::Tail));
        assert_eq!(decode("000"), Err(NotBytes::Tail));
        assert_eq!(decode("0l"), Err(NotBytes::Character('l', 1)));
        assert_eq!(decode("A0"), Err(NotBytes::Character('A', 0)));
        assert_eq!(decode("0é"), Err(NotBytes::Character('é', 1)));
    }
}
