//! Files that mean harm, byte by byte.

use polycl_base::{Error, Kind};
use polycl_fixtures::zip::{Scratch, checkpoint, zip};
use polycl_weights::torch;

/// A text as pickles hold it.
fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// A storage of float32, `archive/data/0`.
fn storage() -> Vec<u8> {
    let (tag, key, device) = (text("storage"), text("0"), text("cpu"));
    [&b"("[..], &tag, b"ctorch\nFloatStorage\n", &key, &device, b"K\x04tQ"].concat()
}

/// A tensor on the storage: shape and strides are operations that push tuples.
fn tensor(offset: &[u8], shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let rest = b"\x89ccollections\nOrderedDict\n)RtR";
    [b"ctorch._utils\n_rebuild_tensor_v2\n(", &storage()[..], offset, shape, strides, rest].concat()
}

fn state_dict(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02}", &text("weight")[..], value, b"s."].concat()
}

fn refused(bytes: &[u8]) -> Error {
    let error = torch::read(&Scratch::default().write(bytes)).unwrap_err();
    assert!(matches!(error.kind, Kind::Checkpoint | Kind::Truncated), "{error}");
    error
}

#[test]
fn the_pickles_here_are_right_but_for_what_is_wrong_with_them() {
    let pickle = state_dict(&tensor(b"K\x01", b"K\x03\x85", b"K\x01\x85"));
    let read = torch::read(&Scratch::default().write(&checkpoint(&pickle, 4))).unwrap();
    assert_eq!(read["weight"].shape, [3]);
    assert_eq!(read["weight"].values, [0.0; 3]);
}

#[test]
fn nothing_is_ever_called() {
    for module in ["posix", "os", "nt"] {
        let scratch = Scratch::default();
        let victim = scratch.at("victim");
        let command = text(&format!("touch {}", victim.display()));
        let bomb = [b"c", module.as_bytes(), b"\nsystem\n", &command, b"\x85R"].concat();
        let good = tensor(b"K\x00", b"K\x04\x85", b"K\x01\x85");

        // Instead of the state dict, and instead of a tensor: an error that names it.
        let alone = checkpoint(&[b"\x80\x02", &bomb[..], b"."].concat(), 4);
        let within = checkpoint(&state_dict(&bomb), 4);
        // As protocol 4 names it.
        let late = [&b"\x8c"[..], &[module.len() as u8], module.as_bytes(), b"\x8c\x06system\x93"].concat();
        let late = checkpoint(&state_dict(&[&late[..], &command, b"\x85R"].concat()), 4);
        for bytes in [alone, within, late] {
            let error = torch::read(&scratch.write(&bytes)).unwrap_err();
            assert!(error.to_string().contains(&format!("{module}.system, which is not called")), "{error}");
        }
        // Beside the state dict, and thrown away: of no effect.
        let entries = [&text("model")[..], b"}", &text("weight"), &good, b"s", &text("x"), &bomb].concat();
        let beside = [b"\x80\x02}(", &entries[..], b"u."].concat();
        let dropped = [b"\x80\x02", &bomb[..], b"0}", &text("weight"), &good, b"s."].concat();
        for pickle in [beside, dropped] {
            torch::read(&scratch.write(&checkpoint(&pickle, 4))).unwrap();
        }
        assert!(!victim.exists());
    }
}

#[test]
fn tensors_beyond_their_storage_are_refused() {
    let huge = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
    let [three, one] = [b"K\x03\x85", b"K\x01\x85"];
    let long = [&huge[..], b"\x85"].concat();
    let square = [&huge[..], huge, b"\x86"].concat();
    let axes = [&b"("[..], &b"K\x01".repeat(65), b"t"].concat();
    let cases: [(&[u8], &[u8], &[u8]); 10] = [
        (b"K\x02", three, one),
        (b"K\x00", b"K\x05\x85", one),
        (huge, three, one),
        (b"K\x00", &long, one),
        (b"K\x00", three, &long),
        (b"K\x00", &square, &square),
        (b"K\x00", three, b")"),
        (b"J\xff\xff\xff\xff", three, one),
        (b"K\x00", &axes, &axes),
        // A stride of zero makes many of one: more than the file could hold.
        (b"K\x00", b"J\x00\x00\x01\x01\x85", b"K\x00\x85"),
    ];
    for (offset, shape, strides) in cases {
        refused(&checkpoint(&state_dict(&tensor(offset, shape, strides)), 4));
    }
}

