use crate::raw::Datatype;

/// The type of a NIfTI code, or the name of one that we do not read.
pub(super) fn datatype_of(code: i16) -> Result<Datatype, &'static str> {
    Ok(match code {
        2 => Datatype::U8,
        256 => Datatype::I8,
        512 => Datatype::U16,
        4 => Datatype::I16,
        768 => Datatype::U32,
        8 => Datatype::I32,
        1280 => Datatype::U64,
        1024 => Datatype::I64,
        16 => Datatype::F32,
        64 => Datatype::F64,
        1 => return Err("1-bit binary"),
        32 => return Err("complex64"),
        128 => return Err("RGB24"),
        1536 => return Err("float128"),
        1792 => return Err("complex128"),
        2048 => return Err("complex256"),
        2304 => return Err("RGBA32"),
        _ => return Err("an unknown type"),
    })
}

pub(super) fn code(datatype: Datatype) -> i16 {
    match datatype {
        Datatype::U8 => 2,
        Datatype::I8 => 256,
        Datatype::U16 => 512,
        Datatype::I16 => 4,
        Datatype::U32 => 768,
        Datatype::I32 => 8,
        Datatype::U64 => 1280,
        Datatype::I64 => 1024,
        Datatype::F32 => 16,
        Datatype::F64 => 64,
    }
}
