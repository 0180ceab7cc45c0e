//! What holds of every message and of any bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use units::Leap;

use super::*;

proptest! {
    #[test]
    fn requests_round_trip(
        operation in 0u8..32,
        sequence: u16,
        association: u16,
        data in vec(any::<u8>(), 0..=DATA_LENGTH_MAX),
    ) {
        let request = Request::new(Operation(operation), sequence, association, &data);
        let datagram = request.encode();
        let (decoded, tail) = Request::decode(&datagram).unwrap();
        prop_assert_eq!(decoded, request);
        prop_assert_eq!(tail.proofs().count(), 0);
    }

    #[test]
    fn answers_round_trip_and_are_padded_with_zeros(
        data in vec(any::<u8>(), 0..=DATA_LENGTH_MAX * FRAGMENTS_MAX + 9),
        leap in 0u8..4,
        status: u16,
    ) {
        let request = Request::new(Operation::READ_VARIABLES, 1, 0, b"");
        let leap = Leap::from_bits(leap);
        let mut assembly = Assembly::new(request.header);
        let datagrams: Vec<_> = request.answer(leap, status, &data).collect();
        prop_assert!(datagrams.len() <= FRAGMENTS_MAX);
        for (index, datagram) in datagrams.iter().enumerate() {
            prop_assert!(datagram.len() <= HEADER_LENGTH + DATA_LENGTH_MAX && datagram.len().is_multiple_of(4));
            let fragment = Fragment::decode(datagram).unwrap();
            prop_assert!(datagram[HEADER_LENGTH + fragment.data.len()..].iter().all(|&byte| byte == 0));
            let whole = assembly.push(&fragment).unwrap();
            prop_assert_eq!(whole.is_some(), index + 1 == datagrams.len());
            if let Some(answer) = whole {
                let kept = data.len().min(DATA_LENGTH_MAX * FRAGMENTS_MAX);
                prop_assert_eq!((answer.leap, answer.status), (leap, status));
                prop_assert_eq!(&answer.data, &data[..kept]);
            }
        }
    }

    #[test]
    fn no_bytes_break_anything(datagrams in vec(vec(any::<u8>(), 0..600), 1..6)) {
        let mut assembly = Assembly::new(Request::new(Operation::READ_STATUS, 1, 0, b"").header);
        for bytes in &datagrams {
            if let Ok((request, tail)) = Request::decode(bytes) {
                let _ = names(request.data);
                let _ = tail.proofs().count();
            }
            if let Ok(fragment) = Fragment::decode(bytes) {
                let _ = assembly.push(&fragment);
            }
            let _ = Variables::new(bytes).count();
        }
    }

    #[test]
    fn what_is_written_is_read(texts in vec("[ -~]{0,30}", 0..20), numbers in vec(any::<i64>(), 0..20)) {
        let mut variables: Vec<Variable> = texts
            .iter()
            .enumerate()
            .map(|(at, text)| Variable::new(&format!("t{at}"), Value::Text(text.clone())))
            .collect();
        variables.extend(
            numbers
                .iter()
                .enumerate()
                .map(|(at, &number)| Variable::new(&format!("n{at}"), Value::Signed(number))),
        );
        let written = Variable::write(&variables, &[]).unwrap();
        let read: Vec<(String, String)> = Variables::new(&written)
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        prop_assert_eq!(read.len(), variables.len());
        for ((name, value), variable) in read.iter().zip(&variables) {
            prop_assert_eq!(name, &variable.name);
            let said = variable.value.to_string();
            prop_assert_eq!(value.as_str(), said.trim_matches('"'));
        }
    }
}