#[test]
fn pickles_without_sense_are_refused() {
    let cases: [&[u8]; 16] = [
        b"",
        b".",
        b"\x80\x02N.",
        b"\x80\x02}.",
        b"h\x07.",
        b"}(K\x01u.",
        b"(0.",
        b"Ks",
        b"K\x01K\x02K\x03s.",
        b"}}}s.",
        b"t.",
        b"R.",
        b"Q.",
        b"X\xff\xff\xff\xffabc.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc.",
        b"cposix",
    ];
    for pickle in cases {
        refused(&checkpoint(pickle, 4));
    }
}

#[test]
fn depth_and_bombs_cost_what_their_bytes_do() {
    // A list in a list in a list ..., which recursion would not survive, here or when it is dropped.
    let deep = [b"]".repeat(200_000), b"a".repeat(199_999), b".".to_vec()].concat();
    assert!(refused(&checkpoint(&deep, 4)).to_string().contains("a list"));
    // Tuples of itself twice, forty times over: 2^40 values where values are copied.
    let bomb = [b"N".to_vec(), b"q\x00h\x00\x86".repeat(40), b".".to_vec()].concat();
    assert!(refused(&checkpoint(&bomb, 4)).to_string().contains("a tuple"));
    // A list that holds itself.
    refused(&checkpoint(b"]q\x00h\x00a.", 4));
    let itself = [b"}q\x00", &text("model")[..], b"h\x00s."].concat();
    refused(&checkpoint(&itself, 4));
    for operation in [&b"N"[..], b"]", b"(", b")", b"N\x94", b"2"] {
        let many = [b"N".to_vec(), operation.repeat(1 << 21)].concat();
        assert!(refused(&checkpoint(&many, 4)).to_string().contains("more than 1048576 values"));
    }
}

#[test]
fn archives_that_contradict_themselves_are_refused() {
    let pickle = state_dict(&tensor(b"K\x00", b"K\x04\x85", b"K\x01\x85"));
    let good = checkpoint(&pickle, 4);
    let find = |mark: &[u8]| good.windows(4).rposition(|bytes| bytes == mark).unwrap();
    let (line, end) = (find(b"PK\x01\x02"), find(b"PK\x05\x06"));
    // Of the last entry in the directory: its packing, checksum, sizes and place; of the end, the
    // directory's size and place.
    for at in [line + 10, line + 16, line + 20, line + 24, line + 42, end + 12, end + 16] {
        for byte in [1, 9, 0xff] {
            let mut bytes = good.clone();
            bytes[at] ^= byte;
            refused(&bytes);
        }
    }
    // Two entries of one name, and two at one place.
    refused(&zip(&[("data.pkl", &pickle), ("data/0", &[0; 16]), ("data/0", &[0; 16])]));
    let mut overlapping = zip(&[("data.pkl", &pickle), ("data/0", &[0; 16]), ("data/1", &[0; 16])]);
    let line = overlapping.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").unwrap();
    let first = overlapping.windows(6).position(|bytes| bytes == b"data/0").unwrap() - 30 - 8;
    overlapping[line + 42..line + 46].copy_from_slice(&(first as u32).to_le_bytes());
    assert!(refused(&overlapping).to_string().contains("overlapping the next entry"));
    // Neither one checkpoint nor none.
    refused(&zip(&[("a", b"")]));
    refused(&zip(&[("data.pkl", &pickle), ("byteorder", b"big"), ("data/0", &[0; 16])]));
}
